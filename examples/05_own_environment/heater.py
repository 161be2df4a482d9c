"""Your own environment: a heater that keeps a room at 20 degrees while the weather changes, and costs what it burns."""

from typing import Any

import gymnasium
import numpy as np

HOURS = 48


class Heater(gymnasium.Env):  # type: ignore[misc,type-arg]
    """Shows the room's and the outside temperature; the actions are off, half and full."""

    observation_space = gymnasium.spaces.Box(-30.0, 50.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A morning with a weather of its own."""
        super().reset(seed=seed, options=options)
        self.room, self.outside = 15.0, float(self.np_random.uniform(-5.0, 10.0))
        return self._seen(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """An hour."""
        self.outside += float(self.np_random.normal(0.0, 1.0))
        self.room += 0.2 * (self.outside - self.room) + 3.0 * action
        return self._seen(), -abs(self.room - 20.0) - 0.3 * action, False, False, {}

    def _seen(self) -> Any:
        return np.array([self.room, self.outside], dtype=np.float32)


def make() -> gymnasium.Env:  # type: ignore[type-arg]
    """What steelyard calls: an environment that ends after two days."""
    return gymnasium.wrappers.TimeLimit(Heater(), HOURS)


make.discount = 0.9  # type: ignore[attr-defined]
