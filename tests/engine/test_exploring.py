"""The engine's side of exploring: what is asked of workers, what is kept, what is told."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.core.goal import Budget, Goal
from steelyard.engine.exploring import FACT, Explorations, explored_keys, seconds_of, told
from steelyard.engine.messages import Made
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import measured

WIDTHS = (1, 2, 3, 4, 5, 6)
ONE, TWO = (FamilySpace(name, (Knob("width", WIDTHS),)) for name in ("one", "two"))
SMALL = FamilySpace("small", (Knob("width", (1, 2)),))


@dataclass
class Kept:
    facts: dict[str, Any] = field(default_factory=dict)

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value


@dataclass
class Workers:
    asked: list[Any] = field(default_factory=list)

    def submit(self, asked, kill_s, stage_changed):
        self.asked.append((asked, kill_s))
        return Future()


def plan(sharing="always", *, families=(ONE, SMALL, TWO), given=None):
    return SimpleNamespace(
        sharing=sharing,
        given=given,
        warm=None,
        space=Space(families),
        budget=Budget(),
        trial_limit_s=600.0,
        workers=1,
        batch=1,
        threads=1,
        goal_metric="accuracy",
    )


def found(family: str, qualities) -> Made:
    explored = [
        Explored(Candidate(family, Scale.of(width=width)), quality, 100, 1e-5 * width, 1000 * width).to_json()
        for width, quality in zip(WIDTHS, qualities, strict=True)
    ]
    notes = {
        "metric": "accuracy",
        "explored": explored,
        "trained": {"train_s": 12.0},
        "files": {"cut": 6},
        "shared": 0.9,
    }
    return Made("weights.safetensors", {}, {"share": 12.0, "explore": 3.0}, trained=True, notes=notes)


def ended(made: Made | Exception) -> "Future[Made]":
    future: Future[Made] = Future()
    if isinstance(made, Exception):
        future.set_exception(made)
    else:
        future.set_result(made)
    return future


@pytest.mark.parametrize("asked", [plan("never"), plan("never", given=object())])
def test_nothing_is_explored_where_nothing_is_to_be_shared(asked):
    assert Explorations.of(asked, Kept()) is None


def test_families_come_one_after_the_other_and_divide_the_time():
    explorations, workers = Explorations.of(plan(), Kept()), Workers()
    explorations.begin(workers, 100.0, lambda _: None)
    list(explorations.end(ended(found("one", [0.5] * 6))))
    explorations.begin(workers, 80.0, lambda _: None)
    assert [asked.space for asked, _ in workers.asked] == [ONE, TWO]
    first, second = (asked.limit_s for asked, _ in workers.asked)
    assert first == pytest.approx(100 * 0.3 / 2)
    assert second == pytest.approx(80 * 0.3)
    assert explorations.begin(workers, 60.0, lambda _: None) is None


def test_what_was_found_is_kept_and_a_later_run_goes_on_from_it():
    study = Kept()
    explorations = Explorations.of(plan(), study)
    explorations.begin(Workers(), None, lambda _: None)
    said = list(explorations.end(ended(found("one", [0.5, 0.6, 0.7, 0.8, 0.9, 0.9]))))
    assert said == [("fact", "one: 6 scales explored by shared weights, trained 12 s")]
    later = Explorations.of(plan(), study)
    assert (later.todo, later.known) == ([TWO], explorations.known)
    assert explored_keys(study) == set(explorations.known)
    assert seconds_of(study) == {"train": 12.0, "export": 3.0}


@pytest.mark.parametrize(("sharing", "sort"), [("always", "notice"), ("where it pays", "fact")])
def test_a_refusal_is_told_and_candidates_are_trained_from_scratch(sharing, sort):
    study = Kept()
    explorations = Explorations.of(plan(sharing), study)
    explorations.begin(Workers(), None, lambda _: None)
    said = list(explorations.end(ended(WorkerError("it has no weights.", stage="share"))))
    assert said == [(sort, "one is trained from scratch, scale by scale: it has no weights.")]
    assert not explorations.is_running
    assert explorations.known == {}
    # Whoever asks for shared weights in so many words gets another try.
    assert (ONE in Explorations.of(plan(sharing), study).todo) == (sharing == "always")


def test_too_few_scales_or_too_little_time_are_not_explored():
    explorations, workers = Explorations.of(plan(), Kept()), Workers()
    assert list(explorations.untold()) == ["small has 2 scales, too few to share weights: each is trained from scratch"]
    assert explorations.begin(workers, 10.0, lambda _: None) is None
    assert (explorations.todo, explorations.is_running, workers.asked) == ([], False, [])


def test_estimates_of_another_metric_are_no_estimates():
    study = Kept({FACT: {"one": {**found("one", [0.5] * 6).notes, "metric": "f1"}}})
    explorations = Explorations.of(plan(), study)
    assert (explorations.known, explorations.shares("one"), explorations.todo) == ({}, False, [TWO])
    assert told(study, confirmed([0.5] * 4, (1, 2, 3, 4)), METRICS["accuracy"])["one"]["pairs"] == 0


def confirmed(qualities, widths):
    return [
        measured(number, Candidate("one", Scale.of(width=width)), quality=quality)
        for number, (width, quality) in enumerate(zip(widths, qualities, strict=True))
    ]


def test_agreement_is_told_from_four_pairs_on():
    study = Kept({FACT: {"one": {**found("one", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]).notes}, "two": {"refused": "why"}}})
    accuracy = METRICS["accuracy"]
    few = told(study, confirmed([0.3, 0.4, 0.5], (1, 2, 3)), accuracy)
    assert few["two"] == {"refused": "why"}
    assert (few["one"]["pairs"], few["one"]["rank_correlation"], few["one"]["error"]) == (3, None, None)
    right = told(study, confirmed([0.3, 0.4, 0.5, 0.6], (1, 2, 3, 4)), accuracy)["one"]
    assert right["rank_correlation"] == pytest.approx(1.0)
    assert right["error"] == pytest.approx(0.2)
    wrong = told(study, confirmed([0.6, 0.5, 0.4, 0.3], (1, 2, 3, 4)), accuracy)["one"]
    assert wrong["rank_correlation"] == pytest.approx(-1.0)
    flat = told(study, confirmed([0.5] * 4, (1, 2, 3, 4)), accuracy)["one"]
    assert flat["rank_correlation"] is None


NET = SimpleNamespace(is_module=True, name="net")
TREE = Space((FamilySpace("net"),), ((), (StepSetting("prune"), StepSetting("distill"))))


def test_the_structures_of_a_given_model_are_explored_around_its_goal():
    asked = plan(given=NET, families=(FamilySpace("net"),))
    asked.space, asked.goal, asked.metric = TREE, Goal(max_drop=0.02, minimize="size"), METRICS["accuracy"]
    explorations = Explorations.of(asked, Kept())
    assert list(explorations.untold()) == []
    workers = Workers()
    explorations.begin(workers, 100.0, lambda _: lambda _: None)
    sent, _ = workers.asked[0]
    assert (sent.max_drop, sent.relative, sent.minimize) == (0.02, False, "size")
    future = Future()
    future.set_exception(WorkerError("the model has no groups of channels that can go.", stage="share"))
    assert list(explorations.end(future)) == [
        (
            "notice",
            "net is cut step by step, without shared weights: the model has no groups of channels that can go.",
        )
    ]


@pytest.mark.parametrize(
    ("given", "space", "reason"),
    [
        (SimpleNamespace(is_module=False, name="net"), TREE, "a file without training code has no weights to train."),
        (NET, Space((FamilySpace("net"),)), "structures are explored where the steps prune and distill may be used."),
    ],
)
def test_a_given_model_that_can_not_share_weights_says_why(given, space, reason):
    asked = plan(given=given)
    asked.space = space
    explorations = Explorations.of(asked, Kept())
    assert explorations.todo == []
    assert list(explorations.untold()) == [f"net is cut step by step, without shared weights: {reason}"]
