"""Pretrained weights: which file, of which scale, what is taken over, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from steelyard import api
from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale
from steelyard.core.errors import InputError, StudyError, UnknownNameError
from steelyard.core.quantity import Quantity
from steelyard.core.task import ClassOutput
from steelyard.engine.elastic import REPORT, shared_home
from steelyard.engine.making import PRETRAINED, Workshop
from steelyard.engine.messages import WEIGHTS, Assignment
from steelyard.engine.plan import Start, starts_identity
from steelyard.engine.pretrained import Builder, Pretrained, starts_of, told
from steelyard.store.study import open_study
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask, measured
from steelyard.training.recipe import Recipe

TASK = FakeTask.image()
SPACE = FamilySpace(
    "cnn", (Knob("depth", (1, 2)), Knob("width", (2, 4)), Knob("kernel", (3,)), Knob("resolution", (8,)))
)
FAMILIES = {name: registry.get("family", name) for name in ("cnn", "mlp")}


def weights_of(scale: Scale, path, *, task=TASK, seed: int = 7):
    """A file of a model's weights; no training is needed to see where they go."""
    save_file({k: v.contiguous() for k, v in FAMILIES["cnn"].build(scale, task, seed).state_dict().items()}, path)
    return path


@pytest.fixture
def file(tmp_path):
    return weights_of(SPACE.largest, tmp_path / "some.safetensors")


def starts(path, spaces=(SPACE,)):
    return starts_of(path, spaces, Builder(FAMILIES, TASK, 0))


@pytest.mark.parametrize("scale", [SPACE.largest, SPACE.smallest])
def test_the_scale_of_a_file_is_found_by_what_fits(tmp_path, scale):
    (start,) = starts(weights_of(scale, tmp_path / "some.safetensors"))
    assert start.scale == scale
    assert Start.from_json(json.loads(json.dumps(start.to_json()))) == start


def test_a_file_is_taken_over_but_for_the_last_layer(file):
    (start,) = starts(file)
    body = FAMILIES["cnn"].build(SPACE.largest, TASK, 0).body
    sizes = {name: each.numel() for name, each in body.named_parameters()}
    assert start.fresh == ("10.weight", "10.bias")
    assert start.share == 1 - (sizes["10.weight"] + sizes["10.bias"]) / sum(sizes.values())
    assert told([start], [SPACE]) == [
        "cnn starts from pretrained weights of depth 2, kernel 3, resolution 8, width 4: 77.9 % of its largest scale; "
        "fresh: 10.weight, 10.bias"
    ]


def test_another_number_of_classes_is_no_hindrance(file, tmp_path):
    more = _with_output(FakeTask.image(), ClassOutput((0, 1, 2, 3, 4)))
    (start,) = starts(weights_of(SPACE.largest, tmp_path / "more.safetensors", task=more))
    assert start.share == starts(file)[0].share


def _with_output(task, output):
    return type(task)(**{**{name: getattr(task, name) for name in task.__dataclass_fields__}, "output": output})


def test_state_dictionaries_of_torch_are_read_weights_only(tmp_path):
    path = tmp_path / "some.pt"
    torch.save(FAMILIES["cnn"].build(SPACE.largest, TASK, 7).body.state_dict(), path)
    (start,) = starts(path)
    assert start.fresh == ("10.weight", "10.bias")


def test_a_family_that_nothing_fits_starts_from_scratch_beside_one_that_does(file):
    mlp = FamilySpace("mlp", (Knob("depth", (1,)), Knob("width", (4,))))
    found = starts(file, (SPACE, mlp))
    assert [each.family for each in found] == ["cnn"]
    assert told(found, (SPACE, mlp))[1] == "mlp starts from scratch: nothing of the pretrained weights fits it"


def test_what_fits_nothing_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({f"block{at}.kernel": torch.zeros(9, 7) for at in range(5)}, path)
    with pytest.raises(InputError) as caught:
        starts(path)
    assert caught.value.message == (
        "'pretrained' other.safetensors fits nothing of cnn: it holds block0.kernel (9, 7), block1.kernel (9, 7), "
        "block2.kernel (9, 7) and 2 more, cnn has 0.weight (4, 1, 3, 3), 1.weight (4,), 1.bias (4,) and 11 more; "
        "name weights of the same model and scale."
    )
    assert caught.value.field == "pretrained"


def test_a_directory_without_a_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"^'pretrained' .* holds no study; name the --out of an earlier search\.$"):
        starts(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.safetensors", None, r"^'pretrained' must be a file, got '.*gone\.safetensors', which does not exist\.$"),
        ("some.bin", b"x", r"^'pretrained' must be \.safetensors or \.pt, got 'some\.bin'\.$"),
        ("cut.safetensors", b"\x01", r"^'pretrained' cut\.safetensors can't be read; was it cut short\?$"),
    ],
)
def test_files_that_can_not_be_read_are_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        starts(tmp_path / name)


def shop(fits, path, how="all"):
    (start,) = starts(path)
    return Workshop(
        task=TASK,
        registry=registry,
        families=FAMILIES,
        recipe=Recipe.from_json({"epochs": 1, "learning_rate": 1e-3, "tune": how}),
        metrics={"accuracy": METRICS["accuracy"]},
        monitor="accuracy",
        goal_metric="accuracy",
        seed=0,
        fits=fits,
        pretrained=Pretrained(Builder(FAMILIES, TASK, 0), {"cnn": start}, how),
    )


@pytest.mark.parametrize("how", ["all", "head"])
def test_a_candidate_starts_from_its_slice_and_says_so(tmp_path, file, how):
    small = Candidate("cnn", Scale.of(depth=2, width=2, kernel=3, resolution=8))
    made = shop(tmp_path / "fits", file, how).make(Assignment(small, 60.0), lambda _: None)
    assert made.notes["start"] == PRETRAINED
    assert 0.6 < made.notes["pretrained_share"] < 0.7
    learned = _read(tmp_path / "fits" / small.key / WEIGHTS)["body.0.weight"]
    given = _read(file)["body.0.weight"]
    apart = np.abs(learned[:, None] - given[None]).max(axis=(2, 3, 4)).min(axis=1)
    assert (apart < 5e-3).all()
    assert (apart == 0).all() == (how == "head")


def _read(path):
    from safetensors.numpy import load_file

    return load_file(path)


def test_weights_belong_to_the_identity_of_a_study(file):
    question = {"model": "cnn", "knobs": {"depth": (2,), "width": (4,), "kernel": (3,), "resolution": (8,)}}
    plain = api.resolve(TASK, **question)
    plan = api.resolve(TASK, **question, pretrained=file, tune="head")
    assert plan.identity["files"] == {"pretrained": starts_identity(plan.starts)["pretrained"]}
    assert plan.identity["training"]["tune"] == "head"
    assert "tune" not in plain.identity["training"]
    assert plan.sharing == "never"


def test_tuning_without_weights_is_refused():
    with pytest.raises(InputError) as caught:
        api.resolve(TASK, model="cnn", tune="head")
    assert caught.value.message == (
        "'tune' head says what of pretrained weights learns; give --pretrained too, or leave it out."
    )


def test_changes_of_rows_are_part_of_the_training_and_checked():
    asked = {"model": "cnn", "knobs": {"depth": (1,), "width": (2,)}}
    assert api.resolve(TASK, **asked, augment="flip,shift").identity["training"]["augment"] == "shift,flip"
    assert "augment" not in api.resolve(TASK, **asked, augment="none").identity["training"]
    with pytest.raises(UnknownNameError) as caught:
        api.resolve(TASK, **asked, augment="noise")
    assert caught.value.field == "augment"


@pytest.fixture
def home(tmp_path):
    """The home of a study of the largest and the smallest scale, as a search leaves it."""
    plan = api.resolve(
        TASK, model="cnn", knobs={"depth": (1, 2), "width": (2, 4), "kernel": (3,)}, out=tmp_path / "out"
    )
    opened = open_study(plan.out, plan.identity, METRICS["accuracy"])
    for number, scale in enumerate((SPACE.largest, SPACE.smallest)):
        candidate = Candidate("cnn", scale)
        trial = measured(number, candidate, quality=0.9)
        metrics = {**trial.outcome.metrics, "parameters": Quantity.exact(1000.0 - number)}
        opened.add(replace(trial, outcome=replace(trial.outcome, metrics=metrics)))
        folder = plan.out / "artifacts" / "fits" / candidate.key
        folder.mkdir(parents=True)
        weights_of(scale, folder / WEIGHTS)
    opened.close()
    return plan.out


def test_of_an_earlier_study_the_largest_model_of_a_family_is_taken(home):
    (start,) = starts(home)
    assert (start.scale, start.head) == (SPACE.largest, False)
    assert start.path.endswith(f"{Candidate('cnn', SPACE.largest).key}/{WEIGHTS}")


def test_the_last_layer_comes_along_where_the_classes_are_the_same(home):
    (home / "steelyard.json").write_text(json.dumps({"labels": [0, 1, 2]}), encoding="utf-8")
    (start,) = starts(home)
    assert (start.head, start.share) == (True, 1.0)
    (home / "steelyard.json").write_text(json.dumps({"labels": ["a", "b", "c"]}), encoding="utf-8")
    assert not starts(home)[0].head


def test_weights_that_all_scales_shared_are_preferred(home):
    shared = shared_home(home / "artifacts" / "fits", "cnn")
    shared.mkdir()
    body = FAMILIES["cnn"].build(SPACE.largest, TASK, 3).body
    save_file(dict(body.named_parameters()), shared / WEIGHTS)
    assert starts(home)[0].path.endswith(f"{Candidate('cnn', SPACE.largest).key}/{WEIGHTS}")
    (shared / REPORT).write_text(json.dumps({"knobs": [each.to_json() for each in SPACE.knobs]}), encoding="utf-8")
    (start,) = starts(home)
    assert start.path == str((shared / WEIGHTS).resolve())
    assert start.fresh == ("10.weight", "10.bias")


def test_a_study_of_other_families_is_refused(home):
    mlp = FamilySpace("mlp", (Knob("depth", (1,)), Knob("width", (4,))))
    with pytest.raises(InputError) as caught:
        starts(home, (mlp,))
    assert caught.value.message == (
        f"'pretrained' {home} has no weights of mlp; name a family that it searched as --model, or another study."
    )
