import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.core.task import TableInput
from steelyard.tasks.observations import labels_of, reader_of
from steelyard.tasks.preprocess import encode

SIMPLE = st.one_of(
    st.integers(1, 9).map(spaces.Discrete),
    st.lists(st.integers(1, 5), min_size=1, max_size=3).map(spaces.MultiDiscrete),
    st.integers(1, 4).map(spaces.MultiBinary),
    st.tuples(st.integers(1, 3), st.integers(1, 2)).map(lambda shape: spaces.Box(-2.0, 3.0, shape)),
)
SPACES = st.one_of(
    SIMPLE,
    st.lists(SIMPLE, min_size=1, max_size=3).map(lambda parts: spaces.Tuple(tuple(parts))),
    st.dictionaries(st.sampled_from("abc"), SIMPLE, min_size=1).map(spaces.Dict),
)


@given(SPACES, st.integers(0, 1000))
def test_a_row_has_a_number_for_each_column_and_is_encoded_already(space, seed):
    space.seed(seed)
    reader = reader_of(space, origin="it")
    row = reader.row(space.sample())
    assert len(row) == len(reader.columns) == len({column.name for column in reader.columns})
    array = np.array([row], dtype=np.float32)
    assert np.array_equal(encode(TableInput(reader.columns), array), array)


def test_a_state_is_its_own_code_and_its_own_name():
    (column,) = reader_of(spaces.Discrete(4), origin="it").columns
    spec = TableInput((column,))
    assert encode(spec, {"observation": ["0", "1", "3"]})[:, 0].tolist() == [0, 1, 3]
    assert encode(spec, np.array([[0], [1], [3]]))[:, 0].tolist() == [0, 1, 3]


def test_parts_are_named_by_their_keys():
    space = spaces.Dict({"at": spaces.Discrete(3), "seen": spaces.Box(0, 1, (2,))})
    assert [column.name for column in reader_of(space, origin="it").columns] == ["at", "seen_0", "seen_1"]


def test_actions_are_named_by_their_own_numbers():
    assert labels_of(spaces.Discrete(3, start=2), origin="it") == (2, 3, 4)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Discrete(1), "it must have 2 to 4,096 actions, got 1; there is nothing to learn otherwise."),
        (
            spaces.MultiBinary(2),
            "it has actions of the kind MultiBinary (MultiBinary(2)), and q-learning, sarsa and dqn choose among "
            "discrete ones; wrap it so that each action is one of a list.",
        ),
    ],
)
def test_actions_that_are_no_list_are_refused(space, message):
    with pytest.raises(InputError) as caught:
        labels_of(space, origin="it")
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            spaces.Box(0, 255, (84, 84, 3), np.uint8),
            "it must show 1 to 4,096 numbers an observation, got 4,097; wrap it to show fewer.",
        ),
        (
            spaces.Discrete(2**20 + 1),
            "it has 1,048,577 states in 'observation', more than 1,048,576; wrap it to show what they are made of.",
        ),
    ],
)
def test_observations_that_are_too_large_are_refused(space, message):
    with pytest.raises(InputError) as caught:
        reader_of(space, origin="it")
    assert caught.value.message == message
