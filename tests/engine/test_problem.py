import math
from dataclasses import replace

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.explored import Explored
from steelyard.core.goal import Goal
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.engine.problem import StudyProblem
from steelyard.select.quality import loss
from steelyard.tasks.metrics import METRICS


def trial(accuracy, *, latency=1e-5, size=1000.0, steps=(), width=8, p95=2e-5):
    metrics = {
        "accuracy": Quantity(accuracy),
        "latency_p50_s": Quantity(latency, "s"),
        "latency_p95_s": Quantity(p95, "s"),
        "size_bytes": Quantity(size, "B"),
        "peak_memory_bytes": Quantity(5e6, "B"),
    }
    return Trial(0, Candidate("mlp", Scale.of(width=width), steps), Measurement(metrics, "0" * 64))


def problem(**goal):
    return StudyProblem(Goal(**goal), METRICS["accuracy"], seed=0)


def test_objectives_are_quality_latency_size_and_whatever_else_is_limited():
    assert problem().objectives == ("accuracy", "latency_p50_s", "size_bytes")
    assert problem(max_memory_bytes=1e6).objectives[-1] == "peak_memory_bytes"
    assert problem(minimize="memory").objectives[-1] == "peak_memory_bytes"


def test_scores_are_lower_for_better_quality_and_lower_cost():
    better = problem().score(trial(0.9, latency=1e-6, size=10.0))
    worse = problem().score(trial(0.8, latency=1e-5, size=100.0))
    assert all(a < b for a, b in zip(better, worse, strict=True))
    assert worse[1] == math.log(1e-5)


def test_failures_have_no_score():
    failed = Trial(0, Candidate("mlp", Scale()), Failure("train", "no"))
    assert problem().score(failed) is None
    assert not problem().is_good_enough(failed, [])


def test_good_enough_is_judged_against_the_best_uncompressed():
    best, small = trial(0.95, width=64), trial(0.945)
    compressed = trial(0.99, steps=(StepSetting("quantize"),))
    assert problem(max_drop=0.01).is_good_enough(small, [best, small, compressed])
    assert not problem(max_drop=0.004).is_good_enough(small, [best, small, compressed])


def test_a_model_with_options_is_no_reference_either():
    best, small = trial(0.95, width=64), trial(0.945)
    loaded = replace(trial(0.99), candidate=Candidate("mlp", Scale.of(width=8), options=(("threads", 2),)))
    assert problem(max_drop=0.01).is_good_enough(small, [best, small, loaded])


def test_good_enough_needs_every_limit():
    best, small = trial(0.95, width=64), trial(0.95)
    assert not problem(max_latency_s=1e-5).is_good_enough(small, [best, small])
    assert problem(max_latency_s=3e-5).is_good_enough(small, [best, small])


def test_looks_at_forms_are_estimates_but_no_explored_scales():
    plain, form = Candidate("mlp", Scale.of(width=8)), Candidate("mlp", Scale.of(width=8), (StepSetting("quantize"),))
    known = {each.key: Explored(each, quality, 100, 1e-5, 500) for each, quality in ((plain, 0.9), (form, 0.8))}
    asked = replace(problem(), known=known)
    assert asked.explored() == (plain,)
    assert asked.estimate(form) == (loss(METRICS["accuracy"], 0.8), math.log(1e-5))
    assert asked.estimate(replace(form, options=(("threads", 2),))) is None


def test_the_worst_loss_is_that_of_the_best_plain_model_and_a_share_of_the_permitted_drop():
    assert problem(max_drop=0.02).worst_loss([]) is None
    assert math.isclose(problem(max_drop=0.02).worst_loss([trial(0.95), trial(0.9)], 0.5), -0.94)
    assert math.isclose(problem(max_drop=0.02, relative=True).worst_loss([trial(0.5)]), -0.49)
