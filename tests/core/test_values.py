"""Values that come back from JSON as they went."""

import json
import re
from pathlib import Path

import pytest

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.environment import Environment
from steelyard.core.events import Event, silent
from steelyard.core.goal import Goal
from steelyard.core.outcome import Drop, FailedTrial, Miss, Outcome, Point
from steelyard.core.quantity import Quantity
from steelyard.core.task import (
    ClassOutput,
    Column,
    Fact,
    ImageInput,
    Rows,
    TableInput,
    ValueOutput,
    input_from_json,
    input_to_json,
    output_from_json,
    output_to_json,
)
from steelyard.core.trial import STAGES, Failure, Measurement, Trial
from steelyard.core.version import __version__

CANDIDATE = Candidate("cnn", Scale.of(width=8, depth=2), (StepSetting("quantize", (("rows", 64),)),))
METRICS = {"accuracy": Quantity(0.9, "1", 0.88, 0.92, 100), "size_bytes": Quantity.exact(1234, "B")}
ENVIRONMENT = Environment("a processor", 2, 8 * 10**9, "Linux", "3.11.9", {"b": "2", "a": "1"}, ("avx2",))


def through_json(value):
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize(
    "outcome",
    [Measurement(METRICS, "ab" * 32, {"curve": {"epoch": [1.0]}}), Failure("train", "training diverged.")],
    ids=["measurement", "failure"],
)
def test_a_trial_comes_back_from_json(outcome):
    trial = Trial(3, CANDIDATE, outcome, {"train": 1.5}, trained=True)
    assert Trial.from_json(through_json(trial.to_json())) == trial
    assert trial.key == CANDIDATE.key


def test_an_environment_comes_back_from_json_with_its_key():
    back = Environment.from_json(through_json(ENVIRONMENT.to_json()))
    assert back == ENVIRONMENT
    assert back.key == ENVIRONMENT.key


def test_a_point_comes_back_from_json():
    point = Point(CANDIDATE, "variants/a/model.onnx", METRICS, "larger", {"knee": None, "e": 0.5}, {"raw": {"a": 1}})
    assert Point.from_json(through_json(point.to_json())) == point
    assert (point.family, point.scale, point.steps) == (CANDIDATE.family, CANDIDATE.scale, CANDIDATE.steps)


def test_an_outcome_comes_back_from_json():
    point = Point(CANDIDATE, "model.onnx", METRICS, "chosen")
    drop = Drop("accuracy", 0.001, 0.008, 0.01, False, 0.95, "trinomial", True, 719, None, 1)
    goal = Goal(metric="accuracy", relative=False, max_size_bytes=1000.0)
    outcome = Outcome(
        study="abc",
        task="digits",
        status="infeasible",
        goal=goal,
        chosen=point,
        reference=point,
        front=(point,),
        points=(point, point),
        misses=(Miss("max_size", 1000.0, 1234.0, "B"), Miss("max_energy", 1.0, None, "J")),
        drop=drop,
        counts={"explored": 2, "trained": 1, "measured": 2, "failed": 1},
        failures=(FailedTrial("k", "export", "no such operator.", "cnn (width 8)"),),
        splits={"train": 1, "valid": 2, "test": 3, "how": "given"},
        spent={"train_s": 1.0},
        wall_s=2.0,
        bundle=Path("/somewhere/out"),
        environment=ENVIRONMENT,
        facts=(Fact("rows", 6, "6 rows."),),
        notices=("Read this.",),
    )
    plain = through_json(outcome.to_json())
    assert plain["schema"] == 1
    assert Outcome.from_json(plain) == outcome


@pytest.mark.parametrize(
    "spec",
    [
        ImageInput(8, 9, 3, "chw", (1.0, 2.0, 3.0), (0.5, 0.5, 0.5)),
        TableInput((Column("a", "number", 1.0, 2.0, (), True), Column("b", "category", categories=("x", "y")))),
    ],
    ids=["image", "table"],
)
def test_an_input_comes_back_from_json(spec):
    assert input_from_json(through_json(input_to_json(spec))) == spec


@pytest.mark.parametrize("spec", [ClassOutput(("a", "b", 3)), ValueOutput(1.5, 2.0)], ids=["classes", "values"])
def test_an_output_comes_back_from_json(spec):
    assert output_from_json(through_json(output_to_json(spec))) == spec


@pytest.mark.parametrize(("layout", "shape"), [("hw", (8, 9)), ("chw", (3, 8, 9)), ("hwc", (8, 9, 3))])
def test_the_shape_of_a_raw_image_follows_its_layout(layout, shape):
    assert ImageInput(8, 9, 3, layout, (0.0,), (1.0,)).shape == shape


def test_rows_come_in_batches_of_float32_in_order():
    import numpy as np

    rows = Rows(np.arange(10, dtype=np.uint8).reshape(5, 2), np.arange(5))
    batches = list(rows.batches(2))
    assert [batch.shape for batch in batches] == [(2, 2), (2, 2), (1, 2)]
    assert all(batch.dtype == np.float32 for batch in batches)
    assert np.concatenate(batches).ravel().tolist() == list(range(10))
    assert len(rows) == 5


def test_stages_are_in_the_order_of_a_candidates_life():
    assert STAGES == ("propose", "train", "export", "compress", "parity", "evaluate", "measure")


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_nobody_has_to_listen():
    assert silent(Event("fact", "something happened")) is None
