"""Ratings read, split and encoded: laws first, then columns found by their names, then sentences."""

import json

import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.core.task import PairInput, input_from_json, input_to_json
from steelyard.tasks.preprocess import encode
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.testing import check_task

KIND = "recommendation"
PAIRS = [(f"u{row % 7}", row % 11) for row in range(77)]
RATED = {
    "user_id": [user for user, _ in PAIRS],
    "movie_id": [item for _, item in PAIRS],
    "rating": [1.0 + (row % 9) / 2 for row in range(77)],
    "timestamp": list(range(77)),
}


def of(columns, **options):
    return from_arrays({name: np.array(values) for name, values in columns.items()}, kind=KIND, **options)


def told(task):
    return {fact.name: fact.text for fact in task.facts}


def message_of(call):
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def test_a_task_of_ratings_keeps_the_contract():
    check_task(of(RATED))


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_codes_are_those_of_the_training_names_and_0_for_all_others(pairs):
    task = of(RATED)
    raw = np.array(pairs)
    codes = encode(task.input, {"user_id": [f"u{user}" for user, _ in pairs], "movie_id": raw[:, 1]})
    for code, name in zip(codes[:, 0].astype(int), (f"u{user}" for user, _ in pairs), strict=True):
        known = task.input.user.categories
        assert (known[code - 1] == name) if code else (name not in known)


def test_an_array_of_numbers_holds_names_and_no_codes():
    numbers = np.array([[300 + user, 500 + item] for user in range(4) for item in range(5)])
    task = from_arrays(numbers, np.arange(20.0) % 5, KIND)
    assert isinstance(task.input, PairInput)
    assert encode(task.input, np.array([[301, 503], [1, 2]])).tolist() == [
        [1.0 + task.input.user.categories.index("301"), 1.0 + task.input.item.categories.index("503")],
        [0.0, 0.0],
    ]


def test_the_input_comes_back_from_its_plain_form():
    spec = of(RATED).input
    assert input_from_json(json.loads(json.dumps(input_to_json(spec)))) == spec


def test_splits_that_are_made_take_from_every_user():
    task = of(RATED)
    for rows in (task.train, task.valid, task.test):
        assert set(rows.x[:, 0].astype(int)) == set(range(1, 8))


def test_columns_are_found_by_their_names_wherever_they_stand(tmp_path):
    path = tmp_path / "ratings.csv"
    polars.DataFrame({"Rating": RATED["rating"], "MovieId": RATED["movie_id"], "UserId": RATED["user_id"]}).write_csv(
        path
    )
    spec = from_data(path, KIND).input
    assert (spec.user.name, spec.item.name) == ("UserId", "MovieId")


def test_names_that_tell_nothing_are_taken_in_their_order():
    spec = of({"who": RATED["user_id"], "what": RATED["movie_id"], "score": RATED["rating"]}).input
    assert (spec.user.name, spec.item.name) == ("who", "what")


def test_other_columns_are_left_out_and_noted(tmp_path):
    path = tmp_path / "ratings.csv"
    polars.DataFrame(RATED).write_csv(path)
    facts = told(from_data(path, KIND))
    assert facts["pairs"] == "users are column user_id, items column movie_id"
    assert facts["left out"] == "left out: timestamp"


def test_ratings_can_follow_time(tmp_path):
    path = tmp_path / "ratings.csv"
    polars.DataFrame(RATED).write_csv(path)
    task = from_data(path, KIND, split_by="timestamp")
    assert np.array_equal(task.train.y, np.array(RATED["rating"], dtype=np.float32)[: len(task.train)])


def test_users_with_one_rating_and_unknown_ones_are_told():
    columns = {name: [*values, *values[:2]] for name, values in RATED.items()}
    columns["user_id"][-2:] = ["once", "late"]
    columns["movie_id"][-1] = 999
    split = ["train"] * 70 + ["valid"] * 4 + ["test"] * 3 + ["train", "test"]
    facts = told(of(columns, split=split))
    assert facts["single"] == "1 users have one rating in train, which says little of them"
    assert facts["unknown"] == (
        "1 rows of valid and test have a user, 1 an item that train lacks: these get what is known of the other, or "
        "the mean"
    )


def test_rows_without_a_user_are_left_out():
    columns = {**RATED, "user_id": [None, *RATED["user_id"][1:]]}
    assert told(of(columns))["no pair"] == "1 rows without a user or an item were left out"


def test_what_can_not_be_used_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "pairs.csv"
    polars.DataFrame({"user": ["a", "b"], "item": ["x", "y"]}).write_csv(path)
    assert message_of(lambda: from_data(path, KIND)) == (
        f"{path} must have a column of ratings, got user, item; name it with --target."
    )
    polars.DataFrame({"user": ["a", "b"], "rating": [1, 2]}).write_csv(path)
    assert message_of(lambda: from_data(path, KIND)) == (
        f"{path} must have a column of users and one of items beside the ratings 'rating', got user."
    )
    alone = {**RATED, "user_id": ["only"] * 77}
    assert message_of(lambda: of(alone)) == (
        "column 'user_id' of 'x' must name from 2 to 16,777,215 different ones in train, got 1; is it the right column?"
    )
    assert message_of(lambda: from_arrays(np.ones((20, 3)), np.arange(20.0), KIND)) == (
        "'x' must hold two columns, users and items, for recommendation; save x as (n, 2)."
    )
    assert message_of(lambda: of({**RATED, "rating": ["good"] * 77})) == (
        "target 'rating' of 'x' must hold numbers for a regression, got good in row 1; is a classification meant?"
    )
