"""Who votes, and under what name."""

from dataclasses import replace

import pytest

from steelyard import api
from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.errors import InputError
from steelyard.core.goal import Goal
from steelyard.engine.certify import VOTE, reference_of
from steelyard.engine.voting import candidate_of, members_of
from steelyard.testing.fakes import FakeTask, failed, measured

KNOBS = {"depth": (1,), "width": (4, 8)}
INT8 = (StepSetting("quantize"),)


def plan(vote: int | None):
    found = api.resolve(FakeTask.table(), model="mlp", knobs=KNOBS, vote=vote, goal=Goal())
    return replace(found, metrics={**found.metrics}, goal_metric="accuracy")


def model(width: int, steps=()) -> Candidate:
    return Candidate("mlp", Scale.of(depth=1, width=width), steps)


BASELINE = Candidate("baseline", Scale())
TRIALS = [
    measured(0, model(8), quality=0.95, latency_s=4e-5, size_bytes=400),
    measured(1, BASELINE, quality=0.99, latency_s=1e-6, size_bytes=10),
    measured(2, model(4), quality=0.93, latency_s=2e-5, size_bytes=200),
    measured(3, model(8, INT8), quality=0.94, latency_s=3e-5, size_bytes=100),
    measured(4, model(16), quality=0.90, latency_s=9e-5, size_bytes=900),
    failed(5, model(32)),
]


def test_the_best_of_the_front_vote_each_of_its_own_training():
    assert [each.number for each in members_of(plan(2), TRIALS)] == [0, 2]


def test_no_more_vote_than_the_front_has_trained():
    assert len(members_of(plan(5), TRIALS)) == 2
    assert members_of(plan(5), []) == ()
    assert members_of(plan(None), TRIALS) == ()


def test_an_earlier_vote_does_not_vote():
    asked = plan(3)
    earlier = measured(6, candidate_of(asked, members_of(asked, TRIALS)), quality=1.0, latency_s=6e-5, size_bytes=600)
    assert earlier.candidate.family == VOTE
    assert members_of(asked, [*TRIALS, earlier]) == members_of(asked, TRIALS)


def test_a_vote_is_named_by_its_members():
    asked = plan(2)
    candidate = candidate_of(asked, members_of(asked, TRIALS))
    who = "+".join(TRIALS[at].key[:6] for at in (0, 2))
    assert str(candidate) == f"vote (members 2, of {who})"


def test_a_vote_is_never_the_reference():
    asked = plan(2)
    vote = measured(6, candidate_of(asked, members_of(asked, TRIALS)), quality=1.0)
    trials = [each for each in [*TRIALS, vote] if each.number not in (1, 5)]
    assert reference_of(trials, asked).number == 0


@pytest.mark.parametrize("vote", [1, 17, 2.5, True])
def test_a_number_that_can_not_vote_is_refused(vote):
    with pytest.raises(InputError) as caught:
        api.resolve(FakeTask.table(), model="mlp", vote=vote)
    assert caught.value.message == f"'vote' must be a whole number from 2 to 16, got {vote!r}."


def test_a_runtime_of_other_files_has_no_votes():
    with pytest.raises(InputError) as caught:
        api.resolve(FakeTask.table(), model="mlp", vote=2, runtime="torch")
    assert caught.value.message == ("'vote' makes one ONNX file of several, which torch does not run; leave it out.")
