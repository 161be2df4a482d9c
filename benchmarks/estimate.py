"""Estimated against measured latency, on networks that the cost model never saw.

Six families, float32 and int8. Each network is measured by the full protocol, shortened to three processes of 0.4 s
(stated in the result), and estimated by the cost model of this machine, which is built first if there is none.
When a family is judged, the intervals come from residuals of the other sorts of micro-models only; a second time, the
cost model has been told what networks of the other five families took, as studies tell it. Beside it: what a log-log
regression on MACs or on parameters gives, fitted on the other families. Killed, it goes on where it was.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result
from estimate_models import FAMILIES, Made, make_model
from scipy.stats import spearmanr

from steelyard.engine.estimate import estimate, read_program
from steelyard.engine.lane import lanes, make_protocol, nominal_time
from steelyard.engine.learning import BUDGET_S, build_cost_model, learning_folder, read_cost_model
from steelyard.engine.optimiser import Optimiser
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.measure.latency import Protocol, measure_latency
from steelyard.measure.predicted.composition import Record
from steelyard.measure.predicted.costmodel import CostModel, adjust
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.run import RUNTIME

STYLES = {"cnn": "pictures", "residual": "pictures", "depthwise": "pictures", "recurrent": "recurrent",
          "transformer": "encoders", "mlp": "products"}  # fmt: skip
"""The sort of micro-model that is most like a family: left out of its calibration."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=18, help="networks a family and type")
    parser.add_argument("--first", type=int, default=0, help="number of the first network; other numbers, other nets")
    parser.add_argument("--work", type=Path, default=Path("steelyard-out/estimate"))
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds to build the cost model")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    cpu = lanes(1)[0]
    began = time.monotonic()
    earlier = read_cost_model()
    model = earlier or build_cost_model(asked.budget, cpu=cpu)
    built = asked.work / "build.json"
    if earlier is None:
        built.write_text(json.dumps({"reused": False, "wall_s": time.monotonic() - began}))
    networks = [
        make_model(family, number, asked.work, int8=int8)
        for family in FAMILIES
        for number in range(asked.first, asked.first + asked.each)
        for int8 in (False, True)
    ]
    measured = measure(networks, asked.work / "measured.jsonl", cpu)
    records = {each.name: record_of(each, measured[each.name]["s"]) for each in networks if each.name in measured}
    judged = [each for each in networks if each.name in records]
    rows = [judge(model, each, records[each.name]) for each in judged]
    told = {
        family: adjust(model, [records[each.name] for each in judged if each.family != family]) for family in FAMILIES
    }
    later = [judge(told[each.family], each, records[each.name]) for each in judged]
    figures = {
        "networks": len(rows),
        "learned_from": model.models,
        "drift": model.drift,
        "build": (json.loads(built.read_text()) if built.exists() else {"reused": True})
        | {"folder_bytes": folder_bytes()},
        "protocol": {"processes": 3, "cap_s": 1.2, "batch": 1, "threads": 1},
        "all": accuracy(rows),
        "families": {family: accuracy([row for row in rows if row["family"] == family]) for family in FAMILIES},
        "types": {kind: accuracy([row for row in rows if row["type"] == kind]) for kind in ("fp32", "int8")},
        "told_of_other_families": {
            "all": accuracy(later),
            "families": {family: accuracy([row for row in later if row["family"] == family]) for family in FAMILIES},
        },
        "macs_alone": alone(rows, "macs"),
        "parameters_alone": alone(rows, "parameters"),
        "cost": cost(networks, cpu),
        "rows": rows,
    }
    write_result(asked.json, command_line(), figures)


def folder_bytes() -> int:
    return sum(file.stat().st_size for file in learning_folder().iterdir())


def measure(networks: list[Made], path: Path, cpu: int | None) -> dict[str, Any]:
    """Latencies by network; each is written as soon as it is known."""
    path.touch()
    found = {each["name"]: each for each in map(json.loads, path.read_text().splitlines())}
    protocol = Protocol(loader=RUNTIME.loader, imports=RUNTIME.imports, cpu=cpu, processes=3, cap_s=1.2)
    nominal_s = nominal_time(cpu)
    with path.open("a") as stream:
        for each in networks:
            if each.name not in found:
                inputs = {"x": each.rows}
                latency = measure_latency([Subject("model", each.path)], inputs, protocol, nominal_s=nominal_s)
                if "model" in latency.failures:
                    print(each.name, latency.failures["model"])
                    continue
                quantity = latency.metrics["model"]["latency_p50_s"]
                found[each.name] = {"name": each.name, "s": quantity.value, "low": quantity.low, "high": quantity.high}
                stream.write(json.dumps(found[each.name]) + "\n")
                stream.flush()
    return found


OPTIMISER = Optimiser()


def record_of(network: Made, seconds: float) -> Record:
    """A network's kernels and what it took."""
    program = read_program(network.path, {}, 1, OPTIMISER)
    kernels = [(kernel.kind, kernel.numbers, None) for kernel in program.kernels]
    return Record("observed", seconds, program.weight_bytes, program.activation_bytes, kernels)


def judge(model: CostModel, network: Made, record: Record) -> dict[str, Any]:
    """One network: measured, estimated, and the interval from the other sorts' residuals."""
    found = model.predict(record, (0.9, 0.95), (STYLES[network.family],))
    shipped = model.predict(record, (0.9,))
    counts = count(read_model(network.path))
    seconds = record.seconds
    return {
        "name": network.name,
        "family": network.family,
        "type": network.type,
        "measured_s": seconds,
        "estimated_s": found.seconds,
        "low_90": found.intervals[0.9][0],
        "high_90": found.intervals[0.9][1],
        "covered": found.intervals[0.9][0] <= seconds <= found.intervals[0.9][1],
        "covered_95": found.intervals[0.95][0] <= seconds <= found.intervals[0.95][1],
        "covered_with_own_sort": shipped.intervals[0.9][0] <= seconds <= shipped.intervals[0.9][1],
        "macs": counts.macs,
        "parameters": counts.parameters,
        "kernels": len(record.kernels),
    }


def accuracy(rows: list[dict[str, Any]], key: str = "estimated_s") -> dict[str, float]:
    """How near the estimates are."""
    estimated, seconds = (np.array([row[name] for row in rows]) for name in (key, "measured_s"))
    error = np.abs(estimated / seconds - 1)
    figures = {
        "n": len(rows),
        "within_10": float((error <= 0.1).mean()),
        "within_20": float((error <= 0.2).mean()),
        "median_error": float(np.median(error)),
        "bias": float(np.median(estimated / seconds) - 1),
        "rank_correlation": float(spearmanr(estimated, seconds)[0]),
    }
    if key == "estimated_s":
        width = [(row["high_90"] - row["low_90"]) / 2 / row["estimated_s"] for row in rows]
        figures |= {
            "coverage_90": float(np.mean([row["covered"] for row in rows])),
            "coverage_95": float(np.mean([row["covered_95"] for row in rows])),
            "coverage_90_with_own_sort": float(np.mean([row["covered_with_own_sort"] for row in rows])),
            "half_width_90": float(np.median(width)),
        }
    return figures


def alone(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """A straight line of log latency over the log of one count, for each family fitted on the others."""
    guessed = []
    for row in rows:
        others = [each for each in rows if each["family"] != row["family"] and each["type"] == row["type"]]
        x, y = (np.log([max(each[name], 1e-9) for each in others]) for name in (key, "measured_s"))
        slope, start = np.polyfit(x, y, 1)
        guessed.append({**row, "guess": float(np.exp(start + slope * np.log(max(row[key], 1))))})
    families = {f: accuracy([each for each in guessed if each["family"] == f], "guess") for f in FAMILIES}
    return {"all": accuracy(guessed, "guess"), "families": families}


def cost(networks: list[Made], cpu: int | None) -> dict[str, float]:
    """Seconds of an estimate, with and without the start of its process, over those of a full measurement."""
    some = networks[:: max(1, len(networks) // 6)][:6]
    cold, warm, full = [], [], []
    nominal_s = nominal_time(cpu)
    for each in some:
        start = time.perf_counter()
        estimate(each.path)
        cold.append(time.perf_counter() - start)
        start = time.perf_counter()
        estimate(each.path, optimiser=OPTIMISER)
        warm.append(time.perf_counter() - start)
    for each in some:
        start = time.perf_counter()
        protocol = make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu)
        measure_latency([Subject("model", each.path)], {"x": each.rows}, protocol, nominal_s=nominal_s)
        full.append(time.perf_counter() - start)
    ratios = [one / whole for one, whole in zip(cold, full, strict=True)]
    return {
        "estimate_s": statistics.median(cold),
        "estimate_running_process_s": statistics.median(warm),
        "measurement_s": statistics.median(full),
        "ratio": statistics.median(ratios),
        "largest_ratio": max(ratios),
    }


if __name__ == "__main__":
    try:
        main()
    finally:
        OPTIMISER.close()
