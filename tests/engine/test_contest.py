"""Whether trees beat every network is said in one line, with its doubt."""

from steelyard.core.candidate import Candidate, Scale
from steelyard.core.quantity import Quantity
from steelyard.engine.contest import contest
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import measured

ACCURACY = METRICS["accuracy"]


def told(**qualities):
    trials = [
        measured(at, Candidate(name, Scale.of(width=at)), quality=low) for at, (name, (low, _)) in
        enumerate(qualities.items())
    ]  # fmt: skip
    figures = {
        trial.key: {"accuracy": Quantity((low + high) / 2, "1", low, high, 100)}
        for trial, (low, high) in zip(trials, qualities.values(), strict=True)
    }
    return contest(ACCURACY, figures, trials)


def test_clear_gains_are_told_plainly():
    assert told(mlp=(0.7, 0.8), trees=(0.85, 0.95), baseline=(0.4, 0.5)) == (
        "on this table gradient-boosted trees beat every network on validation: accuracy 0.9 of trees (width 1) "
        "against 0.75 of mlp (width 0)"
    )


def test_small_gains_are_doubted_and_losses_are_not_told():
    assert told(mlp=(0.7, 0.8), trees=(0.75, 0.85)).endswith("of mlp (width 0), which their intervals don't tell apart")
    assert told(mlp=(0.8, 0.9), trees=(0.7, 0.8)) is None
    assert told(trees=(0.7, 0.8), baseline=(0.4, 0.5)) is None
    assert told(mlp=(0.7, 0.8)) is None
