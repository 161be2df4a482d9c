"""What one would use instead of steelyard to make a model faster, each on the same references (`pip install nncf`).

ONNX Runtime's static and dynamic int8, nncf with accuracy control, and torch-pruning at four ratios with fine-tuning
and int8 after it. A cell is one of them on one task, at most four minutes of the processor; each cell is a process of
its own, and one that is there already is kept. Where a rival has a choice that matters for speed (which operators),
its cell writes a file for each; the fastest within the task's epsilon stands for it later.
"""

import argparse
import importlib.metadata
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from compression_data import DATA, Array, Sets, add_folders, data_file, read_sets
from compression_train import RECIPES, Recipe, accuracy, batches, fit, reference, reference_files
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME

EPSILONS = {"mnist": 0.01, "cifar10": 0.03, "fsdd": 0.05, "banking77": 0.02, "electric_devices": 0.02}
"""The drop of accuracy that is permitted: less can't be proved with so few test rows."""
LIMIT_S = 240
"""Seconds of the processor a cell may take."""
TUNING_S = 45.0
"""Of these, seconds that a pruned model is fine-tuned."""
RATIOS = (0.3, 0.5, 0.7, 0.85)
CALIBRATION = 300
"""Training rows that calibrate: nncf's default."""
PRODUCTS = ("Conv", "MatMul", "Gemm")
LIBRARIES = ("onnxruntime", "nncf", "torch-pruning", "torch")

File = dict[str, Any]


class _Rows(CalibrationDataReader):
    def __init__(self, rows: Array) -> None:
        self.rows: Iterator[Array] = iter(rows)

    def get_next(self) -> dict[str, Array] | None:
        row = next(self.rows, None)
        return None if row is None else {"x": row[None]}


def calibration_rows(sets: Sets) -> Array:
    order = np.random.default_rng(0).permutation(len(sets["x_train"]))
    return np.asarray(sets["x_train"][order[:CALIBRATION]])


def static_files(source: Path, target: str, sets: Sets) -> list[Path]:
    """Unsigned activations and signed weights per channel: all operators that can be, and products alone."""
    clean = source.with_name(f"{target}-clean.onnx")
    quant_pre_process(str(source), str(clean), skip_symbolic_shape=True)
    files = []
    for name, operators in (("static", None), ("static-products", list(PRODUCTS))):
        path = source.with_name(f"{target}-{name}.onnx")
        quantize_static(
            str(clean),
            str(path),
            _Rows(calibration_rows(sets)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=operators,
        )
        files.append(path)
    clean.unlink()
    return files


def dynamic_files(source: Path, target: str, _: Sets) -> list[Path]:
    """Products and recurrent layers alone, and with tables; convolutions stay, being far slower so."""
    clean = source.with_name(f"{target}-clean.onnx")
    quant_pre_process(str(source), str(clean), skip_symbolic_shape=True)
    files = []
    for name, more in (("dynamic", []), ("dynamic-tables", ["Gather"])):
        if more and not any(node.op_type in more for node in onnx.load(clean).graph.node):
            continue
        path = source.with_name(f"{target}-{name}.onnx")
        operators = ["MatMul", "Gemm", "LSTM", "Attention", *more]
        quantize_dynamic(
            str(clean), str(path), op_types_to_quantize=operators, per_channel=True, weight_type=QuantType.QInt8
        )
        files.append(path)
    clean.unlink()
    return files


def nncf_files(task: str, source: Path, sets: Sets) -> list[Path]:
    """The reference by nncf, which puts layers back into float until the drop on valid is small enough."""
    import nncf  # noqa: PLC0415  needed by this cell alone

    def validated(model: onnx.ModelProto, rows: Any) -> tuple[float, None]:
        path = source.with_name(f"{task}-nncf-tried.onnx")
        onnx.save(model, path)
        session = RUNTIME.load(path)
        pairs = list(rows)
        found = session.run(np.concatenate([x for x, _ in pairs]))
        path.unlink()
        return accuracy(found, np.concatenate([y for _, y in pairs])), None

    valid = [(sets["x_valid"][i : i + 50], sets["y_valid"][i : i + 50]) for i in range(0, len(sets["x_valid"]), 50)]
    kind = nncf.ModelType.TRANSFORMER if task == "banking77" else None
    model = nncf.quantize_with_accuracy_control(
        onnx.load(source),
        nncf.Dataset(calibration_rows(sets), lambda row: {"x": row[None]}),
        nncf.Dataset(valid),
        validated,
        max_drop=EPSILONS[task],
        drop_type=nncf.DropType.ABSOLUTE,
        model_type=kind,
        subset_size=CALIBRATION,
    )
    path = source.with_name(f"{task}-nncf.onnx")
    onnx.save(model, path)
    return [path]


def pruned(module: nn.Module, sets: Sets, ratio: float) -> nn.Module:
    """The module without that share of each layer's channels, by torch-pruning's Taylor importance."""
    import torch_pruning as tp  # noqa: PLC0415

    random = np.random.default_rng(0)
    for x, y in [pair for pair, _ in zip(batches(sets, 64, random), range(8), strict=False)]:
        nn.functional.cross_entropy(module(x), y).backward()
    heads = {
        layer: each.heads
        for each in module.modules()
        if hasattr(each, "heads")
        for layer in (each.query, each.key, each.value)
    }
    last = [each for each in module.modules() if isinstance(each, nn.Linear)][-1]
    pruner = tp.pruner.BasePruner(
        module,
        torch.from_numpy(sets["x_train"][:2]),
        importance=tp.importance.GroupTaylorImportance(),
        pruning_ratio=ratio,
        ignored_layers=[last],
        num_heads=heads,
        round_to=4,
    )
    pruner.step()
    module.zero_grad(set_to_none=True)
    return module


def pruning_files(task: str, folder: Path, sets: Sets, ratio: float) -> list[Path]:
    """The reference pruned and fine-tuned with its own recipe at half the rate, in float and int8."""
    whole = RECIPES[task]
    recipe = Recipe(TUNING_S, rate=whole.rate / 2, decay=whole.decay, smoothing=whole.smoothing, size=whole.size)
    module, _ = fit(pruned(reference(task, folder), sets, ratio), sets, task, recipe)
    path = folder / f"{task}-pruning-{ratio}.onnx"
    export(module, sets["x_train"][:2], path)
    return [path, *static_files(path, path.stem, sets), *dynamic_files(path, path.stem, sets)]


def files_of(task: str, cell: str, folder: Path, sets: Sets) -> list[Path]:
    """Run one cell."""
    source = reference_files(task, folder)[1]
    makers: dict[str, Callable[[], list[Path]]] = {
        "static": lambda: static_files(source, task, sets),
        "dynamic": lambda: dynamic_files(source, task, sets),
        "nncf": lambda: nncf_files(task, source, sets),
    }
    makers |= {f"pruning-{r}": lambda r=r: pruning_files(task, folder, sets, r) for r in RATIOS}  # type: ignore[misc]
    return makers[cell]()


CELLS = ("static", "dynamic", "nncf", *(f"pruning-{ratio}" for ratio in RATIOS))


def cell_file(task: str, cell: str, folder: Path) -> Path:
    return folder / f"{task}-{cell}.json"


def judged(path: Path, sets: Sets, split: str) -> float:
    """Accuracy of a file on the runtime."""
    return accuracy(outputs_of(path, sets[f"x_{split}"]), sets[f"y_{split}"])


def outputs_of(path: Path, x: Array) -> Array:
    """Outputs (n, classes) of a file, row by row as it will be used: a dynamic scale is then a row's own."""
    session = RUNTIME.load(path)
    return np.concatenate([session.run(x[i : i + 1]) for i in range(len(x))])


def run_cell(task: str, cell: str, folder: Path, shared: Path) -> None:
    """Run one cell in this process and write what it found."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, resource.RLIM_INFINITY))
    torch.set_num_threads(1)
    sets = read_sets(data_file(task, folder, shared))
    began = time.process_time()
    paths = files_of(task, cell, folder, sets)
    spent = time.process_time() - began
    # Judging the result is no part of the rival's work.
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    files: list[File] = [
        {"file": path.name, "accuracy": judged(path, sets, "valid"), "size_bytes": path.stat().st_size}
        for path in paths
    ]
    write_cell(task, cell, folder, {"files": files, "processor_s": spent, "tuning_s": TUNING_S, "error": None})


def write_cell(task: str, cell: str, folder: Path, found: dict[str, Any]) -> None:
    plain = {"task": task, "cell": cell, "versions": versions(), **found}
    cell_file(task, cell, folder).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def rivals(task: str, folder: Path, shared: Path, cells: tuple[str, ...] = CELLS) -> list[dict[str, Any]]:
    """What each cell of a task found, run where it was not yet."""
    for cell in cells:
        if cell_file(task, cell, folder).is_file():
            continue
        words = ["--task", task, "--cell", cell, "--folder", str(folder), "--shared", str(shared), "--inside"]
        log = folder / f"{task}-{cell}.log"
        with log.open("w", encoding="utf-8") as out:
            done = subprocess.run([sys.executable, __file__, *words], check=False, stdout=out, stderr=out)
        if done.returncode:
            last = log.read_text(encoding="utf-8").strip().splitlines()[-1:] or [""]
            said = last[0] if done.returncode > 0 else f"was not done after {LIMIT_S} s of the processor"
            write_cell(task, cell, folder, {"files": [], "processor_s": None, "error": said})
    return [json.loads(cell_file(task, cell, folder).read_text(encoding="utf-8")) for cell in cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(DATA), action="append")
    parser.add_argument("--cell", choices=CELLS, action="append")
    parser.add_argument("--inside", action="store_true", help="run the one cell in this process")
    add_folders(parser)
    asked = parser.parse_args()
    if asked.inside:
        run_cell(asked.task[0], asked.cell[0], asked.folder, asked.shared)
        return
    for cell in asked.cell or CELLS:
        for task in asked.task or DATA:
            for found in rivals(task, asked.folder, asked.shared, (cell,)):
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
