"""What a study's trials tell of growing together."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Space, StepSetting
from steelyard.core.errors import InputError
from steelyard.core.goal import Budget, Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.plan import Plan
from steelyard.engine.request import Request, resolve
from steelyard.engine.scaling import scalings
from steelyard.strategies.compound import COMPOUND
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask

SPACE = Space(
    (FamilySpace("mlp", (Knob("depth", (1, 2, 3)), Knob("width", (16, 32, 64)))),), ((), (StepSetting("quantize"),))
)
PLAN = Plan(
    task=FakeTask.image(),
    space=SPACE,
    goal=Goal(),
    budget=Budget(),
    strategy=COMPOUND,
    recipe={},
    metrics={"accuracy": METRICS["accuracy"]},
    metric_addresses=("accuracy",),
    monitor="accuracy",
    goal_metric="accuracy",
    out=Path("out"),
)


def trial(number: int, candidate: Candidate) -> Trial:
    depth, width = candidate.scale["depth"], candidate.scale["width"]
    accuracy = 1 - 0.02 * math.exp(1 / depth + 16 / width)
    metrics = {
        "accuracy": Quantity(accuracy, "1", accuracy - 0.01, accuracy + 0.01, 1000),
        "macs": Quantity.exact(depth * width**2),
        "latency_p50_s": Quantity(1e-9 * depth * width**2, "s"),
    }
    return Trial(number, candidate, Measurement(metrics, ""))


def told(plan: Plan, trials: list[Trial]):
    return scalings(plan, {each.key: each.outcome.metrics for each in trials}, trials)


TRIALS = [trial(number, each) for number, each in enumerate(SPACE.candidates())]


def test_uncompressed_scales_of_a_family_tell_how_it_should_grow() -> None:
    (scaling,), notices = told(PLAN, TRIALS)
    assert (scaling.family, scaling.n, notices) == ("mlp", 9, ())
    assert [each.cost for each in scaling.growths] == [*["published"] * 2, *["macs"] * 2, *["latency_p50_s"] * 2]


def test_too_few_are_a_notice_only_where_a_ladder_was_asked_for() -> None:
    few = TRIALS[:8]
    assert told(PLAN, few) == ((), ())
    why = "mlp: a fit of how knobs should grow together needs 8 measured scales, got 4"
    assert told(replace(PLAN, scale="compound"), few) == ((), (why,))


def test_a_ladder_is_another_study_and_older_studies_stay_what_they_were() -> None:
    assert "scale" not in PLAN.identity
    assert replace(PLAN, scale="compound").identity == {**PLAN.identity, "scale": "compound"}


def test_a_ladder_has_its_own_strategy() -> None:
    plan = resolve(Request(FakeTask.image(), model="mlp", scale="compound"))
    assert (plan.strategy.name, plan.scale) == ("compound", "compound")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"model": "linear"},
            "'scale' compound needs two of the knobs depth, width and resolution, each with two choices or more; "
            "'linear' has resolution: leave 'scale' out or name another model.",
        ),
        (
            {"model": "mlp", "knobs": {"depth": (1,), "width": (8,)}},
            "'scale' compound needs two of the knobs depth, width and resolution, each with two choices or more; "
            "'mlp' has none: leave 'scale' out or name another model.",
        ),
        (
            {"model": "mlp", "strategy": "grid"},
            "'strategy' 'grid' walks the whole space, but 'scale' compound restricts it to a ladder; "
            "leave one of the two out.",
        ),
        ({"model": "mlp", "scale": "wide"}, "'scale' must be free or compound, got 'wide'."),
    ],
)
def test_what_makes_no_ladder_is_refused(options, message) -> None:
    with pytest.raises(InputError) as caught:
        resolve(Request(FakeTask.image(), **{"scale": "compound", **options}))
    assert str(caught.value) == message
