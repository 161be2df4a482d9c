"""Is the smaller network as good? Both trained from the same seeds, compared pair by pair.

    python compare.py mnist_35k.npz [--seeds 5] [--epochs 12]

Halving both layers leaves a quarter of the weights, because those between the two layers are a product. A true half
halves the dense layer alone.
"""

import argparse
from typing import Any

import torch
from model import SIZES, build

from steelyard.core.candidate import Scale
from steelyard.families.own import Own
from steelyard.statistics.spread import spread
from steelyard.tasks.metrics import METRICS
from steelyard.tasks.reading import from_data
from steelyard.training.fit import Problem, fit
from steelyard.training.modules import module_outputs
from steelyard.training.recipe import Recipe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data")
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=12)
asked = parser.parse_args()

torch.set_num_threads(1)
task = from_data(asked.data, "image-classification")
accuracy = METRICS["accuracy"]


def tested(size: str, seed: int) -> tuple[int, float]:
    """Weights of a network, and its accuracy on the test rows after training."""
    model: Any = Own("halves", build).build(Scale.of(size=size), task, seed)
    recipe = Recipe(epochs=asked.epochs, learning_rate=1e-3, batch=128)
    fit(model, Problem(task.train, task.valid, task.output, accuracy, recipe, seed))
    weights = sum(each.numel() for each in model.parameters())
    return weights, accuracy(module_outputs(model, task.test.x), task.test.y)


found = {size: [tested(size, seed) for seed in range(asked.seeds)] for size in SIZES}
for size, runs in found.items():
    across = spread([100 * quality for _, quality in runs])
    print(f"{size:8}{runs[0][0]:9,} weights  {across.mean:.2f} % [{across.mean_low:.2f}, {across.mean_high:.2f}]")
for size in ("half", "quarter"):
    lost = spread([100 * (whole - less) for (_, whole), (_, less) in zip(found["whole"], found[size], strict=True)])
    print(f"whole less {size}: {lost.mean:+.2f} points [{lost.mean_low:+.2f}, {lost.mean_high:+.2f}], {lost.n} seeds")
