import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import InputError
from steelyard.training.recipe import MAX_PATIENCE, MIN_PATIENCE, OPTIMIZERS, Recipe

recipes = st.builds(
    Recipe,
    optimizer=st.sampled_from(OPTIMIZERS),
    learning_rate=st.none() | st.floats(1e-6, 10),
    epochs=st.none() | st.integers(1, 1000),
    max_epochs=st.integers(1, 1000),
    batch=st.none() | st.just("full") | st.integers(1, 512),
    loss=st.none() | st.just("mine.py:loss"),
)


@given(recipes)
def test_a_recipe_comes_back_from_json(recipe):
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"optimizer": "adamw"}, "'optimizer' must be one of adam, rmsprop, sgd, got 'adamw'."),
        ({"learning_rate": 0.0}, "'learning_rate' must be a positive finite number, got 0.0."),
        ({"learning_rate": math.nan}, "'learning_rate' must be a positive finite number, got nan."),
        ({"epochs": 0}, "'epochs' must be at least 1, got 0."),
        ({"max_epochs": -1}, "'max_epochs' must be at least 1, got -1."),
        ({"batch": 0}, "'batch' must be at least 1, got 0."),
    ],
)
def test_an_impossible_recipe_is_refused_in_one_sentence(fields, sentence):
    with pytest.raises(InputError) as caught:
        Recipe(**fields)
    assert str(caught.value) == sentence
    assert caught.value.field == next(iter(fields))


@given(recipes, st.integers(1, 10**6))
def test_a_batch_holds_at_least_one_row_and_at_most_all(recipe, rows):
    assert 1 <= recipe.batch_size(rows) <= rows


@given(st.integers(16, 10**6))
def test_a_batch_by_default_is_a_power_of_two_up_to_128(rows):
    assert Recipe().batch_size(rows) in (16, 32, 64, 128)


def test_batches_are_as_asked():
    assert Recipe(batch=50).batch_size(1000) == 50
    assert Recipe(batch=50).batch_size(20) == 20
    assert Recipe(batch="full").batch_size(1000) == 1000
    assert [Recipe().batch_size(rows) for rows in (5, 898, 2000, 60_000)] == [5, 32, 64, 128]


@given(st.integers(1, 10**5))
def test_patience_is_bounded_and_never_longer_with_longer_epochs(steps):
    assert MIN_PATIENCE <= Recipe().patience(steps + 1) <= Recipe().patience(steps) <= MAX_PATIENCE
