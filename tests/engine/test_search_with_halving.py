"""A search whose worker stops trainings as it is told to: what is stored, counted and decided again after a kill."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from steelyard import Budget, Goal
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting
from steelyard.core.events import silent
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Stopped
from steelyard.engine.assemble import _counts
from steelyard.engine.busy import BusyClock
from steelyard.engine.halving import Halving
from steelyard.engine.lane import Costs
from steelyard.engine.messages import HOPELESS, Made
from steelyard.engine.problem import StudyProblem
from steelyard.engine.search import Search, describe
from steelyard.store.artifacts import Artifacts
from steelyard.strategies.grid import GRID
from steelyard.strategies.uniform import RANDOM
from steelyard.tasks.metrics import METRICS

ACCURACY = METRICS["accuracy"]
INT8 = ((), (StepSetting("quantize"),))
KNOBS = (Knob("kind", (1, 2)), Knob("width", (1, 2, 4, 8, 16, 32)))
BASELINE = Candidate("baseline", Scale())
EPOCHS = 16


def cost(candidate):
    """The second kind is dearer and, but for the largest, no good."""
    return 1.0 if candidate == BASELINE else candidate.scale["kind"] * candidate.scale["width"] + 10.0


def quality(candidate):
    if candidate == BASELINE:
        return 0.1
    kind, width = candidate.scale["kind"], candidate.scale["width"]
    return 0.95 if width == 32 else 0.9 if kind == 1 else 0.4


def curve(candidate):
    return [quality(candidate) * (1 - 0.5 ** (epoch + 1)) for epoch in range(EPOCHS)]


class Study:
    def __init__(self, folder):
        self.artifacts, self.finished, self.facts = Artifacts(folder / "artifacts"), [], {}

    def trials(self):
        return list(self.finished)

    def add(self, trial):
        self.finished.append(trial)

    def put(self, name, value):
        self.facts[name] = value


class KilledError(Exception):
    pass


class Workers:
    """One worker, that trains as its curves say and is killed after so many candidates.

    It takes the next candidate when the last one is written, so that what is known then does not depend on the clock.
    """

    def __init__(self, folder, study, most):
        self.folder, self.study, self.left = folder, study, most
        self.trained, self.got = [], set()

    @property
    def free(self):
        return int(self.got <= {trial.key for trial in self.study.finished})

    def submit(self, assignment, kill_s, stage_changed):
        del kill_s, stage_changed
        if not self.left:
            raise KilledError
        self.left -= 1
        self.got.add(assignment.candidate.key)
        future: Future[Made] = Future()
        future.set_result(self._made(assignment))
        return future

    def _made(self, assignment):
        candidate = assignment.candidate
        done = curve(candidate)
        if candidate.uncompressed not in self.trained:
            for epoch, least in assignment.needed:
                if max(done[:epoch]) < least:
                    told = {"epoch": list(range(1, epoch + 1)), "valid_quality": done[:epoch]}
                    noted = {"epoch": epoch, "quality": max(done[:epoch]), "curve": told}
                    return Made("", {}, {"train": 0.1 * epoch}, trained=False, notes={HOPELESS: noted})
            self.trained.append(candidate.uncompressed)
        path = self.folder / f"{candidate.key}.onnx"
        path.write_text(candidate.key, encoding="utf-8")
        found = quality(candidate)
        size = cost(candidate) / (1 + len(candidate.steps))
        metrics = {
            "accuracy": Quantity(found, "1", found - 0.01, found + 0.01, 1000).to_json(),
            "size_bytes": Quantity.exact(size, "B").to_json(),
        }
        notes = {} if candidate == BASELINE else {"curve": {"epoch": list(range(1, 17)), "valid_quality": done}}
        return Made(str(path), metrics, {"train": 1.6}, trained=True, notes=notes)


class Lane:
    runtime = SimpleNamespace(companions=(), suffix=".onnx")

    def __init__(self):
        self.rounds = []

    def subject(self, candidate, path):
        return SimpleNamespace(key=candidate.key, cost=cost(candidate), path=path)

    def expected_s(self, models):
        return 0.0 * models

    def measure(self, batch, beside):
        del beside
        self.rounds.append((len(batch), 0.1))
        return {each.key: Costs({"latency_p50_s": Quantity(1e-6 * each.cost, "s")}, {}) for each in batch}


def search(folder, study, *, pipelines=((),), strategy=GRID, most=1000, halving=True):
    """Run a search to its end, or until it is killed."""
    space = Space((FamilySpace("net", KNOBS),), pipelines)
    plan = SimpleNamespace(
        goal=Goal(),
        goal_metric="accuracy",
        monitor="accuracy",
        metric=ACCURACY,
        space=space,
        size=space.size,
        strategy=strategy,
        budget=Budget(None, None),
        firsts=(*space.references(), BASELINE),
        earlier=(),
        given=None,
        trial_limit_s=60.0,
        recipe={},
        halving=halving,
        task=SimpleNamespace(valid=range(1000)),
    )
    problem = StudyProblem(plan.goal, ACCURACY, 0)
    found = Search(
        plan,
        study,
        Workers(folder, study, most),
        Lane(),
        problem,
        silent,
        BusyClock(),
        end=lambda _: float("inf"),
        wall_s=lambda: 0.0,
        halving=Halving.of(plan, problem),
    )
    found.run()
    return space


def ends(study):
    return [(trial.candidate, trial.outcome) for trial in study.finished if isinstance(trial.outcome, Stopped)]


def test_what_is_dominated_is_stopped_and_the_front_is_not(tmp_path):
    study = Study(tmp_path)
    search(tmp_path, study)
    stopped = {candidate for candidate, _ in ends(study)}
    assert stopped
    assert all(each.scale["kind"] == 2 and each.scale["width"] < 32 for each in stopped)
    assert all(1 < end.epoch < EPOCHS for _, end in ends(study))
    assert len({trial.key for trial in study.finished}) == len(study.finished) == 13


def test_stopped_trials_count_apart(tmp_path):
    study = Study(tmp_path)
    search(tmp_path, study)
    stopped = len(ends(study))
    measured = sum(isinstance(trial.outcome, Measurement) for trial in study.finished)
    assert _counts(study.finished, set()) == {
        "explored": measured + stopped,
        "trained": measured,
        "measured": measured,
        "failed": 0,
        "stopped": stopped,
    }


def test_nothing_is_stopped_where_nobody_wants_it(tmp_path):
    study = Study(tmp_path)
    search(tmp_path, study, halving=False)
    assert ends(study) == []
    assert "stopped" not in _counts(study.finished, set())


@pytest.mark.parametrize("strategy", [GRID, RANDOM], ids=lambda each: each.name)
def test_a_search_that_was_killed_decides_as_it_would_have(tmp_path, strategy):
    whole, cut = Study(tmp_path / "whole"), Study(tmp_path / "cut")
    search(tmp_path, whole, strategy=strategy)
    for most in (7, 2, 1, 1000):
        try:
            search(tmp_path, cut, strategy=strategy, most=most)
        except KilledError:
            continue
    assert [trial.key for trial in cut.finished] == [trial.key for trial in whole.finished]
    assert ends(cut) == ends(whole)


def test_other_forms_of_a_stopped_model_end_without_a_training(tmp_path):
    study = Study(tmp_path)
    space = search(tmp_path, study, pipelines=INT8)
    models = [candidate.uncompressed for candidate, _ in ends(study)]
    again = [trial for trial in study.finished if isinstance(trial.outcome, Stopped) and not trial.seconds]
    assert len(study.finished) == space.size + 1
    assert again
    assert all(models.count(trial.candidate.uncompressed) == 2 for trial in again)


def test_a_stopped_trial_is_told_in_a_line(tmp_path):
    study = Study(tmp_path)
    search(tmp_path, study)
    trial = next(each for each in study.finished if isinstance(each.outcome, Stopped))
    end = trial.outcome
    assert describe(trial, "accuracy") == (
        f"{trial.candidate}: stopped after {end.epoch} epochs: accuracy {end.quality:.4f} where {end.needed:.4f} was "
        "needed"
    )
