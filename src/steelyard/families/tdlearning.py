"""Q-learning and SARSA on a table: steps in an environment, one entry better after each.

References:
    Watkins, Dayan: Q-learning, Machine Learning, 1992.
    Rummery, Niranjan: On-line Q-learning using connectionist systems, Cambridge University, 1994 (SARSA).
    Singh, Jaakkola, Littman, Szepesvari: Convergence results for single-step on-policy reinforcement-learning
    algorithms, Machine Learning, 2000 (greedy in the limit, with exploration that falls with the visits of a state).
    Even-Dar, Mansour: Learning rates for Q-learning, Journal of Machine Learning Research, 2003.
    Sutton, Barto: Reinforcement Learning, 2nd ed., MIT Press, 2018, sections 2.6 (optimistic start), 6.4 and 6.5.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelyard.core.protocols import Task
from steelyard.core.task import Array
from steelyard.families.bins import Bins
from steelyard.tasks.environment import World, open_world
from steelyard.tasks.playing import SPLITS, Stage

Rule = Literal["q-learning", "sarsa"]
"""What the next state is taken to be worth: its best action, or the one that is taken."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How boldly and how fast a table learns, and when it stops.

    Attributes:
        exploring: in a state visited n times an action is drawn at random with probability exploring / (exploring + n).
        least_exploring: but never less than this.
        settling: the rate of an entry that was changed n times is h / (h + n), where h is this share of the changes
            that an entry gets in the mean if all steps are taken, at least 10: large tables settle sooner.
        least_rate: but never less than this.
        steps: in the environment at most.
        look_every: steps between two looks at what the greedy policy earns.
        patience: looks without a better one after which learning stops.
    """

    exploring: float = 10.0
    least_exploring: float = 0.01
    settling: float = 0.06
    least_rate: float = 0.01
    steps: int = 1_500_000
    look_every: int = 50_000
    patience: int = 10


@dataclass(slots=True)
class Learned:
    """A table and how it came about.

    Attributes:
        table: (states, actions) float64, of the look that earned most.
        visits: (states,) int64, how often an action was chosen in each state.
        curve: the number of each look as "epoch", the steps until then, what the greedy policy earned.
        stopped: why.
        train_s: seconds.
    """

    table: Array
    visits: Array
    curve: dict[str, list[float]]
    stopped: str
    train_s: float


def learn(
    task: Task, bins: Bins, rule: Rule, *, seed: int, limit_s: float, schedule: Schedule | None = None
) -> Learned:
    """Learn a table in the task's environment.

    The greedy policy is looked at every so often by playing the validation episodes; the table of the best look is
    kept. Where nothing is cut short by the time, the same seed gives the same table.

    Args:
        task: with an environment.
        bins: that make states of rows.
        rule: "q-learning" or "sarsa".
        seed: of episodes and choices.
        limit_s: seconds after which learning stops with what it has.
        schedule: how to learn.

    Raises:
        DataError: if the environment fails.
    """
    learner = _Learner.begun(task, bins, rule, seed, schedule or Schedule())
    try:
        return learner.run(limit_s)
    finally:
        learner.close()


@dataclass(slots=True)
class _Learner:
    bins: Bins
    rule: Rule
    schedule: Schedule
    discount: float
    world: World
    stage: Stage
    judges: Sequence[int]
    rng: random.Random
    table: list[list[float]]
    changes: list[list[int]]
    visits: list[int]
    half: float
    state_of: Callable[[list[float]], int]

    @classmethod
    def begun(cls, task: Task, bins: Bins, rule: Rule, seed: int, schedule: Schedule) -> "_Learner":
        discount = float(task.defaults["discount"])
        world = open_world(task.environment)
        rng = random.Random(seed)  # noqa: S311  no secret
        start = optimistic(world, rng, discount)
        actions = range(len(world.labels))
        return cls(
            bins=bins,
            rule=rule,
            schedule=schedule,
            discount=discount,
            world=world,
            stage=Stage.of(task.environment),
            judges=np.asarray(task.valid.y).reshape(-1).tolist(),
            rng=rng,
            table=[[start for _ in actions] for _ in range(bins.count)],
            changes=[[0 for _ in actions] for _ in range(bins.count)],
            visits=[0] * bins.count,
            state_of=bins.finder(),
            half=max(10.0, schedule.settling * schedule.steps / (bins.count * len(world.labels))),
        )

    def run(self, limit_s: float) -> Learned:
        begun = time.perf_counter()
        curve: dict[str, list[float]] = {"epoch": [], "steps": [], "valid_quality": []}
        best, kept, since, stopped = -math.inf, np.array(self.table), 0, "steps"
        for steps in self._rounds(begun + limit_s):
            earned = self.earned()
            curve["epoch"].append(float(len(curve["epoch"]) + 1))
            curve["steps"].append(float(steps))
            curve["valid_quality"].append(earned)
            since += 1
            if earned > best:
                best, kept, since = earned, np.array(self.table), 0
            if since >= self.schedule.patience:
                stopped = "no improvement"
                break
            if time.perf_counter() - begun >= limit_s:
                stopped = "time limit"
                break
        return Learned(kept, np.array(self.visits), curve, stopped, time.perf_counter() - begun)

    def _rounds(self, deadline: float) -> Iterator[int]:
        """Learn from whole episodes; hand over after each round the steps so far."""
        steps = 0
        while steps < self.schedule.steps:
            target = steps + self.schedule.look_every
            while steps < target and time.perf_counter() < deadline:
                steps += self.episode()
            yield steps

    def episode(self) -> int:
        """One episode of learning; its steps."""
        table, changes, state_of, discount = self.table, self.changes, self.state_of, self.discount
        half, least, on_policy = self.half, self.schedule.least_rate, self.rule == "sarsa"
        state = state_of(self.world.reset(SPLITS * self.rng.randrange(2**28)))
        action = self.choice(state)
        steps = 0
        while True:
            row, reward, ended, cut = self.world.step(action)
            steps += 1
            after = state_of(row)
            following = self.choice(after) if on_policy else 0
            if ended:
                aim = reward
            elif on_policy:
                aim = reward + discount * table[after][following]
            else:
                aim = reward + discount * max(table[after])
            counts, entries = changes[state], table[state]
            counts[action] += 1
            entries[action] += max(least, half / (half + counts[action])) * (aim - entries[action])
            if ended or cut:
                return steps
            state, action = after, following if on_policy else self.choice(after)

    def choice(self, state: int) -> int:
        """An action in a state: at random the less, the better the state is known, else the best, ties at random."""
        rng, entries, schedule = self.rng, self.table[state], self.schedule
        seen = self.visits[state]
        self.visits[state] = seen + 1
        if rng.random() < max(schedule.least_exploring, schedule.exploring / (schedule.exploring + seen)):
            return int(rng.random() * len(entries))
        best = max(entries)
        if entries.count(best) == 1:
            return entries.index(best)
        return rng.choice([action for action, value in enumerate(entries) if value == best])

    def earned(self) -> float:
        """The mean return of the greedy policy in the validation episodes."""
        greedy = np.array(self.table).argmax(axis=1)
        return float(self.stage.returns(lambda rows: greedy[self.bins.states(rows)], self.judges).mean())

    def close(self) -> None:
        self.world.close()
        self.stage.close()


def optimistic(world: World, rng: random.Random, discount: float, steps: int = 20_000) -> float:
    """What untried actions are taken to be worth: the most that was earned from any step on by chance, at least 0.

    So all actions are tried before one is given up, and where every reward is a cost, nothing is worth 0.

    Args:
        world: to act in.
        rng: of episodes and actions.
        discount: of a reward one step later.
        steps: to try at most.
    """
    most, taken = 0.0, 0
    while taken < steps:
        world.reset(SPLITS * rng.randrange(2**28))
        rewards: list[float] = []
        is_over = False
        while not is_over:
            _, reward, ended, cut = world.step(int(rng.random() * len(world.labels)))
            rewards.append(reward)
            is_over = ended or cut
        taken += len(rewards)
        worth = 0.0
        for reward in reversed(rewards):
            worth = reward + discount * worth
            most = max(most, worth)
    return most
