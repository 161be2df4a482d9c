"""Steps of a pipeline in a worker: which plugin carries one out, and what they calibrate on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from steelyard.core.candidate import StepSetting
from steelyard.core.protocols import Feed
from steelyard.core.registry import Registry
from steelyard.core.task import Rows, feed_of


def leading(steps: tuple[StepSetting, ...], registry: Registry) -> tuple[StepSetting, ...]:
    """The steps at the beginning that work on modules; the rest work on files."""
    known = registry.names("module_step")
    count = next((at for at, step in enumerate(steps) if step.name not in known), len(steps))
    return steps[:count]


def step_of(registry: Registry, shelf: str, setting: StepSetting) -> Any:
    """The plugin of a step, with its settings."""
    step = registry.get(shelf, setting.name)
    return type(step)(**dict(setting.settings)) if setting.settings else step


def calibration(train: Rows, seed: int, size: int = 64) -> Iterator[Feed]:
    """Batches of training inputs in a seeded order, so that sorted data don't mislead a calibration."""
    order = np.random.default_rng(seed).permutation(len(train))
    for start in range(0, len(train), size):
        yield feed_of(train.x[np.sort(order[start : start + size])])
