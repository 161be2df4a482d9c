from dataclasses import dataclass

import numpy as np
import pytest


@dataclass(frozen=True)
class Figure:
    """A metric of the protocol's shape, written apart from the shipped ones."""

    name: str
    proof: str
    higher_is_better: bool = True
    in_unit_range: bool = True
    unit: str = "1"

    def __call__(self, outputs, targets):
        if not np.isfinite(outputs).all():
            return 0.0 if self.higher_is_better else float("inf")
        error = outputs[:, 0] - targets
        if self.name == "rmse":
            return float(np.sqrt(np.mean(error**2)))
        if self.name == "r2":
            return float(1 - np.mean(error**2) / np.var(targets))
        guess = outputs.argmax(axis=1)
        if self.name == "balanced":
            return float(np.mean([np.mean(guess[targets == each] == each) for each in np.unique(targets)]))
        return float(np.mean(guess == targets))


@pytest.fixture
def accuracy():
    return Figure("accuracy", "trinomial")


@pytest.fixture
def agreement():
    return Figure("agreement", "disagreement")


@pytest.fixture
def balanced():
    return Figure("balanced", "bootstrap")


@pytest.fixture
def rmse():
    return Figure("rmse", "mean", higher_is_better=False, in_unit_range=False)


@pytest.fixture
def r2():
    return Figure("r2", "mean")


@pytest.fixture
def votes():
    """Outputs and targets of a pair of classifiers from (both right, only reference, only candidate, none) counts."""

    def make(both, only_reference, only_candidate, none=0):
        n = both + only_reference + only_candidate + none
        targets = np.arange(n) % 2
        reference = np.concatenate([np.ones(both + only_reference), np.zeros(only_candidate + none)]).astype(bool)
        candidate = np.concatenate(
            [np.ones(both), np.zeros(only_reference), np.ones(only_candidate), np.zeros(none)]
        ).astype(bool)
        outputs = [np.eye(2)[np.where(hits, targets, 1 - targets)] for hits in (reference, candidate)]
        return outputs[0], outputs[1], targets

    return make


@pytest.fixture
def values():
    """Outputs and targets of a pair of regressors with errors of the given standard deviations."""

    def make(n, reference_error, candidate_error, seed=0):
        rng = np.random.default_rng(seed)
        targets = rng.normal(0, 1, n)
        noise = rng.normal(0, 1, n)
        reference = targets + reference_error * noise
        other = 0.9 * noise + np.sqrt(1 - 0.81) * rng.normal(0, 1, n)
        return reference[:, None], (targets + candidate_error * other)[:, None], targets

    return make
