from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.goal import Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Stopped, Trial
from steelyard.engine.halving import FAR, Halving, told
from steelyard.engine.problem import StudyProblem
from steelyard.tasks.metrics import METRICS

ACCURACY = METRICS["accuracy"]
INT8 = (StepSetting("quantize"),)
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
SPACE = Space((FamilySpace("net", (Knob("depth", (1, 2, 3)), Knob("width", WIDTHS))),))
BASELINE = Candidate("baseline", Scale())


def candidate(depth, width, steps=()):
    return Candidate("net", Scale.of(depth=depth, width=width), steps)


REFERENCE = candidate(3, 128)


def plan(space=SPACE, *, earlier=(), halving=True, monitor="accuracy", metric=ACCURACY, rows=1000, recipe=None, **goal):
    return SimpleNamespace(
        space=space,
        firsts=(*space.references(), BASELINE),
        earlier=earlier,
        goal=Goal(**goal),
        goal_metric=metric.name,
        monitor=monitor,
        metric=metric,
        halving=halving,
        given=None,
        recipe=recipe or {},
        seed=0,
        task=SimpleNamespace(valid=range(rows)),
    )


def rule(asked=None):
    asked = asked or plan()
    return Halving.of(asked, StudyProblem(asked.goal, asked.metric, 0))


def measured(each, quality, *, latency=None, size=None, curve=(), notes=None, half=0.01):
    """A trial that was trained; by default it costs as much as its settings say, and learned in ten epochs."""
    depth, width = each.scale["depth"], each.scale["width"]
    latency = latency or 1e-6 * (10 + depth * width)
    qualities = list(curve) or [quality * (1 - 0.5 ** (epoch + 1)) for epoch in range(9)] + [quality]
    told_of = {"curve": {"epoch": list(range(1, len(qualities) + 1)), "valid_quality": qualities}, **(notes or {})}
    metrics = {
        "accuracy": Quantity(quality, "1", quality - half, min(1.0, quality + half), 1000),
        "latency_p50_s": Quantity(latency, "s", 0.99 * latency, 1.01 * latency),
        "size_bytes": Quantity.exact(float(size or 100 + 10 * depth * width), "B"),
    }
    return Trial(0, each, Measurement(metrics, "0" * 64, told_of), {"train": 1.0}, trained=True)


def some(quality=0.9):
    """The reference and five more, all of them good."""
    return [measured(REFERENCE, 0.95), *(measured(candidate(1, width), quality) for width in WIDTHS[:5])]


LARGER = candidate(2, 16)


def test_a_candidate_must_come_up_to_the_best_that_costs_no_more():
    needs = rule().needs(LARGER, some())
    assert [need.epoch for need in needs] == [2, 4, 8]
    assert {need.why for need in needs} == {"front"}
    qualities = [need.quality for need in needs]
    assert qualities == sorted(qualities)
    assert 0 < qualities[0] < 0.9


def test_what_nothing_cheaper_is_known_of_goes_on():
    assert rule().needs(candidate(1, 1), some()[:1] + some()[2:]) == ()


@pytest.mark.parametrize("exempt", [REFERENCE, BASELINE], ids=str)
def test_references_and_the_baseline_are_never_stopped(exempt):
    asked = plan()
    trials = [each for each in some() if each.candidate != exempt]
    assert Halving.of(asked, StudyProblem(asked.goal, ACCURACY, 0)).needs(exempt, trials) == ()


def test_the_front_of_an_earlier_study_is_never_stopped():
    assert rule(plan(earlier=(LARGER,))).needs(LARGER, some()) == ()


def test_a_model_that_is_trained_in_another_form_has_nothing_to_reach():
    space = Space(SPACE.families, ((), INT8))
    trials = [*some(), *(measured(candidate(1, width, INT8), 0.9) for width in WIDTHS[:5])]
    whole = rule(plan(space))
    assert whole.needs(candidate(2, 16, INT8), trials) != ()
    assert whole.needs(candidate(2, 16, INT8), [*trials, measured(LARGER, 0.9)]) == ()


def test_a_training_must_be_hopeless_in_every_form():
    assert rule(plan(Space(SPACE.families, ((), INT8)))).needs(LARGER, some()) == ()


@pytest.mark.parametrize(
    "asked",
    [
        plan(halving=False),
        plan(monitor="f1"),
        plan(recipe={"loop": "file.py:train"}),
    ],
    ids=["not wanted", "another metric is watched", "a loop of one's own"],
)
def test_nothing_is_stopped_where_curves_tell_nothing_or_nobody_wants_it(asked):
    assert rule(asked) is None


def test_four_trainings_are_too_few():
    assert rule().needs(LARGER, some()[:4]) == ()


@pytest.mark.parametrize("notes", [{"taken_over": True}, {"start": "shared weights"}], ids=str)
def test_only_trainings_from_scratch_tell_of_trainings_from_scratch(notes):
    trials = [measured(each.candidate, 0.9, notes=notes) for each in some()]
    assert rule().needs(LARGER, trials) == ()


def test_far_from_a_goal_that_is_met_only_its_own_costs_count():
    # A wider one has a smaller file, so that width tells nothing of size.
    sizes = [measured(candidate(1, width), 0.6, size=1e6 - width) for width in WIDTHS[:5]]
    trials = [measured(REFERENCE, 0.95), *sizes]
    slow = candidate(2, 64)
    assert {need.why for need in rule().needs(slow, trials)} == {"goal"}
    # Before the goal is met, everything might be the nearest.
    assert rule(plan(max_latency_s=1e-9)).needs(slow, trials) == ()
    assert rule(plan(min_quality=0.99)).needs(slow, trials) == ()


def test_near_the_goal_nothing_is_stopped_for_it():
    sizes = [measured(candidate(1, width), 0.94, size=1e6 - width) for width in WIDTHS[:5]]
    needs = rule().needs(candidate(2, 64), [measured(REFERENCE, 0.95), *sizes])
    assert {need.why for need in needs} == {"goal"}
    assert all(need.quality < 0.95 - FAR * 0.01 for need in needs)


levels = st.floats(0.05, 0.99)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(1, 4)), st.sampled_from(WIDTHS), levels), min_size=5, max_size=12),
    st.tuples(st.sampled_from(range(1, 3)), st.sampled_from(WIDTHS[:-1])),
    levels,
)
def test_what_would_be_on_the_front_is_never_stopped_where_it_learns_like_the_others(found, at, quality):
    trials = [measured(REFERENCE, 0.95), *(measured(candidate(d, w), q) for d, w, q in dict.fromkeys(found))]
    trials = list({each.key: each for each in trials if each.candidate != candidate(*at)}.values())
    own = measured(candidate(*at), quality)
    dominated = any(
        each.outcome.metrics["accuracy"].value >= quality
        and each.outcome.metrics["latency_p50_s"].value <= own.outcome.metrics["latency_p50_s"].value
        for each in trials
    )
    curve = own.outcome.notes["curve"]["valid_quality"]
    short = [need for need in rule().needs(own.candidate, trials) if max(curve[: need.epoch]) < need.quality]
    assert dominated or not short


def noted(epoch, *qualities):
    return {
        "epoch": epoch,
        "quality": max(qualities),
        "curve": {"epoch": list(range(1, len(qualities) + 1)), "valid_quality": list(qualities)},
    }


def test_what_was_stopped_in_one_form_is_ended_in_the_other_without_training():
    space = Space(SPACE.families, ((), INT8))
    trials = [*some(), *(measured(candidate(1, width, INT8), 0.9) for width in WIDTHS[:5])]
    whole = rule(plan(space))
    needs = whole.needs(LARGER, trials)
    end = whole.stopped(needs, noted(4, 0.1, 0.1, 0.1, 0.1))
    assert (end.epoch, end.quality, end.why) == (4, 0.1, "front")
    assert end.quality < end.reach < 0.9
    stopped = Trial(9, LARGER, end, {"train": 0.4})
    other = candidate(2, 16, INT8)
    again = whole.needs(other, [*trials, stopped])
    known = whole.known_end(other, again, [*trials, stopped])
    assert (known.epoch, known.quality) == (2, 0.1)
    assert whole.known_end(candidate(2, 8), again, [*trials, stopped]) is None
    assert whole.known_end(other, (), [*trials, stopped]) is None


def ended(epoch, why="front", reach=0.5, metric="accuracy", width=2):
    return Trial(0, candidate(2, width), Stopped(epoch, metric, 0.1, 0.4, reach, why, {}), {})


def test_the_answer_tells_what_was_stopped_in_one_sentence():
    trials = [*some(), ended(2), ended(8, "goal", width=4), ended(4, width=8)]
    assert told(trials, plan()) == (
        "3 candidates were stopped early, after 2 to 8 epochs where others took 10: 2 could not become better than "
        "what costs no more, 1 could not come near the goal",
    )
    assert told([ended(4)], plan()) == (
        "1 candidate was stopped early, after 4 epochs: 1 could not become better than what costs no more",
    )
    assert told(some(), plan()) == ()


def test_another_goal_hears_of_what_was_stopped_for_the_first():
    doubt = (
        "1 of them were stopped for another goal and might matter for this one: search anew with another --out to "
        "have them"
    )
    trials = [*some(), ended(2, "goal", reach=0.8)]
    assert told(trials, plan(max_drop=0.01))[1:] == ()
    assert told(trials, plan(max_drop=0.04))[1:] == (doubt,)
    assert told([*some(), ended(2, metric="f1")], plan())[1:] == (doubt,)


def test_a_stopped_trial_comes_back_from_its_plain_form():
    trial = ended(4)
    assert Trial.from_json(trial.to_json()) == trial
    assert "stopped" in trial.to_json()
    problem = StudyProblem(Goal(), ACCURACY, 0)
    assert problem.score(trial) is None
    assert not problem.is_good_enough(trial, some())
    assert not isinstance(trial.outcome, Failure)
