"""The loop of a search with workers and a lane that are done at once: what is made, how often, and when it ends."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import Budget, Goal
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.errors import WorkerError
from steelyard.core.events import silent
from steelyard.core.explored import Explored
from steelyard.core.quantity import Quantity
from steelyard.engine.busy import BusyClock
from steelyard.engine.exploring import LOOKED, Explorations
from steelyard.engine.lane import Costs
from steelyard.engine.lookrounds import LookRounds
from steelyard.engine.messages import FormLooks, Made
from steelyard.engine.problem import StudyProblem
from steelyard.engine.search import Search
from steelyard.store.artifacts import Artifacts
from steelyard.strategies.elastic import ELASTIC
from steelyard.strategies.grid import GRID
from steelyard.strategies.grow import GROW
from steelyard.strategies.uniform import RANDOM
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import fake_space

ACCURACY = METRICS["accuracy"]
INT8 = ((), (StepSetting("quantize"),))
ONE_POINT = Space((FamilySpace("only", (Knob("width", (8,)),)),))
THREE_FAMILIES = Space(tuple(FamilySpace(name, (Knob("width", (1, 2)),)) for name in "abc"), INT8)


class Study:
    def __init__(self, folder):
        self.artifacts = Artifacts(folder / "artifacts")
        self.finished, self.facts = [], {}

    def trials(self):
        return list(self.finished)

    def add(self, trial):
        self.finished.append(trial)

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value


class Workers:
    """One worker. Candidates of `refused` keys fail."""

    free = 1

    def __init__(self, folder, refused=()):
        self.folder, self.refused, self.got, self.looks = folder, refused, [], []

    def submit(self, assignment, kill_s, stage_changed):
        del kill_s, stage_changed
        if isinstance(assignment, FormLooks):
            return self.look(assignment)
        key = assignment.candidate.key
        self.got.append(key)
        future = Future()
        if key in self.refused:
            future.set_exception(WorkerError("no.", stage="train"))
            return future
        path = self.folder / f"{key}.onnx"
        path.write_text(key, encoding="utf-8")
        metrics = {"accuracy": Quantity(0.5, "1", n=10).to_json(), "size_bytes": Quantity.exact(9.0, "B").to_json()}
        future.set_result(Made(str(path), metrics, {"train": 1.0}, trained=False))
        return future

    def look(self, asked):
        """Each form is as good as its float; those of `refused` keys can't be made."""
        self.looks.append(asked)
        barred = [each for each in asked.candidates if each.key in self.refused]
        found = [Explored(each, 0.5, 10, 1e-6, 5) for each in asked.candidates if each not in barred]
        future = Future()
        notes = {
            "metric": "accuracy",
            "explored": [each.to_json() for each in found],
            "barred": [each.to_json() for each in barred],
            "refused": {"quantize": "no."} if barred else {},
        }
        future.set_result(Made("", {}, {"look": 1.0}, trained=False, notes=notes))
        return future


class Lane:
    runtime = SimpleNamespace(companions=(), suffix=".onnx")

    def __init__(self):
        self.rounds = []

    def subject(self, candidate, path):
        return SimpleNamespace(key=candidate.key, path=path)

    def expected_s(self, models):
        return 0.0 * models

    def measure(self, batch, beside):
        del beside
        self.rounds.append((len(batch), 0.1))
        return {each.key: Costs({"latency_p50_s": Quantity(1e-5, "s")}, {}) for each in batch}


def search(folder, study, space, *, strategy=GRID, trials=None, earlier=(), refused=(), looks=False):
    """Run a search to its end; the keys that were made, in order."""
    firsts = (*space.references(), Candidate("baseline", Scale(), (), space.runtime))
    plan = SimpleNamespace(
        goal=Goal(),
        goal_metric="accuracy",
        metric=ACCURACY,
        size=space.size,
        space=space,
        strategy=strategy,
        budget=Budget(None, trials),
        firsts=firsts,
        earlier=tuple(earlier),
        given=None,
        trial_limit_s=60.0,
        recipe={},
        added=(),
        sharing="never",
        batch=1,
        threads=1,
    )
    workers = Workers(folder, refused)
    known = {each.key: Explored(each, 0.5, 10, 1e-6, 9) for each in space.candidates() if each.is_plain}
    explorations = Explorations(plan, study, [], known) if looks else None
    problem = StudyProblem(plan.goal, ACCURACY, 0)
    found = Search(
        plan, study, workers, Lane(), problem, silent, BusyClock(), end=lambda _: float("inf"), wall_s=lambda: 0.0
    )
    if explorations is not None:
        found.explorations, found.looks = explorations, LookRounds(plan, study, explorations)
    found.run()
    return workers.got, found


@pytest.mark.parametrize("strategy", [GRID, RANDOM, GROW], ids=lambda each: each.name)
def test_nothing_is_made_twice_over_resumes_and_warm_starts(tmp_path, strategy):
    space, study = fake_space(), Study(tmp_path)
    every = list(space.candidates())
    first, _ = search(tmp_path, study, space, strategy=strategy, trials=5, earlier=(every[3], every[3], every[-2]))
    second, _ = search(tmp_path, study, space, strategy=strategy, trials=9, earlier=(every[3], every[5]))
    third, _ = search(tmp_path, study, space, strategy=strategy, earlier=every[:2])
    made = [*first, *second, *third]
    assert len(made) == len(set(made)) == len(study.finished)
    assert {each.key for each in (every[3], every[5], *every[:2])} <= set(made)


@settings(max_examples=20)
@given(picks=st.lists(st.integers(0, 11), max_size=8), trials=st.integers(1, 14))
def test_an_earlier_front_comes_after_the_firsts_in_its_order(tmp_path_factory, picks, trials):
    folder, space = tmp_path_factory.mktemp("study"), fake_space()
    every = list(space.candidates())
    earlier = [every[pick] for pick in picks]
    made, _ = search(folder, Study(folder), space, trials=trials, earlier=earlier)
    firsts = [each.key for each in space.references()]
    wanted = [each for each in dict.fromkeys(candidate.key for candidate in earlier) if each not in firsts]
    kept = [each for each in made if each in wanted]
    assert kept == wanted[: len(kept)]
    assert made[2 : 2 + len(kept)] == kept


def test_a_failure_is_kept_and_not_tried_again(tmp_path):
    space, study = fake_space(), Study(tmp_path)
    bad = next(iter(space.candidates())).key
    search(tmp_path, study, space, refused=(bad,))
    again, _ = search(tmp_path, study, space)
    assert again == []
    assert [each.key for each in study.finished].count(bad) == 1


def test_a_space_of_one_point_is_searched_to_its_end(tmp_path):
    study = Study(tmp_path)
    made, found = search(tmp_path, study, ONE_POINT)
    assert made == [ONE_POINT.references()[0].key, Candidate("baseline", Scale()).key]
    assert found.ended == "the strategy has nothing left to propose"


def test_fewer_trials_than_families_finish_every_reference_the_baseline_and_one_candidate(tmp_path):
    made, found = search(tmp_path, Study(tmp_path), THREE_FAMILIES, trials=1)
    assert made[:3] == [each.key for each in THREE_FAMILIES.references()]
    assert len(made) == 5
    assert found.ended == "1 trials are confirmed"


EIGHT = Space((FamilySpace("only", (Knob("width", tuple(range(1, 9))),)),), INT8)


def test_forms_are_looked_at_before_they_are_made_and_once(tmp_path):
    study = Study(tmp_path)
    made, found = search(tmp_path, study, EIGHT, strategy=ELASTIC, trials=6, looks=True)
    asked = [each.key for round_ in found.workers.looks for each in round_.candidates]
    assert len(made) == 6
    assert len(asked) == len(set(asked))
    seen = {Candidate.from_json(each["candidate"]).key for each in study.get(LOOKED)["only"]["explored"]}
    assert seen == set(asked)
    forms = {each.key for each in EIGHT.candidates() if each.steps}
    assert set(made) & forms <= seen
    assert not found.looks.is_running


def test_a_form_whose_steps_can_not_be_applied_is_not_made(tmp_path):
    forms = [each.key for each in EIGHT.candidates() if each.steps]
    made, found = search(tmp_path, Study(tmp_path), EIGHT, strategy=ELASTIC, looks=True, refused=forms)
    assert not set(made) & set(forms)
    assert len(made) == len({each.key for each in EIGHT.candidates() if not each.steps}) + 1
    assert found.ended == "the strategy has nothing left to propose"
