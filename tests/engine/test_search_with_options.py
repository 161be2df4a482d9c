"""A search over the runtime's options, end to end: what is made once, measured as loaded, packed and loaded again."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest

import steelyard
from steelyard import Budget, Goal
from steelyard.core.errors import BundleError, InputError
from steelyard.tasks.builtin import digits

KNOBS = {"depth": (1,), "width": (8, 16), "threads": (1, 2), "optimisation": ("all", "none")}
SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "schemas"
pytestmark = pytest.mark.slow


def ask(out, trials, **fields):
    heard = []
    outcome = steelyard.find(
        "digits",
        model="mlp",
        knobs=KNOBS,
        strategy="grid",
        # A graph that is not optimised needs half a megabyte less, so what is best does not hang on the clock.
        goal=Goal(max_drop=0.2, minimize="memory"),
        budget=Budget(wall_s=None, trials=trials),
        epochs=3,
        out=out,
        listen=lambda event: heard.append(event.text),
        **fields,
    )
    return outcome, heard


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of which an earlier run had confirmed four candidates; its answer, and what its last run said."""
    out = tmp_path_factory.mktemp("options") / "digits"
    first, _ = ask(out, 4)
    again, heard = ask(out, 5)
    return first, again, heard


def test_a_study_goes_on_where_it_was(study):
    first, again, heard = study
    assert {point.key for point in first.points} < {point.key for point in again.points}
    assert again.counts == {"explored": 5, "trained": 2, "measured": 5, "failed": 0}
    assert "onnxruntime: 4 choices of optimisation, threads, its defaults first" in heard


def test_models_are_made_once_and_options_change_their_costs_alone(study):
    _, outcome, _ = study
    by_file = {}
    for point in outcome.points:
        by_file.setdefault(point.candidate.file, []).append(point)
    several = [points for points in by_file.values() if len(points) > 1]
    assert several
    for points in several:
        for name in ("accuracy", "size_bytes", "train_s"):
            assert len({point.metrics[name] for point in points}) == 1
        assert len({point.metrics["latency_p50_s"] for point in points}) == len(points)
    folders = [each for each in (outcome.bundle / "artifacts" / "fits").iterdir() if each.is_dir()]
    assert len(folders) == len({point.candidate.file for point in outcome.points} | {outcome.reference.candidate})


def test_the_reference_runs_by_the_defaults(study):
    _, outcome, _ = study
    assert outcome.reference.candidate.is_plain
    assert "options" not in outcome.reference.to_json()


def test_a_point_with_options_is_packed_and_loaded_with_them(study, tmp_path):
    _, outcome, _ = study
    packed = next(point for point in outcome.front if point.candidate.options)
    assert packed.to_json()["options"] == dict(packed.candidate.options)
    other = steelyard.pack(outcome.bundle, packed.key, tmp_path / "other")
    assert other.chosen.candidate == packed.candidate
    manifest = json.loads((other.bundle / "steelyard.json").read_text(encoding="utf-8"))
    assert manifest["options"] == dict(packed.candidate.options)
    threads = dict(packed.candidate.options).get("threads", manifest["threads"])
    session = steelyard.load(other.bundle).session.raw
    assert session.get_session_options().intra_op_num_threads == threads
    assert steelyard.load(other.bundle, threads=3).session.raw.get_session_options().intra_op_num_threads == 3
    x = digits(0).test.x[:7]
    plain = steelyard.load(outcome.bundle)
    assert steelyard.load(other.bundle).predict(x).shape == plain.predict(x).shape == (7,)


@pytest.mark.parametrize("name", ["find", "bundle"])
def test_points_with_options_are_of_the_published_schemas(study, name):
    _, outcome, _ = study
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    manifest = json.loads((outcome.bundle / "steelyard.json").read_text(encoding="utf-8"))
    found = {"find": outcome.to_json(), "bundle": manifest}[name]
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(found)))
    assert any("options" in point for point in outcome.to_json()["points"])


def test_a_manifest_can_name_no_option_that_the_runtime_lacks(study, tmp_path):
    _, outcome, _ = study
    other = steelyard.pack(outcome.bundle, outcome.reference.key, tmp_path / "other").bundle
    path = other / "steelyard.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))

    def refusal(options):
        path.write_text(json.dumps({**manifest, "options": options}), encoding="utf-8")
        with pytest.raises(InputError) as caught:
            steelyard.load(other)
        return caught.value

    trusted = refusal({"trust": True})
    assert isinstance(trusted, BundleError)
    assert trusted.message == (
        f"the manifest of {other} has trust True, which onnxruntime can't be loaded with; restore it or pack anew."
    )
    for threads in (0, 10**9, True, "two", 1.0):
        assert f"has threads {threads!r}, which onnxruntime can't" in refusal({"threads": threads}).message
    assert refusal({"arena": 3}).message == "'arena' of onnxruntime must be one of True, False, got 3."
    assert refusal([1]).message == (f"the manifest of {other} lacks fields or was changed; restore it or pack anew.")


def test_a_kit_measures_variants_as_they_are_loaded(study, tmp_path):
    _, outcome, _ = study
    with zipfile.ZipFile(steelyard.kit(outcome.bundle, tmp_path / "kit.zip")) as archive:
        archive.extractall(tmp_path)
    kit = json.loads((tmp_path / "kit" / "kit.json").read_text(encoding="utf-8"))
    packed = {point.key: point for point in outcome.points if point.artifact}
    assert {key: point.get("options", {}) for key, point in kit["points"].items()} == {
        key: dict(point.candidate.options) for key, point in packed.items()
    }
    command = [sys.executable, "kit/measure.py", "--processes", "3"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    measured = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert measured["failures"] == {}
    assert measured["points"].keys() == packed.keys()
    chosen = steelyard.pack(outcome.bundle, out=tmp_path / "there", measured=tmp_path / "measured.json").chosen
    assert chosen.key in packed
