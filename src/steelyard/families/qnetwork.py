"""Deep Q-learning: a network of action values, learned from replayed steps.

References:
    Mnih et al.: Human-level control through deep reinforcement learning, Nature, 2015 (replay, target network).
    van Hasselt, Guez, Silver: Deep reinforcement learning with double Q-learning, AAAI, 2016.
    Huber: Robust estimation of a location parameter, Annals of Mathematical Statistics, 1964 (the loss).
    Raffin et al.: Stable-Baselines3, Journal of Machine Learning Research, 2021 (learning in bouts of 128 updates after
    each 256 steps, the target network still meanwhile: its settings for a cart and a pole).
"""

import copy
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Tensor, nn

from steelyard.core.candidate import Scale
from steelyard.core.protocols import Task
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.families.nets import mlp
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.runtimes.parity import check_parity
from steelyard.tasks.environment import World, open_world
from steelyard.tasks.playing import SPLITS, Stage
from steelyard.training.modules import module_outputs

FEW = 20
"""Episodes of a first look; a policy that promises more than the best so far plays all validation episodes."""
PARITY_ROWS = 256
"""Rows on which the file must agree with the network."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a network learns.

    Attributes:
        steps: in the environment at most.
        begin: steps before the first learning.
        burst: steps in the environment between two bouts of learning.
        updates: of the network, in each bout.
        batch: steps replayed for an update.
        memory: steps that are remembered.
        rate: of Adam, falling linearly to nothing at the last step.
        exploring: the share of the steps over which random actions fall from all to `least_exploring`.
        least_exploring: the share of random actions afterwards.
        target_every: updates after which the target network follows.
        clip: the largest norm of a gradient.
        look_every: steps between two looks at what the greedy policy earns.
        patience: looks without a better one, once exploring is over, after which learning stops.
    """

    steps: int = 60_000
    begin: int = 1_000
    burst: int = 256
    updates: int = 128
    batch: int = 64
    memory: int = 50_000
    rate: float = 1e-3
    exploring: float = 0.16
    least_exploring: float = 0.04
    target_every: int = 128
    clip: float = 10.0
    look_every: int = 1_024
    patience: int = 30


def fit_network(
    scale: Scale, task: Task, seed: int, path: Path, limit_s: float, *, settings: Settings | None = None
) -> Plain:
    """Learn a network of action values and write the one of the best look as an ONNX file.

    Args:
        scale: depth and width.
        task: with an environment.
        seed: of weights, episodes and choices.
        path: of the file.
        limit_s: seconds after which learning stops with what it has.
        settings: how it learns.

    Returns:
        Notes: `train_s`, `curve`, `stopped`, `parity`.

    Raises:
        DataError: if the environment fails.
        RuntimeFailureError: if the file does something else than the network.
    """
    player = _Player.begun(scale, task, seed, settings or Settings())
    try:
        notes = player.run(limit_s)
    finally:
        player.close()
    rows = np.ascontiguousarray(task.train.x[:PARITY_ROWS], dtype=np.float32)
    export(player.network, rows[:2], path)
    parity = check_parity(module_outputs(player.network, rows), OnnxRuntime().load(path).run(rows), decides=False)
    return {**notes, "parity": parity}


@dataclass(slots=True)
class _Memory:
    """The last steps: rows as the network's body takes them, actions, rewards, whether an episode ended there."""

    before: Array
    after: Array
    actions: Array
    rewards: Array
    ended: Array
    count: int = 0

    @classmethod
    def of(cls, size: int, width: int) -> "_Memory":
        before, after = (np.zeros((size, width), dtype=np.float32) for _ in range(2))
        ended, rewards = (np.zeros(size, dtype=np.float32) for _ in range(2))
        return cls(before, after, np.zeros(size, dtype=np.int64), rewards, ended)

    def keep(self, before: list[float], action: int, reward: float, after: list[float], *, ended: bool) -> None:
        place = self.count % len(self.rewards)
        self.before[place], self.after[place] = before, after
        self.actions[place], self.rewards[place], self.ended[place] = action, reward, float(ended)
        self.count += 1

    def drawn(self, rng: np.random.Generator, size: int) -> tuple[Tensor, ...]:
        rows = rng.integers(0, min(self.count, len(self.rewards)), size)
        parts = (self.before, self.actions, self.rewards, self.after, self.ended)
        return tuple(torch.from_numpy(part[rows]) for part in parts)


@dataclass(slots=True)
class _Player:
    """Plays, remembers, learns, and is looked at."""

    settings: Settings
    discount: float
    world: World
    stage: Stage
    judges: Sequence[int]
    chance: random.Random
    draws: np.random.Generator
    network: Any
    target: Any
    optimizer: torch.optim.Optimizer
    memory: _Memory
    row: list[float]
    updates: int = 0

    @classmethod
    def begun(cls, scale: Scale, task: Task, seed: int, settings: Settings) -> "_Player":
        network = mlp(scale, task, seed)
        chance = random.Random(seed)  # noqa: S311  no secret
        world = open_world(task.environment)
        return cls(
            settings=settings,
            discount=float(task.defaults["discount"]),
            world=world,
            stage=Stage.of(task.environment),
            judges=np.asarray(task.valid.y).reshape(-1).tolist(),
            chance=chance,
            draws=np.random.default_rng(seed),
            network=network,
            target=copy.deepcopy(network),
            optimizer=torch.optim.Adam(network.parameters(), lr=settings.rate),
            memory=_Memory.of(settings.memory, task.input.shape[0]),
            row=world.reset(SPLITS * chance.randrange(2**28)),
        )

    def run(self, limit_s: float) -> Plain:
        begun, settings = time.perf_counter(), self.settings
        curve: dict[str, list[float]] = {"epoch": [], "steps": [], "valid_quality": []}
        best, kept, since, stopped = -math.inf, self._weights(), 0, "steps"
        for steps in range(settings.burst, settings.steps + 1, settings.burst):
            self._play(steps)
            if steps >= settings.begin:
                self._learn(1 - steps / settings.steps)
            is_late = time.perf_counter() - begun >= limit_s
            if steps // settings.look_every == (steps - settings.burst) // settings.look_every and not is_late:
                continue
            earned = self._earned(best)
            for name, value in (("epoch", len(curve["epoch"]) + 1), ("steps", steps), ("valid_quality", earned)):
                curve[name].append(float(value))
            since += steps > settings.exploring * settings.steps
            if earned > best:
                best, kept, since = earned, self._weights(), 0
            if is_late or since >= settings.patience:
                stopped = "time limit" if is_late else "no improvement"
                break
        self.network.load_state_dict(kept)
        return {"train_s": time.perf_counter() - begun, "curve": curve, "stopped": stopped}

    def _play(self, steps: int) -> None:
        """A burst of steps in the environment."""
        settings = self.settings
        share = min(1.0, steps / (settings.exploring * settings.steps))
        random_share = 1.0 + share * (settings.least_exploring - 1.0)
        for _ in range(settings.burst):
            if self.chance.random() < random_share:
                action = int(self.chance.random() * len(self.world.labels))
            else:
                action = int(self._greedy(np.array([self.row], dtype=np.float32))[0])
            row, reward, ended, cut = self.world.step(action)
            self.memory.keep(self.row, action, reward, row, ended=ended)
            self.row = self.world.reset(SPLITS * self.chance.randrange(2**28)) if ended or cut else row

    def _learn(self, left: float) -> None:
        """A bout of updates at the share of the rate that is left."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * max(left, 0.0)
        for _ in range(self.settings.updates):
            before, actions, rewards, after, ended = self.memory.drawn(self.draws, self.settings.batch)
            with torch.no_grad():
                # The network names the action, the target network says what it is worth.
                named = self.network(after).argmax(dim=1, keepdim=True)
                worth = self.target(after).gather(1, named).squeeze(1)
                aims = rewards + self.discount * (1 - ended) * worth
            values = self.network(before).gather(1, actions[:, None]).squeeze(1)
            loss = F.smooth_l1_loss(values, aims)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimizer.step()
            self.updates += 1
            if self.updates % self.settings.target_every == 0:
                self.target.load_state_dict(self.network.state_dict())

    def _earned(self, best: float) -> float:
        """The mean return of the greedy policy in the validation episodes, in a few where these promise no more."""
        few = float(self.stage.returns(self._greedy, self.judges[:FEW]).mean())
        if few < best or len(self.judges) <= FEW:
            return min(few, best) if len(self.judges) > FEW else few
        return float(self.stage.returns(self._greedy, self.judges).mean())

    def _greedy(self, rows: Array) -> Array:
        with torch.no_grad():
            found: Array = self.network(torch.from_numpy(rows)).argmax(dim=1).numpy()
        return found

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def close(self) -> None:
        self.world.close()
        self.stage.close()
