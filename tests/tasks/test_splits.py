import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steelyard.core.errors import DataError
from steelyard.tasks.splits import Lot, partition, split_code, split_codes

strata_arrays = hnp.arrays(np.int64, st.integers(3, 300), elements=st.integers(0, 4))


def whole(parts):
    return np.sort(np.concatenate([parts.train, parts.valid, parts.test]))


@given(strata_arrays, st.integers(0, 9))
def test_every_row_stands_in_exactly_one_split(strata, seed):
    parts = partition(strata, origin="rows", seed=seed)
    assert whole(parts).tolist() == list(range(len(strata)))
    assert min(len(parts.train), len(parts.valid), len(parts.test)) >= 1


@given(strata_arrays, st.integers(0, 9))
def test_the_same_seed_makes_the_same_splits(strata, seed):
    first, second = (partition(strata, origin="rows", seed=seed) for _ in range(2))
    assert first.train.tolist() == second.train.tolist()
    assert first.test.tolist() == second.test.tolist()


@given(strata_arrays, st.integers(0, 9))
def test_each_class_keeps_its_share_within_a_row_or_two(strata, seed):
    parts = partition(strata, origin="rows", seed=seed)
    if len(strata) >= 10:
        for name in np.unique(strata):
            expected = 0.6 * np.count_nonzero(strata == name)
            assert abs(np.count_nonzero(strata[parts.train] == name) - expected) <= 2


@given(st.integers(0, 99), st.integers(3, 30))
def test_groups_never_straddle_splits(seed, groups):
    rng = np.random.default_rng(seed)
    group = np.concatenate([np.arange(groups), rng.integers(0, groups, 200)])
    parts = partition(rng.integers(0, 2, len(group)), origin="rows", seed=seed, groups=group)
    held = [set(group[rows].tolist()) for rows in (parts.train, parts.valid, parts.test)]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    assert all(held)


def test_shares_are_met():
    parts = partition(np.arange(1000) % 3, origin="rows", seed=0)
    assert [len(rows) for rows in (parts.train, parts.valid, parts.test)] == [600, 150, 250]
    assert parts.how == "60/15/25 % train/valid/test, stratified, seed 0"


def test_a_class_of_one_row_goes_to_train():
    strata = np.zeros(100, dtype=np.int64)
    strata[42] = 1
    assert all(42 in partition(strata, origin="rows", seed=seed).train for seed in range(20))


def test_first_rows_of_a_sorted_table_meet_every_class():
    strata = np.repeat(np.arange(5), 100)
    parts = partition(strata, origin="rows", seed=0)
    assert set(strata[parts.train[:40]].tolist()) == {0, 1, 2, 3, 4}


def test_given_splits_are_obeyed():
    given_codes = np.array([0, 0, 1, 2, 0])
    parts = partition(np.zeros(5), origin="rows", seed=0, given=given_codes)
    assert (parts.train.tolist(), parts.valid.tolist(), parts.test.tolist()) == ([0, 1, 4], [2], [3])
    assert parts.how == "train, valid and test as the data name them"


def test_valid_is_carved_out_of_train_where_only_test_is_given():
    codes = np.repeat([0, 2], [75, 25])
    parts = partition(np.arange(100) % 2, origin="rows", seed=3, given=codes)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (60, 15, 25)
    assert set(parts.test.tolist()) == set(range(75, 100))
    assert parts.how == "test as given; valid: 20 % of train, stratified, seed 3"


def test_test_is_half_of_valid_where_only_valid_is_given():
    codes = np.repeat([0, 1], [60, 40])
    parts = partition(np.arange(100) % 2, origin="rows", seed=3, given=codes)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (60, 20, 20)
    assert parts.how == "train as given; test: half of valid, stratified, seed 3"


def test_only_train_given_is_as_good_as_no_split():
    parts = partition(np.zeros(20), origin="rows", seed=0, given=np.zeros(20, dtype=np.int64))
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (12, 3, 5)


def test_splits_follow_an_order():
    order = np.arange(20)[::-1]
    parts = partition(np.zeros(20), origin="rows", seed=0, order=order)
    assert parts.train.tolist() == list(range(19, 7, -1))
    assert parts.test.tolist() == [4, 3, 2, 1, 0]
    assert parts.how == "in order: the first 60 % train, the next 15 % valid, the last 25 % test"


def test_usual_spellings_name_splits():
    spelled = ("Train", "validation", "val", " dev ", "TEST", "fold1")
    assert [split_code(text) for text in spelled] == [0, 1, 1, 1, 2, None]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: partition(np.zeros(2), origin="a.csv", seed=0),
            "a.csv must have at least 3 rows to be split, got 2; add rows.",
        ),
        (
            lambda: partition(np.zeros(9), origin="a.csv", seed=0, groups=np.arange(9) % 2),
            "a.csv must have at least 3 groups to be split, got 2; add groups.",
        ),
        (
            lambda: partition(np.zeros(4), origin="a.csv", seed=0, given=np.array([1, 1, 2, 2])),
            "a.csv must name rows to train on, got only test and valid; add them.",
        ),
        (
            lambda: partition(np.zeros(4), origin="a.csv", seed=0, given=np.array([0, 0, 1, 2]), groups=np.zeros(4)),
            "a.csv must keep every group within one split, but 1 of its groups stand in two or more; "
            "mend the splits or leave out --group.",
        ),
        (
            lambda: split_codes(["train", None], origin="a.csv", column="split"),
            "column 'split' of a.csv must hold train, valid or test, got None in row 2; "
            "correct it or name another column with --split-by.",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(call, message):
    with pytest.raises(DataError) as caught:
        call()
    assert str(caught.value) == message


def test_a_lot_draws_the_parts_it_is_asked_for():
    lot = Lot(strata=np.zeros(10, dtype=np.int64), groups=None, seed=1, origin="rows")
    parts = lot.divide(np.arange(10), (0.5, 0.3, 0.2))
    assert [len(part) for part in parts] == [5, 3, 2]
