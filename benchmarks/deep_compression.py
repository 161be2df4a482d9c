"""Deep Compression's table on real bytes: LeNet-300-100 and LeNet-5, each seed from its reference to one small file.

The file is what `steelyard.load` reads and ONNX Runtime runs. Ratio = 4 bytes × parameters of the reference against
all bytes of the file. Everything is tuned on the validation rows; the test rows are looked at once a seed, at the end.
Finished references and seeds are kept in the folder, and a rerun skips them.

References:
    S. Han, H. Mao, W. J. Dally, Deep compression, ICLR 2016.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lenets
import numpy as np
import onnx
import torch
from environment import command_line, write_result
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from steelyard.core.task import Rows
from steelyard.core.wire import write_text
from steelyard.graph.encoded import decode_model, first_changed
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.steps.encode import Encode
from steelyard.steps.share import Share
from steelyard.steps.sparsify import Sparsify
from steelyard.training.course import Course, answers
from steelyard.training.lesson import Lesson
from steelyard.training.sparsity import sparsity

COPIES = 5
"""Augmented copies of the training rows, beside the rows themselves."""
HEAT, TOLD = 2.0, 0.7
"""Temperature of the teachers' answers, and their share of the loss."""
SEEDS = (0, 1, 2)
LOADS = 9
"""How often a file is loaded for its load time."""


@dataclass(frozen=True, slots=True)
class Net:
    """One row of the table: the reference, and how it is compressed.

    Attributes:
        build: the untrained reference.
        epochs: of the reference's training.
        widths: units or channels that are left of each hidden layer before single weights go.
        weights: single weights to be left by pruning.
        bytes: what sharing aims at.
        epochs_sparse, epochs_shared: passes over the augmented rows.
        batch: rows of a step: few for a net that is small anyway, which needs steps more than rows.
        levels: entries of a codebook.
    """

    build: Callable[[], nn.Sequential]
    epochs: int
    widths: tuple[int, ...]
    weights: int
    bytes: int
    epochs_sparse: float
    epochs_shared: float
    batch: int = 128
    levels: int = 12


NETS = {
    "lenet_300_100": Net(lenets.lenet_300_100, 20, (150, 60), 19_000, 10_600, 6.5, 4.0),
    "lenet_5": Net(lenets.lenet_5, 8, (10, 20, 64), 9_000, 7_000, 6.0, 3.0, batch=64, levels=24),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=[*NETS], action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--data", type=Path, default=lenets.DATA)
    parser.add_argument("--folder", type=Path, default=Path("steelyard-out") / "deep-compression")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    lenets.DATA = options.data
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    for name in options.net or NETS:
        # Seeds may also run side by side, each in a process of its own; the last run then finds them all.
        seeds = [seed_figures(name, seed, options.folder) for seed in options.seed or SEEDS]
        figures[name] = {"parameters": parameters(NETS[name].build()), "seeds": seeds}
    write_result(options.json, command_line(), figures)


def parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def reference(name: str, seed: int, folder: Path) -> nn.Sequential:
    """The trained reference of a seed, from the folder where it is there."""
    path, net = folder / f"{name}-{seed}.safetensors", NETS[name]
    torch.manual_seed(seed)
    module = net.build()
    if path.exists():
        module.load_state_dict(load_file(path))
        return module.eval()
    lenets.trained(module, lenets.split("train"), seed=seed, epochs=net.epochs)
    save_file(module.state_dict(), path)
    return module


def lesson(folder: Path, seed: int) -> Lesson:
    """The training rows, themselves and augmented, with what the LeNet-5 references say of them together."""
    train = lenets.split("train")
    x = torch.from_numpy(train.x)
    rows = np.concatenate([train.x, *(lenets.augmented(x, 9000 + copy).numpy() for copy in range(COPIES))])
    path = folder / "answers.npy"
    if not path.exists():
        teachers = [reference("lenet_5", each, folder) for each in range(3)]
        told = torch.stack([functional.log_softmax(answers(each, rows), dim=1) for each in teachers]).mean(0)
        np.save(path, told.numpy())
    truth = functional.one_hot(torch.from_numpy(np.tile(train.y, COPIES + 1)), 10).numpy()
    y = np.concatenate([np.load(path), truth.astype(np.float32)], axis=1)
    # The teachers have answered already, so that no step asks them again: their answers are the rows' targets.
    return Lesson(Rows(rows, y), lenets.split("valid"), nn.Identity(), loss=told_loss, seed=seed)


def told_loss(out: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the digit, and the distance from what the teachers said."""
    told, truth = targets[:, :10], targets[:, 10:]
    wanted = functional.log_softmax(told / HEAT, dim=1)
    found = functional.log_softmax(out / HEAT, dim=1)
    distance = HEAT**2 * functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
    return TOLD * distance + (1 - TOLD) * functional.cross_entropy(out, truth)


def narrowed(module: nn.Sequential, widths: tuple[int, ...]) -> nn.Sequential:
    """The module with the units that matter most left in each hidden layer.

    A unit matters by the product of the norms of what comes in and what goes out.
    """
    layers = [each for each in module if isinstance(each, nn.Conv2d | nn.Linear)]
    for layer, following, width in zip(layers, layers[1:], widths, strict=False):
        units = layer.weight.shape[0]
        out = following.weight.detach().flatten(1) if following.weight.ndim == 4 else following.weight.detach()
        out = out.reshape(out.shape[0], units, -1)
        norm = layer.weight.detach().flatten(1).norm(dim=1) * out.transpose(0, 1).flatten(1).norm(dim=1)
        kept = norm.topk(min(width, units)).indices.sort().values
        layer.weight, layer.bias = nn.Parameter(layer.weight[kept].detach()), nn.Parameter(layer.bias[kept].detach())
        shape = (following.weight.shape[0], -1, *following.weight.shape[2:])
        following.weight = nn.Parameter(out[:, kept].reshape(shape).contiguous())
        if isinstance(layer, nn.Conv2d):
            layer.out_channels = len(kept)
        else:
            layer.out_features = len(kept)
        if isinstance(following, nn.Conv2d):
            following.in_channels = len(kept)
        else:
            following.in_features = following.weight.shape[1]
    return module


def compressed(name: str, seed: int, folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A reference narrowed, pruned and shared, with its validation error after each."""
    net, valid = NETS[name], lenets.split("valid")
    taught = lesson(folder, seed)
    start = time.perf_counter()
    sparse = pruned(name, seed, folder, taught)
    told = {"sparse_valid_error": lenets.error(sparse, valid), "sparse_s": time.perf_counter() - start}
    print(name, seed, told, flush=True)
    shared, did = Share(
        levels=net.levels,
        spacing="grid",
        bytes=net.bytes,
        course=Course(epochs=net.epochs_shared, rate=1e-3, batch=net.batch, distill=0.0),
    ).apply(sparse, taught)
    told |= {"valid_error": lenets.error(shared, valid), "compress_s": time.perf_counter() - start, "share": did}
    return shared, told | {"sparsity": sparsity(shared)}


def pruned(name: str, seed: int, folder: Path, taught: Lesson) -> nn.Module:
    """A reference narrowed and pruned, from the folder where it is there."""
    net, path = NETS[name], folder / f"{name}-{seed}-sparse.safetensors"
    module = narrowed(reference(name, seed, folder), net.widths)
    if path.exists():
        module.load_state_dict(load_file(path))
        return module.eval()
    dense = sum(each.numel() for each in module.parameters() if each.ndim > 1)
    course = Course(epochs=net.epochs_sparse, rate=2e-3, batch=net.batch, distill=0.0)
    step = Sparsify(ratio=1 - net.weights / dense, schedule="dynamic", course=course)
    sparse, _ = step.apply(module, taught)
    save_file(sparse.state_dict(), path)
    return sparse


def seed_figures(name: str, seed: int, folder: Path) -> dict[str, Any]:
    """One seed from its reference to the figures of its file."""
    stored = folder / f"{name}-{seed}.json"
    if stored.exists():
        found: dict[str, Any] = json.loads(stored.read_text(encoding="utf-8"))
        return found
    module, told = compressed(name, seed, folder)
    plain, path = folder / f"{name}-{seed}.onnx", folder / f"{name}-{seed}.syd"
    export(module, np.zeros((2, 1, 28, 28), np.float32), plain)
    Encode().apply(plain, path, iter(()))
    print(name, seed, path.stat().st_size, told, flush=True)
    figures = told | judged(name, seed, plain, path, folder)
    write_text(stored, json.dumps(figures, indent=1) + "\n")
    return figures


def judged(name: str, seed: int, plain: Path, path: Path, folder: Path) -> dict[str, Any]:
    """What the file is and does, on test rows too."""
    test, whole = lenets.split("test"), reference(name, seed, folder)
    session = RUNTIME.load(path)
    with torch.no_grad():
        told = whole(torch.from_numpy(test.x)).argmax(1).numpy() != test.y
    wrong = session.run(test.x).argmax(axis=1) != test.y
    loads = []
    for _ in range(LOADS):
        start = time.perf_counter()
        RUNTIME.load(path)
        loads.append(time.perf_counter() - start)
    exact = first_changed(onnx.load(plain), decode_model(path.read_bytes())) is None
    size = path.stat().st_size
    return {
        "seed": seed,
        "reference_test_error": float(told.mean()),
        "test_error": float(wrong.mean()),
        "only_reference_wrong": np.flatnonzero(told & ~wrong).tolist(),
        "only_file_wrong": np.flatnonzero(wrong & ~told).tolist(),
        "size_bytes": size,
        "ratio": 4 * parameters(NETS[name].build()) / size,
        "is_exact": exact,
        "load_s": sorted(loads),
        "median_load_s": float(np.median(loads)),
    }


if __name__ == "__main__":
    main()
