"""Environments to learn in: opened by `gymnasium` name or by the user's `file.py:function`, stepped, and watched."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from steelyard.core.errors import DataError, InputError, MissingExtraError
from steelyard.core.userfile import absolute_address, is_user_address, load_function
from steelyard.tasks.observations import Reader, labels_of, reader_of

MOST_STEPS = 1_000
"""Steps after which an episode is cut where the environment itself sets no limit."""
DISCOUNT = 0.99
"""What a reward is worth one step later, where nothing else is said: the usual choice for some hundred steps ahead."""


@final
@dataclass(slots=True)
class World:
    """An environment as the learners and the judges see it: rows of numbers in, actions by index, rewards out.

    Attributes:
        name: for people.
        environment: the `gymnasium.Env`.
        reader: reads its observations.
        labels: its own numbers of the actions, in the order of the index.
        limit: steps after which it cuts an episode, or `MOST_STEPS` where it has no limit.
        is_limited: whether the limit is the environment's own.
    """

    name: str
    environment: Any
    reader: Reader
    labels: tuple[int, ...]
    limit: int
    is_limited: bool
    _steps: int = 0

    def reset(self, seed: int) -> list[float]:
        """Begin the episode of a seed; its first observation as a row.

        Raises:
            DataError: if the environment fails.
        """
        self._steps = 0
        observation, _ = self._tried(lambda: self.environment.reset(seed=seed), "reset")
        return self._tried(lambda: self.reader.row(observation), "reset")  # type: ignore[no-any-return]

    def step(self, action: int) -> tuple[list[float], float, bool, bool]:
        """Take an action by its index.

        Returns:
            The next observation as a row, the reward, whether the episode ended by its own rules, and whether it was
            cut by the limit on its steps.

        Raises:
            DataError: if the environment fails.
        """
        label = self.labels[action]
        self._steps += 1
        try:
            observation, reward, ended, cut, _ = self.environment.step(label)
            row = self.reader.row(observation)
            return row, float(reward), bool(ended), bool(cut) or self._steps >= self.limit
        except Exception as error:  # the user's own code raises whatever it likes
            raise _failed(self.name, "step", error) from error

    def close(self) -> None:
        """Let go of what the environment holds."""
        self._tried(self.environment.close, "close")

    def _tried(self, action: Callable[[], Any], what: str) -> Any:
        try:
            return action()
        except Exception as error:  # the user's own code raises whatever it likes
            raise _failed(self.name, what, error) from error


def open_world(address: str) -> World:
    """The environment of a `gymnasium` name, such as CartPole-v1, or of the user's `file.py:function`.

    Raises:
        MissingExtraError: if gymnasium is not installed.
        InputError: if there is no such environment, it can't be made, or its spaces can't be used.
    """
    _check_installed()
    name = name_of(address)
    environment = _own(address) if is_user_address(address) else _registered(address)
    origin = f"environment {name!r}"
    own = _limit(environment)
    return World(
        name=name,
        environment=environment,
        reader=reader_of(environment.observation_space, origin=origin),
        labels=labels_of(environment.action_space, origin=origin),
        limit=own or MOST_STEPS,
        is_limited=own is not None,
    )


def name_of(address: str) -> str:
    """An environment's name for people: its own, or the user's function without the folder."""
    if not is_user_address(address):
        return address
    file, _, function = address.rpartition(":")
    return f"{Path(file).name}:{function}"


def whole_address(address: str) -> str:
    """The address that finds the same environment from any folder."""
    return absolute_address(address) if is_user_address(address) else address


def discount_of(address: str) -> float:
    """The discount of an environment: the attribute `discount` of the user's function, else the usual one.

    Raises:
        InputError: if it does not lie above 0 and at most at 1.
    """
    function = load_function(address, field="data") if is_user_address(address) else None
    discount = getattr(function, "discount", DISCOUNT)
    if isinstance(discount, bool) or not isinstance(discount, int | float) or not 0 < discount <= 1:
        raise InputError(
            f"'discount' of {name_of(address)} must be a number above 0 and at most 1, got {discount!r}.", field="data"
        )
    return float(discount)


def _check_installed() -> None:
    try:
        import gymnasium  # noqa: F401, PLC0415  an extra: needed where something is played alone
    except ImportError as error:
        raise MissingExtraError(
            "reinforcement learning needs gymnasium; install it with: pip install 'steelyard[rl]'", field="task"
        ) from error


def _registered(name: str) -> Any:
    """An environment that gymnasium knows."""
    import gymnasium  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The checker warns of style and costs a third of a step's time.
            return gymnasium.make(name, disable_env_checker=True)
    except gymnasium.error.DeprecatedEnv as error:
        raise InputError(
            f"environment {name!r} is too old for this gymnasium: {_line(error)}.", field="data"
        ) from error
    except gymnasium.error.UnregisteredEnv as error:
        raise InputError(
            f"'data' must name an environment of gymnasium or file.py:function, got {name!r} ({_line(error)}).",
            field="data",
        ) from error
    except Exception as error:  # what it takes to make one is its own: libraries, files, arguments
        raise InputError(
            f"environment {name!r} can't be made ({type(error).__name__}: {_line(error)}); is what it needs installed?",
            field="data",
        ) from error


def _own(address: str) -> Any:
    """What the user's function returns."""
    import gymnasium  # noqa: PLC0415

    function = load_function(address, field="data")
    try:
        environment = function()
    except Exception as error:  # the user's own code raises whatever it likes
        raise InputError(
            f"'data' {name_of(address)} failed ({type(error).__name__}: {_line(error)}); it must take no argument and "
            "return a gymnasium.Env.",
            field="data",
        ) from error
    if not isinstance(environment, gymnasium.Env):
        raise InputError(
            f"'data' {name_of(address)} must return a gymnasium.Env, got {type(environment).__name__}.", field="data"
        )
    return environment


def _limit(environment: Any) -> int | None:
    """Steps after which an environment cuts an episode; None where nothing says so."""
    import gymnasium  # noqa: PLC0415

    while isinstance(environment, gymnasium.Wrapper):
        if isinstance(environment, gymnasium.wrappers.TimeLimit):
            return int(environment._max_episode_steps)
        environment = environment.env
    spec = environment.spec
    return None if spec is None or spec.max_episode_steps is None else int(spec.max_episode_steps)


def _failed(name: str, what: str, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    return DataError(
        f"environment {name!r} failed in {what} ({type(error).__name__}: {_line(error)}); mend it and run again.",
        field="data",
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or "no message"
