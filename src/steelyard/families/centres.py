"""Centres of clusters, found by scikit-learn's k-means and written as ONNX."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.protocols import Task
from steelyard.core.task import Array, Column, TableInput
from steelyard.core.wire import Plain
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.runtimes.parity import check_parity
from steelyard.tasks.clustering import standardised
from steelyard.tasks.clusterings import kmeans

FARTHEST = -1e9
"""The output of a cluster that the scale lacks: no row is as far."""
PARITY_ROWS = 256
"""Valid rows on which the file must do as the centres do."""
OPSET = 18


def fit(scale: Scale, task: Task, seed: int, path: Path) -> Plain:
    """Find the centres and write the file; see `steelyard.core.protocols.FittedFamily.fit`.

    Raises:
        WorkerError: if there are fewer different rows than clusters, or the file does something else.
    """
    spec = task.input
    assert isinstance(spec, TableInput)  # noqa: S101  the family refuses other inputs; narrows the type
    points = standardised(spec, task.train.x)
    clusters = scale.integer("clusters", 2)
    different = len(np.unique(points, axis=0))
    if different < clusters:
        raise WorkerError(f"{clusters} clusters need as many different rows, got {different}.", stage="train")
    start = time.perf_counter()
    found, _ = kmeans(points.astype(np.float64), clusters, seed)
    train_s = time.perf_counter() - start
    write_centres(spec, found.astype(np.float32), task.output.width, path)
    rows = np.ascontiguousarray(task.valid.x[:PARITY_ROWS], dtype=np.float32)
    wanted = _distances(standardised(spec, rows), found)
    got = OnnxRuntime().load(path).run(rows)[:, :clusters]
    return {"train_s": train_s, "parity": check_parity(-wanted, got, decides=False), "exporter": "kmeans"}


def _distances(points: Array, centres: Array) -> Array:
    return np.asarray(np.sqrt(np.square(points[:, None] - centres[None]).sum(axis=2)))


def write_centres(spec: TableInput, centres: Array, width: int, path: Path) -> None:
    """Write centres (k, features); the file takes raw rows (n, columns) and gives negative distances (n, width)."""
    nodes, tensors = _standardising(spec.columns)
    k = len(centres)
    result = "output" if k == width else "near"
    tensors |= {
        "centres": centres * np.float32(-2),
        "squares": np.square(centres).sum(axis=1)[None],
        "nothing": np.zeros(1, dtype=np.float32),
        "axis": np.array([1], dtype=np.int64),
    }
    nodes += [
        # |z − c|² = |z|² − 2 z·c + |c|², one product for all centres.
        helper.make_node("Gemm", ["points", "centres", "squares"], ["products"], transB=1),
        helper.make_node("ReduceSumSquare", ["points", "axis"], ["lengths"], keepdims=1),
        helper.make_node("Add", ["products", "lengths"], ["raw_squared"]),
        helper.make_node("Max", ["raw_squared", "nothing"], ["squared"]),
        helper.make_node("Sqrt", ["squared"], ["distances"]),
        helper.make_node("Neg", ["distances"], [result]),
    ]
    if k < width:
        tensors |= {
            "pads": np.array([0, 0, 0, width - k], dtype=np.int64),
            "farthest": np.array(FARTHEST, dtype=np.float32),
        }
        nodes.append(helper.make_node("Pad", ["near", "pads", "farthest"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "kmeans",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", len(spec.columns)])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in tensors.items()],
    )
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="steelyard"
    )
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())


def _standardising(columns: tuple[Column, ...]) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Operators from raw rows to `points`, as `steelyard.tasks.clustering.standardised` computes them."""
    numbers = [at for at, column in enumerate(columns) if column.kind == "number"]
    flags = [(at, code) for at, column in enumerate(columns) for code in range(1, len(column.categories) + 1)]
    nodes: list[onnx.NodeProto] = []
    tensors: dict[str, Any] = {}
    if numbers:
        source = "input" if len(numbers) == len(columns) else "numbers"
        if source != "input":
            tensors["number_columns"] = np.array(numbers, dtype=np.int64)
            nodes.append(helper.make_node("Gather", ["input", "number_columns"], [source], axis=1))
        tensors |= {
            "mean": np.array([[columns[at].mean for at in numbers]], dtype=np.float32),
            "std": np.array([[columns[at].std for at in numbers]], dtype=np.float32),
        }
        nodes += [
            helper.make_node("Sub", [source, "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "std"], ["scaled"]),
            helper.make_node("IsNaN", ["scaled"], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "nothing", "scaled"], ["known"]),
        ]
    if flags:
        tensors |= {
            "flag_columns": np.array([at for at, _ in flags], dtype=np.int64),
            "flag_codes": np.array([[code for _, code in flags]], dtype=np.float32),
        }
        nodes += [
            helper.make_node("Gather", ["input", "flag_columns"], ["codes"], axis=1),
            helper.make_node("Equal", ["codes", "flag_codes"], ["holds"]),
            helper.make_node("Cast", ["holds"], ["flags"], to=onnx.TensorProto.FLOAT),
        ]
    if numbers and flags:
        nodes.append(helper.make_node("Concat", ["known", "flags"], ["points"], axis=1))
    else:
        nodes[-1].output[0] = "points"
    return nodes, tensors
