"""Can measuring tell models apart, and only those that differ? The same settings for all three questions.

A/A: one file under two names, many times; how often the test at 1 % calls them different. Chains of 20 and 21 equal
layers, and of 20 and 22, many times: how often the two are told apart. Results are written after every pair, and a
second call goes on from there.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result
from onnx import TensorProto, helper, numpy_helper

from steelyard.engine.lane import default_workers, lanes, make_protocol, nominal_time
from steelyard.measure.latency import Narrow, measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.run import RUNTIME

WIDTH = 384
"""Units of a layer: its weights take 0.6 MB, so that a chain does not fit the second-level cache."""

QUESTIONS = {"same": (20, 20), "five_percent": (20, 21), "ten_percent": (20, 22)}
"""Layers of the two chains of a pair."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--same", type=int, default=100)
    parser.add_argument("--different", type=int, default=20)
    parser.add_argument("--pair-s", type=float, default=60.0)
    parser.add_argument("--half-width", type=float, default=0.01)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    settings = {"pair_s": asked.pair_s, "half_width": asked.half_width}
    figures = earlier(asked.json, settings)
    with tempfile.TemporaryDirectory() as folder:
        for question, (first, second) in QUESTIONS.items():
            pairs = figures["pairs"].setdefault(question, [])
            wanted = asked.same if question == "same" else asked.different
            while len(pairs) < wanted:
                pairs.append(compare(Path(folder), first, second, asked, seed=len(pairs)))
                figures["summary"] = summary(figures["pairs"])
                write_result(asked.json, command_line(), figures)
    print(json.dumps(figures["summary"], indent=1))


def earlier(path: Path | None, settings: dict[str, float]) -> dict[str, Any]:
    """What an earlier call with the same settings wrote."""
    if path is not None and path.is_file():
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["figures"]
        if figures.get("settings") == settings:
            return figures
    return {"settings": settings, "pairs": {}}


def compare(folder: Path, first: int, second: int, asked: Any, *, seed: int) -> dict[str, Any]:
    """One pair: the ratio with its interval, p, and whether the two are told apart."""
    cpu, _ = lanes(default_workers())
    subjects = [
        Subject("a", chain(folder / "a.onnx", first, seed)),
        Subject("b", chain(folder / "b.onnx", second, seed)),
    ]
    rows = np.random.default_rng(seed).normal(size=(64, WIDTH)).astype(np.float32)
    began = time.perf_counter()
    found = measure_latency(
        subjects,
        rows,
        make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu),
        nominal_s=nominal_time(cpu),
        seed=seed,
        limit_s=asked.pair_s,
        narrow=Narrow(asked.half_width, ratios=True),
    )
    ratio = found.ratio("b", "a")
    return {
        "ratio": ratio.quantity.to_json(),
        "p": ratio.p,
        "different": ratio.is_proved,
        "processes": found.notes["a"]["processes"],
        "raw_p50_s": found.notes["a"]["raw_p50_s"],
        "noise": found.noise,
        "wall_s": time.perf_counter() - began,
    }


def chain(path: Path, layers: int, seed: int) -> Path:
    """A chain of equal layers, each a matrix product and a rectifier."""
    random = np.random.default_rng(seed)
    nodes, weights, name = [], [], "x"
    for layer in range(layers):
        matrix = random.normal(scale=WIDTH**-0.5, size=(WIDTH, WIDTH)).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"m{layer}"]))
        nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
        name = f"r{layer}"
    values = [helper.make_tensor_value_info(each, TensorProto.FLOAT, ["n", WIDTH]) for each in ("x", name)]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], weights)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


def summary(pairs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """How often each question's pairs were told apart, and what they took."""
    return {
        question: {
            "pairs": len(found),
            "different": sum(each["different"] for each in found),
            "median_ratio": float(np.median([each["ratio"]["value"] for each in found])),
            "widest_ratios": [
                min(each["ratio"]["value"] for each in found),
                max(each["ratio"]["value"] for each in found),
            ],
            "median_wall_s": float(np.median([each["wall_s"] for each in found])),
            "longest_wall_s": max(each["wall_s"] for each in found),
            "disturbed": sum(each["noise"] is not None for each in found),
        }
        for question, found in pairs.items()
        if found
    }


if __name__ == "__main__":
    main()
