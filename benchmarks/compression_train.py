"""Trains the references of the benchmarks of compression; writes their weights, their ONNX files and their quality.

One thread each, AdamW, a learning rate of one cycle, light augmentation; limits are seconds of the processor, so that
what else the machine does changes no result. References that are there already are kept.
"""

import argparse
import copy
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compression_data import DATA, UNKNOWN, Array, Sets, add_folders, data_file, read_sets
from compression_models import MODELS
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from steelyard.runtimes.onnxruntime.export import export


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """How the model of a task is trained: seconds of the processor, learning rate, decay, and label smoothing."""

    limit_s: float
    rate: float = 2e-3
    decay: float = 0.02
    smoothing: float = 0.0
    size: int = 64


RECIPES = {
    "mnist": Recipe(200, size=128),
    "cifar10": Recipe(240, rate=3e-3, decay=0.05, smoothing=0.1, size=128),
    "fsdd": Recipe(80),
    "banking77": Recipe(130, decay=0.05, smoothing=0.1),
    "electric_devices": Recipe(90),
}


def augmented(x: Tensor, task: str) -> Tensor:
    """Training rows, each changed a little by lot."""
    if task == "banking77":
        lost = (torch.rand(x.shape) < 0.1) & (x != 0)
        return torch.where(lost, UNKNOWN, x)
    if task == "electric_devices":
        return x * (1 + 0.1 * torch.randn(len(x), 1, 1)) + 0.03 * torch.randn_like(x)
    if task == "fsdd":
        x = shifted(x, 0, 4)
        at = torch.randint(0, x.shape[2] - 8, (1,)).item()
        x[:, :, at : at + 8] = x.mean()
        return x
    x = shifted(x, 2, 2) if task == "mnist" else shifted(x, 4, 4)
    if task == "cifar10":
        x = torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], x.flip(3), x)
    return x


def shifted(x: Tensor, rows: int, columns: int) -> Tensor:
    """Pictures (n, c, h, w), each moved by up to so many rows and columns; edges are repeated."""
    n, _, h, w = x.shape
    padded = functional.pad(x, (columns, columns, rows, rows), mode="replicate")
    down = torch.randint(0, 2 * rows + 1, (n, 1)) + torch.arange(h)
    right = torch.randint(0, 2 * columns + 1, (n, 1)) + torch.arange(w)
    index = torch.arange(n)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2).contiguous()


def batches(sets: Sets, size: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in a random order; texts of like length together, without padding that none of them needs."""
    x, y = sets["x_train"], sets["y_train"]
    order = random.permutation(len(x))
    is_text = x.dtype == np.int64
    if is_text:
        pool = 8 * size
        lengths = (x != 0).sum(1)
        order = np.concatenate(
            [p[np.argsort(lengths[p], kind="stable")] for p in np.split(order, range(pool, len(x), pool))]
        )
    starts = random.permutation(range(0, len(x) - size + 1, size))
    for start in starts:
        rows = order[start : start + size]
        batch = x[rows]
        if is_text:
            batch = batch[:, : max(4, int(lengths[rows].max()))]
        yield torch.from_numpy(batch), torch.from_numpy(y[rows])


def fit(module: nn.Module, sets: Sets, task: str, recipe: Recipe, *, seed: int = 0) -> tuple[nn.Module, float]:
    """The module trained, as it was at its best validation accuracy, and that accuracy."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    if sets["x_train"].ndim == 4:
        module = module.to(memory_format=torch.channels_last)
    began = time.process_time()
    best, kept, done = -1.0, module, 0.0
    while done < 1:
        module.train()
        for x, y in batches(sets, recipe.size, random):
            done = (time.process_time() - began) / recipe.limit_s
            if done >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate * one_cycle(done)
            rows = augmented(x, task)
            loss = functional.cross_entropy(
                module(rows.contiguous(memory_format=torch.channels_last) if rows.ndim == 4 else rows),
                y,
                label_smoothing=recipe.smoothing,
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
        found = accuracy(outputs(module, sets["x_valid"]), sets["y_valid"])
        print(f"{task}: {done:.0%} of {recipe.limit_s:g} s, valid {found:.4f}", flush=True)
        if found >= best:
            best, kept = found, copy.deepcopy(module)
    return kept.to(memory_format=torch.contiguous_format).eval(), best


def one_cycle(done: float) -> float:
    """Share of the learning rate: up for a tenth of the time, then down half a cosine (Smith and Topin, 2019)."""
    return done / 0.1 if done < 0.1 else 0.5 * (1 + float(np.cos(np.pi * (done - 0.1) / 0.9))) + 1e-3


def outputs(module: nn.Module, x: Array) -> Array:
    """Outputs (n, classes) of torch."""
    module.eval()
    with torch.no_grad():
        return np.concatenate([module(torch.from_numpy(x[i : i + 256])).numpy() for i in range(0, len(x), 256)])


def accuracy(found: Array, y: Array) -> float:
    return float((found.argmax(1) == y).mean())


def reference_files(task: str, folder: Path) -> tuple[Path, Path, Path]:
    """Weights, ONNX file and facts of a reference."""
    return tuple(folder / f"{task}-reference.{suffix}" for suffix in ("safetensors", "onnx", "json"))  # type: ignore[return-value]


def reference(task: str, folder: Path) -> nn.Module:
    """The trained reference."""
    module = MODELS[task]()
    module.load_state_dict(load_file(reference_files(task, folder)[0]))
    return module.eval()


def train(task: str, folder: Path, sets: Sets) -> dict[str, Any]:
    """Train a reference and write its files."""
    weights, onnx, facts = reference_files(task, folder)
    module, _ = fit(MODELS[task](), sets, task, RECIPES[task])
    save_file({name: each.contiguous() for name, each in module.state_dict().items()}, weights)
    export(module, sets["x_train"][:2], onnx)
    plain: dict[str, Any] = {
        "model": MODELS[task].__name__,
        "parameters": sum(each.numel() for each in module.parameters()),
        "accuracy": accuracy(outputs(module, sets["x_valid"]), sets["y_valid"]),
        "accuracy_test": accuracy(outputs(module, sets["x_test"]), sets["y_test"]),
        "size_bytes": onnx.stat().st_size,
        "recipe": dataclasses.asdict(RECIPES[task]),
    }
    facts.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(DATA), action="append")
    add_folders(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for task in asked.task or DATA:
        facts = reference_files(task, asked.folder)[2]
        if not facts.is_file():
            train(task, asked.folder, read_sets(data_file(task, asked.folder, asked.shared)))
        print(task, facts.read_text(encoding="utf-8"), flush=True)


if __name__ == "__main__":
    main()
