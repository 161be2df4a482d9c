"""Find the right size of a digit classifier, and use it."""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits

import steelyard
from steelyard import Budget, Goal

with tempfile.TemporaryDirectory() as folder:
    outcome = steelyard.find(
        "digits",
        model="mlp",
        goal=Goal(max_drop=0.02, minimize="latency"),
        budget=Budget(wall_s=None, trials=6),
        knobs={"depth": (1,), "width": (16, 64)},
        out=Path(folder) / "digits",
    )
    print(outcome.status, outcome.chosen.candidate)
    print("drop of accuracy at most", outcome.drop.high, "with", outcome.drop.n, "test rows")

    model = steelyard.load(outcome.bundle)
    print(model.predict(load_digits().images[:5]))
