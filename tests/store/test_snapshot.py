import pytest

from steelyard.core.candidate import Candidate, Scale
from steelyard.core.errors import StudyError
from steelyard.store.snapshot import read_study
from steelyard.store.study import open_study
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import failed, measured

IDENTITY = {"task": "digits", "seed": 0}
PLAIN = Candidate("mlp", Scale.of(width=8))


def test_a_study_is_read_as_it_was_written_also_while_it_is_open(tmp_path):
    study = open_study(tmp_path, IDENTITY, METRICS["accuracy"])
    trials = [measured(0, PLAIN, quality=0.9), failed(1, Candidate("mlp", Scale.of(width=16)))]
    for each in trials:
        study.add(each)
    found = read_study(tmp_path, field="warm_start")
    study.close()
    assert (found.directory, found.identity, found.trials) == (tmp_path, IDENTITY, tuple(trials))


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_without_a_study_there_is_nothing_to_read(tmp_path, place):
    with pytest.raises(StudyError) as caught:
        read_study(tmp_path / place, field="warm_start")
    assert str(caught.value) == (
        f"'warm_start' {tmp_path / place} holds no study; name the --out of an earlier search."
    )


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "study.db").write_bytes(b"\0" * 5000)
    with pytest.raises(
        StudyError, match=r"^'warm_start' .*study\.db can't be read \(file is not a database\); end the"
    ):
        read_study(tmp_path, field="warm_start")
