"""Trained modules and what the tests of every runtime share."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.core.candidate import Scale
from steelyard.families.cnn import CNN
from steelyard.families.mlp import MLP
from steelyard.tasks.builtin import digits
from steelyard.tasks.metrics import METRICS
from steelyard.training.fit import Problem, fit
from steelyard.training.modules import module_outputs
from steelyard.training.recipe import Recipe

FAMILIES = {"mlp": (MLP, Scale.of(depth=1, width=16)), "cnn": (CNN, Scale.of(depth=2, width=8))}


class Trained:
    """A module trained on digits, validation rows, and torch's outputs on them."""

    def __init__(self, name: str) -> None:
        family, scale = FAMILIES[name]
        task = digits(0)
        self.module = family.build(scale, task, 0)
        recipe = Recipe(epochs=3, learning_rate=0.01)
        fit(self.module, Problem(task.train, task.valid, task.output, METRICS["accuracy"], recipe, 0))
        self.x = np.ascontiguousarray(task.valid.x[:100], dtype=np.float32)
        self.y = module_outputs(self.module, self.x)
        assert (self.y.argmax(axis=1) == task.valid.y[:100]).mean() > 0.5


@pytest.fixture(scope="session", params=["mlp", "cnn"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return Trained(request.param)


@pytest.fixture(scope="session")
def trained_cnn() -> Trained:
    return Trained("cnn")


@pytest.fixture
def run_without() -> Any:
    """What a fresh process without a module prints of the shape of a model's outputs on two rows of images."""

    def run(module: str, runtime: str, model: Path) -> str:
        code = (
            f"import sys\nsys.modules[{module!r}] = None\nimport numpy as np\nfrom pathlib import Path\n"
            f"from steelyard.runtimes.{runtime}.run import RUNTIME\n"
            f"print(RUNTIME.load(Path({str(model)!r})).run(np.ones((2, 8, 8), np.float32)).shape)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run


@pytest.fixture
def parity() -> Any:
    """Asks that outputs of two ways to run one model in fp32 are close, and of one mind."""

    def check(wanted: Any, got: Any) -> None:
        np.testing.assert_allclose(got, wanted, atol=1e-3 * (1 + float(np.abs(wanted).max())))
        assert (got.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.999

    return check
