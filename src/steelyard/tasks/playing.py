"""A model judged by playing: what the greedy policy of its outputs earns in episodes that begin from given seeds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.tasks.environment import World, open_world

LANES = 64
"""Episodes that are played side by side: enough that a step of all is one call of the runtime."""
SPLITS = 3
"""Seeds of episodes have another residue for learning (0), valid (1) and test (2), whatever the study's seed is."""
CONSTANT_EPISODES = 100
"""Episodes of all constant policies together."""


@dataclass(slots=True)
class Stage:
    """Copies of one environment, opened as they are needed, in which policies play."""

    open: Callable[[], World]
    _worlds: list[World] = field(default_factory=list)

    @classmethod
    def of(cls, address: str) -> "Stage":
        """The stage of an environment's address."""
        return cls(lambda: open_world(address))

    def returns(self, policy: Callable[[Array], Array], seeds: Sequence[int]) -> Array:
        """The undiscounted return of the episode of each seed (n,), each played to its end or cut.

        Args:
            policy: maps rows (n, columns) float32 to action indices (n,).
            seeds: of the environment's resets: the same seed and actions give the same episode.

        Raises:
            DataError: if the environment fails.
        """
        earned = np.zeros(len(seeds))
        waiting = iter(range(len(seeds)))
        lanes = [lane for world in self._opened(min(LANES, len(seeds))) for lane in _begun(world, waiting, seeds)]
        while lanes:
            actions = policy(np.array([lane.row for lane in lanes], dtype=np.float32))
            left: list[_Lane] = []
            for lane, action in zip(lanes, actions.tolist(), strict=True):
                row, reward, ended, cut = lane.world.step(action)
                earned[lane.episode] += reward
                if ended or cut:
                    left.extend(_begun(lane.world, waiting, seeds))
                else:
                    lane.row = row
                    left.append(lane)
            lanes = left
        return earned

    def _opened(self, count: int) -> list[World]:
        while len(self._worlds) < count:
            self._worlds.append(self.open())
        return self._worlds[:count]

    def close(self) -> None:
        """Let go of the environments."""
        while self._worlds:
            self._worlds.pop().close()


@dataclass(slots=True)
class _Lane:
    """An episode that is being played."""

    world: World
    episode: int
    row: list[float]


def _begun(world: World, waiting: Iterator[int], seeds: Sequence[int]) -> Iterator[_Lane]:
    """The next episode in a world, where one is waiting."""
    episode = next(waiting, None)
    if episode is not None:
        yield _Lane(world, episode, world.reset(int(seeds[episode])))


def play(address: str, run: Callable[[Feed], Array], seeds: Array) -> Array:
    """What a model earns in the episode of each seed, as its outputs (n, 1) float64.

    Args:
        address: of the environment.
        run: outputs (n, actions) of rows (n, columns) float32; the highest is the action taken, the first of equals.
        seeds: (n, 1) of the episodes.

    Raises:
        DataError: if the environment fails.
    """

    def policy(rows: Array) -> Array:
        outputs = run(rows)
        # A score that is no number never wins; as little does it end a game.
        actions: Array = np.where(np.isnan(outputs), -np.inf, outputs).argmax(axis=1)
        return actions

    stage = Stage.of(address)
    try:
        return stage.returns(policy, np.asarray(seeds).reshape(-1).tolist())[:, None]
    finally:
        stage.close()


def constant_returns(address: str, actions: int) -> Array:
    """What a policy earns in the mean that takes the same action at every step, for each action (actions,).

    Raises:
        DataError: if the environment fails.
    """
    seeds = [SPLITS * number for number in range(max(1, CONSTANT_EPISODES // actions))]
    stage = Stage.of(address)
    try:
        earned = [float(stage.returns(partial(_always, action), seeds).mean()) for action in range(actions)]
    finally:
        stage.close()
    return np.array(earned)


def _always(action: int, rows: Array) -> Array:
    return np.full(len(rows), action)
