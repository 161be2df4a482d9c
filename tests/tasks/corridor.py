"""Environments that tests learn in: a corridor whose last place is the goal, and broken ones."""

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH, STEPS = 6, 20


class Corridor(gymnasium.Env):
    """Begins at place 0, 1 or 2; action 1 goes on and 0 back; each step costs 0.1, the goal gives 1."""

    observation_space = spaces.Discrete(LENGTH)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(0, 3))
        return self.place, {}

    def step(self, action):
        self.place = max(0, self.place + (1 if action else -1))
        is_there = self.place == LENGTH - 1
        return self.place, (1.0 if is_there else 0.0) - 0.1, is_there, False, {}


class Track(Corridor):
    """The corridor as a number from −1 to 1, beside one that means nothing and has no bounds."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def _seen(self):
        return np.array([2 * self.place / (LENGTH - 1) - 1, self.np_random.normal()], dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._seen(), {}

    def step(self, action):
        _, reward, ended, cut, told = super().step(action)
        return self._seen(), reward, ended, cut, told


class Continuous(Corridor):
    action_space = spaces.Box(-1.0, 1.0, (1,))


class Spoken(Corridor):
    observation_space = spaces.Text(5)


class Breaking(Corridor):
    def step(self, action):
        raise ValueError("the wheel came off.")


class Holey(Track):
    def _seen(self):
        return np.array([np.nan, 0.0], dtype=np.float32)


class Unseeded(Corridor):
    """Counts the episodes of all its kind instead of asking the seed."""

    begun = 0

    def reset(self, *, seed=None, options=None):
        Unseeded.begun += 1
        self.place = 0 if Unseeded.begun == 1 else 2
        return self.place, {}


def limited(kind):
    return gymnasium.wrappers.TimeLimit(kind(), STEPS)


def corridor():
    return limited(Corridor)


corridor.discount = 0.9


def track():
    return limited(Track)


def endless():
    return Corridor()


def continuous():
    return limited(Continuous)


def spoken():
    return limited(Spoken)


def breaking():
    return limited(Breaking)


def holey():
    return limited(Holey)


def nothing():
    return None


def raising():
    raise RuntimeError("no licence")


def odd_discount():
    return limited(Corridor)


odd_discount.discount = 1.5


def unseeded():
    return limited(Unseeded)
