"""The survey of a space with workers and a lane that are made up."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from steelyard import Goal
from steelyard.core.errors import MeasurementError, WorkerError
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.busy import BusyClock
from steelyard.engine.messages import Assignment, Made
from steelyard.engine.reach import FACT, ends
from steelyard.engine.survey import LEAST_S, Survey, is_worthwhile, known_reach
from steelyard.testing.fakes import fake_space

SPACE = fake_space()
FOREVER = float("inf")


@dataclass
class Workers:
    """One worker that is done at once."""

    folder: object
    refused: tuple[str, ...] = ()
    free: int = 1
    got: list[Assignment] = field(default_factory=list)

    def submit(self, assignment, kill_s, stage_changed):
        del kill_s
        self.got.append(assignment)
        stage_changed("export")
        future = Future()
        key = assignment.candidate.key
        if key in self.refused:
            future.set_exception(WorkerError("it can't.", stage="export"))
            return future
        home = self.folder / key
        home.mkdir()
        (home / "model.onnx").write_text("", encoding="utf-8")
        size = Quantity.exact(100.0 * len(self.got), "B")
        future.set_result(Made(str(home / "model.onnx"), {"size_bytes": size.to_json()}, {}, trained=False))
        return future


class Lane:
    """Every model takes a microsecond more than the one before."""

    def __init__(self, error=None):
        self.error = error

    def subject(self, candidate, path):
        return SimpleNamespace(key=candidate.key, path=path)

    def glance(self, subjects, limit_s):
        del limit_s
        if self.error is not None:
            raise self.error
        found = {
            each.key: {"latency_p50_s": Quantity(1e-6 * at, "s", low=0.9e-6 * at, high=1.1e-6 * at)}
            for at, each in enumerate(subjects, start=1)
        }
        return SimpleNamespace(metrics=found, failures={}), None

    def memory(self, subjects):
        return SimpleNamespace(peaks={each.key: {"peak": Quantity(1e6, "B", low=0.0, high=2e6)} for each in subjects})


class Facts:
    """A study that holds facts and trials."""

    def __init__(self, trials=()):
        self.facts = {}
        self.finished = trials

    def get(self, name, default=None):
        return self.facts.get(name, default)

    def put(self, name, value):
        self.facts[name] = value

    def trials(self):
        return list(self.finished)


def plan(*, space=SPACE, given=None, **goal):
    return SimpleNamespace(space=space, goal=Goal(**goal), threads=1, given=given)


class Engine:
    """Callbacks run when it is this object's turn, as in the engine's own thread."""

    def __init__(self):
        self.calls = []

    def later(self, handle, *first):
        return lambda future: self.calls.append(lambda: handle(*first, future))

    def run(self, survey, workers):
        survey.assign(workers, self.later)
        while survey.is_busy:
            if self.calls:
                self.calls.pop(0)()


def surveyed(tmp_path, *, refused=(), most_s=FOREVER, error=None, **goal):
    heard, study, workers = [], Facts(), Workers(tmp_path, refused)
    survey = Survey(plan(**goal), study, Lane(error), heard.append, BusyClock(), most_s)
    Engine().run(survey, workers)
    return study, workers, [(each.kind, each.text) for each in heard]


def test_the_ends_are_made_untrained_and_their_range_is_told_and_kept(tmp_path):
    study, workers, heard = surveyed(tmp_path)
    assert [each.candidate for each in workers.got] == list(ends(SPACE))
    assert all(each.untrained for each in workers.got)
    assert heard[-1] == ("fact", "within reach: latency 1 to 2 µs, size 100 to 200 B, memory 1 MB")
    assert known_reach(plan(), study).ranges["size_bytes"].high == 200.0


def test_files_of_untrained_models_are_not_kept(tmp_path):
    surveyed(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_out_of_reach_is_told_at_once(tmp_path):
    *_, heard = surveyed(tmp_path, max_latency_s=1e-7)
    assert [kind for kind, _ in heard] == ["stage", "fact"]
    *_, heard = surveyed(tmp_path, max_size_bytes=1.0)
    assert [kind for kind, _ in heard] == ["stage", "fact"], "the step 'fake' may do anything"


def test_what_can_t_be_made_leaves_its_end_open(tmp_path):
    study, _, heard = surveyed(tmp_path, refused=(ends(SPACE)[0].key,))
    assert heard[-1] == ("fact", "within reach: latency up to 1 µs, size up to 200 B, memory up to 1 MB")
    assert study.get(FACT)["ranges"]["latency_p50_s"]["low"] is None


@pytest.mark.parametrize("most_s", [FOREVER, 0.0])
def test_where_nothing_could_be_made_nothing_is_told(tmp_path, most_s):
    study, workers, heard = surveyed(tmp_path, refused=tuple(each.key for each in ends(SPACE)), most_s=most_s)
    assert heard == []
    assert study.facts == {}
    assert len(workers.got) == (2 if most_s else 1), "without time no second member is begun"


def test_a_lane_that_fails_ends_no_search(tmp_path):
    study, _, heard = surveyed(tmp_path, error=MeasurementError("no."))
    assert [kind for kind, _ in heard] == ["stage"]
    assert study.facts == {}


def test_short_searches_small_spaces_without_a_limit_and_given_models_are_not_surveyed():
    assert is_worthwhile(plan(), FOREVER)
    assert not is_worthwhile(plan(), LEAST_S - 1)
    assert not is_worthwhile(plan(given=object()), FOREVER)
    small = fake_space(widths=(1, 2))
    assert not is_worthwhile(plan(space=small), FOREVER)
    assert is_worthwhile(plan(space=small, max_size_bytes=1e6), FOREVER)


def trials(candidates):
    metrics = {
        "latency_p50_s": Quantity(1e-5, "s"),
        "size_bytes": Quantity.exact(1e3, "B"),
        "peak_memory_bytes": Quantity(1e6, "B"),
    }
    return tuple(Trial(at, each, Measurement(metrics, "0" * 64)) for at, each in enumerate(candidates))


def test_a_study_whose_ends_are_confirmed_knows_its_reach_without_a_survey():
    assert known_reach(plan(), Facts(trials(ends(SPACE)))).ranges["latency_p50_s"].low == 1e-5
    assert known_reach(plan(), Facts(trials(ends(SPACE)[:1]))) is None
    assert known_reach(plan(given=object()), Facts(trials(ends(SPACE)))) is None
