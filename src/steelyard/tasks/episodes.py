"""Tasks of reinforcement learning: what is seen and earned in an environment, and the episodes that judge."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array, ClassOutput, Column, Fact, Rows, TableInput, TaskKind
from steelyard.core.wire import Plain
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.environment import World, discount_of, name_of, open_world, whole_address
from steelyard.tasks.playing import SPLITS

KIND: TaskKind = "reinforcement-learning"
TRAIN_EPISODES = 600
"""Episodes that are watched before anything is learned."""
TRAIN_STEPS = 20_000
"""Steps of them at most."""
VALID_EPISODES, TEST_EPISODES = 100, 200
"""Episodes that rank and that prove, at least."""
TEST_STEPS = 100_000
"""Where episodes are short there are more of them, as many as take so many steps if none ends before its limit."""
MOST_EPISODES = 500
FEW_COLUMNS = 4
"""Numbers of an observation up to which a table of bins is tried by default."""
BUDGET_S = 600


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen when the environment was tried out.

    Attributes:
        rows: (n, columns) observations that an action was chosen on, as the graph takes them.
        actions: (n,) the indices of the actions.
        rewards: (n,) what each step earned.
        lengths: steps of each whole episode.
        returns: of each whole episode of random actions.
        repeats: whether the same seed and actions gave the same episode again.
    """

    rows: Array
    actions: Array
    rewards: Array
    lengths: tuple[int, ...]
    returns: tuple[float, ...]
    repeats: bool


def environment_task(
    address: str,
    *,
    name: str,
    seed: int,
    discount: float | None = None,
    defaults: Mapping[str, Plain] | None = None,
) -> PreparedTask:
    """A task from an environment.

    Args:
        address: a name that gymnasium knows, or `file.py:function`.
        name: of the task.
        seed: of the study; the seeds of its episodes follow from it.
        discount: of a reward one step later; None for that of the user's function, else the usual one.
        defaults: of the search beside what is taken from the environment.

    Raises:
        MissingExtraError: if gymnasium is not installed.
        InputError: if the environment can't be used.
        DataError: if it fails, or shows no numbers.
    """
    world = open_world(address)
    try:
        watched = watch(world, seed)
        episodes = min(MOST_EPISODES, max(TEST_EPISODES, TEST_STEPS // world.limit))
        counts = (max(VALID_EPISODES, episodes // 2), episodes)
        valid, test = (_episodes(world, seed, split, count) for split, count in enumerate(counts, start=1))
    finally:
        world.close()
    spec = TableInput(_fitted(world.reader.columns, watched.rows))
    output = ClassOutput(labels=world.labels)
    train = Rows(watched.rows, watched.actions)
    worth = discount_of(address) if discount is None else discount
    return PreparedTask(
        name=name,
        kind=KIND,
        input=spec,
        output=output,
        train=train,
        valid=valid,
        test=test,
        split_how=(
            f"train is what was seen in {len(train):,} steps of {name_of(address)}, tried out; valid and test are "
            f"episodes of {len(valid)} and {len(test)} seeds of their own, from seed {seed}"
        ),
        data_hash=hash_rows(spec, output, train, valid, test),
        facts=_facts(world, watched, worth),
        metric="return",
        defaults={"families": _families(spec), "budget_s": BUDGET_S, "discount": worth, **(defaults or {})},
        environment=whole_address(address),
    )


def episode_seeds(seed: int, split: int, count: int) -> list[int]:
    """Seeds of episodes: split 0 is for learning, 1 for valid, 2 for test; no seed is in two of them."""
    rng = random.Random(f"{seed}/{split}")  # noqa: S311  no secret
    return [SPLITS * number + split for number in rng.sample(range(2**28), count)]


def watch(world: World, seed: int) -> Watched:
    """Try an environment out by three sorts of behaviour, so that more is seen than chance alone leads to.

    In turn: a random action at each step; random actions, each kept up for a while; and the action that a random
    linear function of the standardised observation names. Few environments are solved so, but the states on the way
    to a solution are seen: a car that must swing is swung by one linear function in some tens.

    Raises:
        DataError: if the environment fails, or shows what is no number.
    """
    rng = np.random.default_rng(seed)
    rows: list[list[float]] = []
    actions: list[int] = []
    rewards: list[float] = []
    lengths: list[int] = []
    returns: list[float] = []
    for episode, number in enumerate(episode_seeds(seed, 0, TRAIN_EPISODES)):
        if len(rows) >= TRAIN_STEPS:
            break
        behaviour = _Behaviour(episode % 3, len(world.labels), rng, rows)
        row, begun, is_over = world.reset(number), len(rows), False
        while not is_over:
            action = behaviour.action(row)
            rows.append(row)
            actions.append(action)
            row, reward, ended, cut = world.step(action)
            rewards.append(reward)
            is_over = ended or cut
        lengths.append(len(rows) - begun)
        if episode % 3 == 0:
            returns.append(sum(rewards[begun:]))
    seen = np.array(rows, dtype=np.float32)
    if not (np.isfinite(seen).all() and np.isfinite(rewards).all()):
        raise DataError(
            f"environment {world.name!r} gave an observation or a reward that is no finite number; mend it.",
            field="data",
        )
    first = slice(0, lengths[0])
    again = _replayed(world, episode_seeds(seed, 0, TRAIN_EPISODES)[0], actions[first])
    repeats = again == (rows[first], rewards[first])
    return Watched(seen, np.array(actions), np.array(rewards), tuple(lengths), tuple(returns), repeats)


@dataclass(slots=True)
class _Behaviour:
    """One of three ways to act without knowing anything; `seen` are all rows so far."""

    sort: int
    count: int
    rng: np.random.Generator
    seen: Sequence[list[float]]
    _left: int = 0
    _last: int = 0
    _weights: tuple[Array, Array, Array] | None = None

    def action(self, row: list[float]) -> int:
        if self.sort == 2 and len(self.seen) > 1:
            mean, std, weights = self._linear()
            return int(np.argmax(weights @ ((np.array(row) - mean) / std)))
        if self.sort == 0 or self._left == 0:
            self._last = int(self.rng.integers(self.count))
            self._left = int(self.rng.integers(1, 33))
        self._left -= 1
        return self._last

    def _linear(self) -> tuple[Array, Array, Array]:
        if self._weights is None:
            seen = np.array(self.seen[-TRAIN_STEPS // 10 :])
            std = np.maximum(seen.std(axis=0), 1e-6)
            self._weights = seen.mean(axis=0), std, self.rng.normal(size=(self.count, seen.shape[1]))
        return self._weights


def _replayed(world: World, seed: int, actions: Sequence[int]) -> tuple[list[list[float]], list[float]]:
    """Rows and rewards of an episode whose actions are known."""
    row = world.reset(seed)
    rows, rewards = [], []
    for action in actions:
        rows.append(row)
        row, reward, ended, cut = world.step(action)
        rewards.append(reward)
        if ended or cut:
            break
    return rows, rewards


def _episodes(world: World, seed: int, split: int, count: int) -> Rows:
    """Episodes as rows: the first observation of each, and as its target (n, 1) the seed that it begins from."""
    seeds = episode_seeds(seed, split, count)
    rows = np.array([world.reset(each) for each in seeds], dtype=np.float32)
    return Rows(rows, np.array(seeds, dtype=np.int64)[:, None])


def _fitted(columns: Sequence[Column], rows: Array) -> tuple[Column, ...]:
    """The columns with the mean and deviation of what was seen."""
    means, stds = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    return tuple(
        column
        if column.kind == "category"
        else replace(column, mean=float(mean), std=float(std) if std > 1e-12 else 1.0)
        for column, mean, std in zip(columns, means, stds, strict=True)
    )


def _families(spec: TableInput) -> list[Plain]:
    """Tables where states can be counted, or numbers are few enough to be cut into bins; else a network."""
    numbers = sum(column.kind == "number" for column in spec.columns)
    if not numbers:
        return ["q-learning", "sarsa"]
    return ["q-learning", "dqn"] if len(spec.columns) <= FEW_COLUMNS else ["dqn"]


def _facts(world: World, watched: Watched, discount: float) -> tuple[Fact, ...]:
    """What was read from the environment: its spaces, its rewards, how long it lasts, what chance earns."""
    environment = world.environment
    low, high = float(watched.rewards.min()), float(watched.rewards.max())
    levels = len(np.unique(watched.rewards))
    earned = np.array(watched.returns)
    limit = f"cut after {world.limit:,} steps"
    if not world.is_limited:
        limit += ", a limit of ours, because it has none (wrap it in gymnasium.wrappers.TimeLimit for another)"
    facts = [
        Fact("kind", KIND, "reinforcement learning"),
        Fact("environment", world.name, f"environment {world.name}"),
        Fact("states", str(environment.observation_space), f"states: {_states(world, watched)}"),
        Fact("actions", list(world.labels), f"{len(world.labels)} actions: {environment.action_space}"),
        Fact(
            "reward",
            {"low": low, "high": high, "levels": levels},
            f"rewards from {low:g} to {high:g} a step were seen, {levels} different; discount {discount:g}",
        ),
        Fact(
            "episodes",
            {"limit": world.limit, "own": world.is_limited, "mean": float(np.mean(watched.lengths))},
            f"episodes took {np.mean(watched.lengths):.0f} steps in the mean when tried out; {limit}",
        ),
        Fact("chance", float(earned.mean()), f"random actions earn {earned.mean():.4g} an episode"),
    ]
    if not watched.repeats:
        text = "the same seed and actions gave another episode: models can't be compared on the same episodes"
        facts.append(Fact("repeats", False, text))
    return tuple(facts)


def _states(world: World, watched: Watched) -> str:
    """The space as the environment has it, and for numbers the range that was seen."""
    space = str(world.environment.observation_space).replace("\n", " ")
    numbers = [index for index, column in enumerate(world.reader.columns) if column.kind == "number"]
    if not numbers or len(numbers) > 8:
        return space
    ranges = ", ".join(f"{watched.rows[:, i].min():.3g} to {watched.rows[:, i].max():.3g}" for i in numbers)
    return f"{space}, seen {ranges}"
