"""A search on other runtimes, end to end: every seam between training and the bundle."""

import json
import subprocess
import sys

import numpy as np
import pytest

import steelyard
from steelyard.core.errors import InputError
from steelyard.core.goal import Budget, Goal
from steelyard.engine.checkup import check_up
from steelyard.tasks.builtin import digits

SMALL = {"model": "mlp", "goal": Goal(max_drop=0.05), "knobs": {"depth": [1], "width": [8, 16]}, "epochs": 3}


def searched(runtime, out, trials=3):
    return steelyard.find("digits", runtime=runtime, out=out, budget=Budget(wall_s=None, trials=trials), **SMALL)


@pytest.fixture(scope="module")
def on_openvino(tmp_path_factory):
    out = tmp_path_factory.mktemp("openvino") / "study"
    return searched("openvino", out, trials=5)


@pytest.mark.slow
def test_openvino_has_both_files_everywhere_and_both_count(on_openvino):
    manifest = json.loads((on_openvino.bundle / "steelyard.json").read_text(encoding="utf-8"))
    assert (manifest["runtime"], manifest["model"]) == ("openvino", "model.xml")
    for point in (on_openvino.chosen, on_openvino.reference, *on_openvino.front):
        files = [(on_openvino.bundle / point.artifact).with_suffix(suffix) for suffix in (".xml", ".bin")]
        assert point.metrics["size_bytes"].value == sum(each.stat().st_size for each in files)
        assert all(str(each.relative_to(on_openvino.bundle)) in manifest["sha256"] for each in files)


@pytest.mark.slow
def test_openvino_models_are_quantized_too(on_openvino):
    assert {bool(point.candidate.steps) for point in on_openvino.points} == {True, False}
    assert on_openvino.failures == ()


@pytest.mark.slow
def test_another_goal_is_answered_from_the_study_and_another_point_packed(on_openvino, tmp_path):
    again = searched("openvino", on_openvino.bundle, trials=5)
    assert again.chosen.key == on_openvino.chosen.key
    packed = steelyard.pack(on_openvino.bundle, on_openvino.reference.key, tmp_path / "other")
    assert (packed.bundle / "model.bin").is_file()
    x = digits(0).test.x[:5]
    assert steelyard.load(packed.bundle).predict(x).shape == (5,)


@pytest.mark.slow
def test_predicting_on_openvino_needs_no_torch(on_openvino):
    code = (
        "import sys\nsys.modules['torch'] = None\nimport numpy as np, steelyard\n"
        f"print(steelyard.load({str(on_openvino.bundle)!r}).scores(np.zeros((3, 8, 8))).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "(3, 10)\n"


@pytest.mark.slow
@pytest.mark.bench  # Two minutes: each measuring process imports torch.
def test_a_study_on_torch_is_trusted_by_itself_and_its_bundle_by_nobody(tmp_path):
    heard = []
    outcome = steelyard.find(
        "digits",
        runtime="torch",
        out=tmp_path / "study",
        # Three are always finished: the reference, the baseline and one candidate.
        budget=Budget(wall_s=1.0),
        listen=lambda event: heard.append(event.text),
        **SMALL,
    )
    assert "steps work on ONNX files, which torch does not run: no step is tried" in heard
    assert outcome.failures == ()
    x = np.asarray(digits(0).test.x[:5])
    with pytest.raises(InputError, match=r"^model.pt2 can run code when it is opened; "):
        steelyard.load(outcome.bundle)
    assert steelyard.load(outcome.bundle, trust=True).predict(x).shape == (5,)


@pytest.mark.slow
def test_the_checkup_tries_each_runtime_and_names_what_installs_a_missing_one():
    from steelyard.builtin import registry

    found = check_up(registry)["runtimes"]
    assert list(found) == ["onnxruntime", "openvino", "litert", "executorch", "torch"]
    for name, each in found.items():
        assert each["works"] or (not each["installed"] and f"steelyard[{name}]" in each["why"]), (name, each)
