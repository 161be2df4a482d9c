"""The engine's side of looks at forms: when a round begins, what it asks for, what is made of its answer."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.errors import WorkerError
from steelyard.core.explored import Explored
from steelyard.core.goal import Goal
from steelyard.core.protocols import Strategy
from steelyard.engine.exploring import LOOKED, explored_keys, seconds_of, told
from steelyard.engine.forms import INT8, MIXED, PIPELINES
from steelyard.engine.lookrounds import ROUND_SHARE, SHARE, LookRounds, Standing
from steelyard.engine.messages import Made
from steelyard.engine.problem import StudyProblem
from steelyard.strategies.grid import GRID
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import measured

WIDTHS = (1, 2, 3, 4)
FAMILY = FamilySpace("one", (Knob("width", WIDTHS),))
CHAINS = (StepSetting("quantize", (("chains", True),)),)
PROBLEM = StudyProblem(Goal(max_drop=0.01), METRICS["accuracy"], 0)


class Kept:
    def __init__(self):
        self.facts = {}

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value


class Workers:
    def __init__(self):
        self.asked = []

    def submit(self, asked, kill_s, stage_changed):
        self.asked.append((asked, kill_s))
        return Future()


def plain(width: int) -> Candidate:
    return Candidate("one", Scale.of(width=width))


def form(width: int, steps) -> Candidate:
    return Candidate("one", Scale.of(width=width), steps)


def rounds(pipelines=(*PIPELINES, *MIXED), *, added=MIXED, strategy: Strategy = GRID, options=((),)):
    space = Space((FAMILY,), pipelines, options=options)
    plan = SimpleNamespace(
        space=space,
        added=added,
        strategy=strategy,
        firsts=(plain(4),),
        goal=PROBLEM.goal,
        metric=PROBLEM.metric,
        goal_metric="accuracy",
        batch=2,
        threads=1,
    )
    known = {each.key: Explored(each, 0.9, 100, 1e-5, 1000) for each in map(plain, WIDTHS)}
    return LookRounds(plan, Kept(), SimpleNamespace(known=known))


def begin(looks, candidate, left_s=100.0, workers=None):
    standing = Standing([], [], PROBLEM, left_s)
    return looks.begin(candidate, standing, workers or Workers(), lambda _: None)


def ended(looks, *qualities, refused=(), barred=(), took=2.0):
    """A round that found such qualities of the first forms asked for, in order."""
    found = [Explored(each, quality, 100, 1e-5, 500) for each, quality in zip(looks._asked, qualities, strict=False)]
    notes = {
        "metric": "accuracy",
        "explored": [each.to_json() for each in found],
        "refused": dict(refused),
        "barred": [each.to_json() for each in barred],
    }
    future: Future[Made] = Future()
    future.set_result(Made("", {}, {"look": took}, trained=False, notes=notes))
    return list(looks.end(future))


def test_forms_of_a_proposal_and_of_what_comes_next_are_asked_for_within_a_share_of_the_time():
    looks, workers = rounds(), Workers()
    assert begin(looks, form(2, (INT8,)), workers=workers) is not None
    (asked, _), *more = workers.asked
    assert (more, looks.is_running) == ([], True)
    assert asked.candidates[0] == form(2, (INT8,))
    assert {each.steps for each in asked.candidates} == {(INT8,)}
    assert len({each.scale for each in asked.candidates}) > 1
    assert asked.limit_s == pytest.approx(ROUND_SHARE * SHARE * 100)
    assert (asked.batch, asked.threads) == (2, 1)


def test_the_first_candidates_what_is_not_explored_and_a_second_round_at_a_time_begin_nothing():
    looks = rounds()
    assert begin(looks, plain(4)) is None
    assert begin(looks, Candidate("two", Scale.of(width=1), (INT8,))) is None
    assert begin(looks, form(1, (INT8,))) is not None
    assert begin(looks, form(2, (INT8,))) is None


def test_what_was_found_is_known_kept_and_told():
    looks = rounds(PIPELINES, added=())
    begin(looks, plain(2))
    assert ended(looks, 0.89, 0.88) == ["one: 2 forms looked at, 2 s"]
    known = looks.explorations.known
    assert known[form(2, (INT8,)).key].quality == 0.89
    assert begin(looks, plain(2)) is None
    assert explored_keys(looks.study) == {key for key, each in known.items() if each.candidate.steps}
    assert seconds_of(looks.study) == {"train": 0, "export": 2.0}
    begin(looks, plain(3))
    ended(looks, 0.87, took=1.0)
    kept = looks.study.get(LOOKED)["one"]
    assert (len(kept["explored"]), kept["seconds"]) == (3, {"look": 3.0})


def test_agreement_of_forms_is_told_apart_from_that_of_scales():
    looks = rounds()
    begin(looks, plain(1))
    ended(looks, 0.5, 0.6, 0.7, 0.8)
    seen = [Explored.from_json(each) for each in looks.study.get(LOOKED)["one"]["explored"]]
    trials = [measured(at, each.candidate, quality=each.quality + 0.1) for at, each in enumerate(seen)]
    shared = {"metric": "accuracy", "explored": [], "trained": {"train_s": 1.0}, "files": {}, "shared": 1.0}
    looks.study.put("explored", {"one": shared})
    found = told(looks.study, trials, METRICS["accuracy"])["one"]
    assert (found["explored"], found["pairs"]) == (0, 0)
    forms = found["forms"]
    assert (forms["explored"], forms["pairs"], forms["look_s"], forms["refused"]) == (4, 4, 2.0, {})
    assert forms["rank_correlation"] == pytest.approx(1.0)
    assert forms["error"] == pytest.approx(0.1)


def test_mixed_precision_enters_where_int8_alone_loses_too_much():
    looks = rounds()
    assert looks.space().pipelines == PIPELINES
    begin(looks, plain(1))
    widths = [each.scale["width"] for each in looks._asked]
    ended(looks, *(0.88 if width == 2 else 0.9 for width in widths))
    assert looks.space().pipelines == (*PIPELINES, *MIXED)
    begin(looks, plain(2))
    assert looks._asked == (form(2, MIXED[0]), form(2, MIXED[1]))
    ended(looks, 0.9, 0.9)
    # The other scales lose nothing in int8, so nothing finer is looked at.
    assert begin(looks, plain(1)) is None


def test_forms_that_can_not_be_made_are_told_as_failed_and_leave_the_space_if_no_scale_takes_them():
    looks = rounds((*PIPELINES, CHAINS), added=())
    begin(looks, plain(1))
    ended(looks, 0.9, refused={"quantize (chains)": "no"}, barred=[form(1, CHAINS)])
    assert [each.candidate for each in looks.failed()] == [form(1, CHAINS)]
    assert looks.space().pipelines == (*PIPELINES, CHAINS)
    begin(looks, plain(2))
    ended(looks, 0.9, refused={"quantize (chains)": "no"}, barred=[form(2, CHAINS), form(3, CHAINS)])
    assert looks.space().pipelines == PIPELINES
    assert told_forms(looks)["refused"] == {"quantize (chains)": "no"}


def told_forms(looks):
    shared = {"metric": "accuracy", "explored": [], "trained": {"train_s": 1.0}, "files": {}, "shared": 1.0}
    looks.study.put("explored", {"one": shared})
    return told(looks.study, [], METRICS["accuracy"])["one"]["forms"]


def test_what_a_round_had_no_time_for_is_asked_for_again():
    looks = rounds((*PIPELINES, CHAINS), added=())
    begin(looks, plain(1))
    asked = looks._asked
    ended(looks, 0.9)
    begin(looks, plain(1))
    assert looks._asked[0] == asked[1]


def test_options_are_forms_too():
    looks = rounds(PIPELINES, options=((), (("arena", False),)))
    begin(looks, plain(1))
    assert [(each.steps, each.options) for each in looks._asked[:3]] == [
        ((), (("arena", False),)),
        ((INT8,), ()),
        ((INT8,), (("arena", False),)),
    ]


def test_rounds_end_with_their_time_or_with_a_failure():
    looks = rounds()
    begin(looks, plain(1), left_s=10.0)
    ended(looks, 0.9, took=5.0)
    assert begin(looks, plain(2)) is None
    looks = rounds()
    begin(looks, plain(1))
    future: Future[Made] = Future()
    future.set_exception(WorkerError("it died.", stage="look"))
    assert list(looks.end(future)) == ["forms are not looked at any more: it died."]
    assert begin(looks, plain(2)) is None
