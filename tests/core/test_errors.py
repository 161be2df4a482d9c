import pytest

from steelyard.core import errors
from steelyard.core.errors import SteelyardError, UnknownNameError, WorkerError


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InputError", ValueError),
        ("UnknownNameError", ValueError),
        ("DataError", ValueError),
        ("ConfigError", ValueError),
        ("StudyError", ValueError),
        ("StudyBusyError", ValueError),
        ("BundleError", ValueError),
        ("MissingExtraError", ImportError),
        ("MeasurementError", RuntimeError),
        ("RuntimeFailureError", RuntimeError),
        ("WorkerError", RuntimeError),
    ],
)
def test_every_error_is_ours_and_like_a_builtin(name, builtin):
    kind = getattr(errors, name)
    assert issubclass(kind, SteelyardError)
    assert issubclass(kind, builtin)


def test_every_kind_of_error_has_a_kind_of_its_own():
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, SteelyardError)]
    assert len({each.kind for each in found}) == len(found) == 12


def test_an_unknown_name_suggests_the_nearest():
    error = UnknownNameError("strategy", "randon", ["tpe", "random", "grid"], field="strategy")
    assert str(error) == error.message == "strategy 'randon' is not known; did you mean 'random'?"
    assert error.field == "strategy"


def test_an_unknown_name_near_to_nothing_lists_what_is_known():
    assert str(UnknownNameError("task", "xyz", ["wine", "digits"])) == "task 'xyz' is not known; known: digits, wine."
    assert str(UnknownNameError("task", "xyz", [])) == "task 'xyz' is not known; known: none."


def test_a_worker_error_keeps_its_stage():
    error = WorkerError("training diverged.", stage="train")
    assert (error.stage, error.kind, str(error)) == ("train", "worker", "training diverged.")
