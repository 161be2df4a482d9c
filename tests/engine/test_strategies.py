"""Options of strategies by name: checked against the strategy's own fields, one sentence on the first that is wrong."""

from dataclasses import dataclass

import pytest

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.engine.strategies import configured, settings_of
from steelyard.strategies.genetic import GENETIC
from steelyard.strategies.grid import GRID
from steelyard.strategies.sampled import NSGA2


@dataclass(frozen=True, slots=True)
class Odd:
    """A strategy with settings of every kind."""

    size: int | None = None
    share: float = 0.5
    loud: bool = False
    word: str = "a"
    name: str = "odd"

    def propose(self, space, finished, pending, problem):
        """Nothing."""


class Undescribed:
    """A strategy of a plugin that is no dataclass."""

    name = "undescribed"

    def propose(self, space, finished, pending, problem):
        """Nothing."""


def test_settings_are_replaced_and_the_rest_kept():
    other = configured(GENETIC, {"population": 50, "mutation": 1}, rows=300)
    assert (other.population, other.mutation, other.rows, other.crossover) == (50, 1, 300, 0.5)
    assert GENETIC.population is None
    assert configured(NSGA2, {"population": 20}).population == 20


def test_without_settings_a_strategy_stays_as_it_is():
    for name in registry.names("strategy"):
        strategy = registry.get("strategy", name)
        assert configured(strategy, {}) is strategy
    assert configured(Undescribed(), {}, rows=3).name == "undescribed"
    assert configured(GRID, {}, rows=3) is GRID


def test_settings_of_every_kind_are_taken():
    given = {"size": 3, "share": 1, "loud": True, "word": "b"}
    assert settings_of(configured(Odd(), given)) == given
    assert settings_of(configured(Odd(size=3), {"size": None}))["size"] is None


def test_a_name_and_the_rows_are_no_settings():
    assert {"name", "rows"} & settings_of(GENETIC).keys() == set()
    assert settings_of(GRID) == settings_of(Undescribed()) == {}


REFUSED = [
    (GENETIC, {"populaton": 5}, "option of ga 'populaton' is not known; did you mean 'population'?"),
    (NSGA2, {"zzz": 5}, "option of nsga2 'zzz' is not known; known: population."),
    (NSGA2, {"population": 1}, "'population' must be at least 2, got 1."),
    (GENETIC, {"name": "x"}, None),
    (GENETIC, {"population": "many"}, "'population' of the strategy 'ga' must be a whole number, got 'many'."),
    (GENETIC, {"population": True}, "'population' of the strategy 'ga' must be a whole number, got True."),
    (GENETIC, {"mutation": "x"}, "'mutation' of the strategy 'ga' must be a number, got 'x'."),
    (Odd(), {"loud": 1}, "'loud' of the strategy 'odd' must be true or false, got 1."),
    (Odd(), {"word": 1}, "'word' of the strategy 'odd' must be a text, got 1."),
    (GRID, {"size": 1}, "'strategy_option' must be left out for the strategy 'grid', which has none, got 'size'."),
    (
        Undescribed(),
        {"size": 1},
        "'strategy_option' must be left out for the strategy 'undescribed', which has none, got 'size'.",
    ),
    (
        GENETIC,
        ["population"],
        "'strategy_options' must map names to numbers or texts, such as {'population': 50}, got ['population'].",
    ),
    (GENETIC, {1: 2}, "'strategy_options' must map names to numbers or texts, such as {'population': 50}, got {1: 2}."),
]


@pytest.mark.parametrize(("strategy", "given", "message"), REFUSED)
def test_what_does_not_fit_is_refused(strategy, given, message):
    with pytest.raises(InputError) as caught:
        configured(strategy, given)
    if message is not None:
        assert str(caught.value) == message
