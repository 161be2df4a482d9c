"""What compression does to a decoder language model: perplexity with its interval, bytes and latency.

    python benchmarks/language_model.py [--budget 5m] [--train-s 180] [--work DIR] [--json FILE]

A decoder of a million parameters learns the letters of Shakespeare for three minutes of processor time: 90 % of the
text to learn, 5 % to choose, 5 % to judge, by position. Then `steelyard compress` runs as a user would run it, with all
steps and with quantization alone, and each weight-only step alone is applied to the exported file and measured.
"""

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import any_models
import numpy as np
import torch
from any_data import run
from environment import command_line, write_result
from safetensors.torch import load_file, save_file
from torch.nn import functional

from steelyard.engine.lane import default_workers, lanes, make_protocol, nominal_time
from steelyard.measure.latency import measure_latency
from steelyard.measure.process import Subject
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.select.proof import prove
from steelyard.select.quality import quality_interval
from steelyard.steps.quantize import Quantize
from steelyard.tasks.metrics import METRICS

HERE = Path(__file__).resolve().parent
WINDOW = 64
SHARES = {"train": (0.0, 0.9), "valid": (0.9, 0.95), "test": (0.95, 1.0)}
STEPS = {
    "8 bits": Quantize(mode="weights", packed=False),
    "8 bits, packed kernels": Quantize(mode="weights"),
    "4 bits, blocks of 32": Quantize(mode="weights", bits=4, packed=False),
    "4 bits, blocks of 32, packed kernels": Quantize(mode="weights", bits=4),
}
"""The weight-only steps, by what readers call them."""
MAX_DROP, CONFIDENCE = 0.02, 0.95


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--train-s", type=float, default=180.0)
    parser.add_argument("--folder", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=HERE.parent / "steelyard-out" / "language-model")
    parser.add_argument("--latency-s", type=float, default=120.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    if asked.json is not None and asked.json.is_file():
        figures = json.loads(asked.json.read_text(encoding="utf-8"))["figures"]
    arrays = windows(asked.folder / "lm_tinyshakespeare.txt.gz")
    data, weights = asked.work / "lm.npz", asked.work / "weights.safetensors"
    np.savez(data, **arrays)
    module = any_models.decoder()
    if not weights.exists():
        figures["training"] = train(module, arrays, asked.train_s)
        save_file(module.state_dict(), weights)
    module.load_state_dict(load_file(weights))
    figures["model"] = {
        "parameters": sum(each.numel() for each in module.parameters()),
        "window": WINDOW,
        "tokens": {split: int(arrays[f"y_{split}"].size) for split in SHARES},
    }
    if "alone" not in figures:
        figures["alone"] = alone(module.eval(), arrays, asked.work, asked.latency_s)
        write_result(asked.json, command_line(), figures)
    words = [f"{HERE / 'any_models.py'}:decoder", "--weights", str(weights), "--data", str(data), "--max-drop", "2%"]
    for name, more in (("all steps", []), ("quantize alone", ["--steps", "quantize", "--minimize", "size"])):
        known = figures.setdefault("runs", {})
        if known.get(name, {}).get("status") is None:
            known[name] = run([*words, *more], asked.budget, asked.work / f"out-{name.split()[0]}")
            write_result(asked.json, command_line(), figures)


def windows(path: Path) -> dict[str, np.ndarray]:
    """Windows of symbols and what follows each, by split; windows don't overlap."""
    text = np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8)
    _, symbols = np.unique(text, return_inverse=True)
    found = {}
    for split, (low, high) in SHARES.items():
        part = symbols[int(low * len(symbols)) : int(high * len(symbols))].astype(np.int64)
        count = (len(part) - 1) // WINDOW
        found[f"x_{split}"] = part[: count * WINDOW].reshape(count, WINDOW)
        found[f"y_{split}"] = part[1 : count * WINDOW + 1].reshape(count, WINDOW)
    return found


def train(module: torch.nn.Module, arrays: dict[str, np.ndarray], limit_s: float) -> dict[str, Any]:
    """Learn for some seconds of processor time, windows beginning anywhere."""
    stream = torch.from_numpy(np.append(arrays["x_train"].reshape(-1), arrays["y_train"][-1, -1]))
    adam = torch.optim.AdamW(module.parameters(), 2e-3, weight_decay=0.05)
    generator, reach = torch.Generator().manual_seed(0), torch.arange(WINDOW + 1)
    began, step = time.process_time(), 0
    module.train()
    while (share := (time.process_time() - began) / limit_s) < 1:
        # The rate warms up over a twentieth of the time and then falls along half a cosine.
        rate = 2e-3 * min(1.0, share / 0.05) * (0.5 + 0.5 * np.cos(np.pi * share))
        for group in adam.param_groups:
            group["lr"] = max(rate, 1e-5)
        starts = torch.randint(len(stream) - WINDOW, (32, 1), generator=generator)
        tokens = stream[starts + reach]
        lost = functional.cross_entropy(module(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        adam.zero_grad()
        lost.backward()
        adam.step()
        step += 1
    return {
        "steps": step,
        "processor_s": round(time.process_time() - began, 1),
        "last_loss_nats": round(lost.item(), 3),
    }


def alone(module: torch.nn.Module, arrays: dict[str, np.ndarray], work: Path, latency_s: float) -> dict[str, Any]:
    """The file as it is and each weight-only step on it."""
    path = work / "float.onnx"
    export(module, {"x": arrays["x_train"][:2]}, path)
    files = {"float32": path}
    for name, step in STEPS.items():
        files[name] = work / f"{'-'.join(name.replace(',', '').split())}.onnx"
        step.apply(path, files[name], iter([arrays["x_train"][:64]]))
    metric, x, y = METRICS["perplexity"], arrays["x_test"], arrays["y_test"]
    outputs = {name: outputs_of(file, x) for name, file in files.items()}
    costs = latencies(files, x, latency_s)
    found = {}
    for name, file in files.items():
        proof = prove(
            metric, outputs["float32"], outputs[name], y, epsilon=MAX_DROP, relative=True, confidence=CONFIDENCE
        )
        found[name] = {
            "perplexity": quality_interval(metric, outputs[name], y, seed=0).to_json(),
            "rise": {"value": proof.value, "high": proof.high, "n": proof.n, "why": proof.why},
            "size_bytes": file.stat().st_size,
            **costs[name],
        }
    return found


def outputs_of(path: Path, x: np.ndarray) -> np.ndarray:
    session = RUNTIME.load(path)
    return np.concatenate([session.run(x[start : start + 64]) for start in range(0, len(x), 64)])


def latencies(files: dict[str, Path], x: np.ndarray, limit_s: float) -> dict[str, dict[str, Any]]:
    """Latency of a window at batch 1 on one thread, and how many times faster than float it is, by paired rounds."""
    cpu, _ = lanes(default_workers())
    subjects = [Subject(name, path) for name, path in files.items()]
    protocol = make_protocol(RUNTIME, batch=1, threads=1, cpu=cpu)
    # A busy machine may need more time than this before anything can be said: then it fails here, by name.
    # By name, tokens stay whole numbers.
    found = measure_latency(subjects, {"x": x[:64]}, protocol, nominal_s=nominal_time(cpu), seed=0, limit_s=limit_s)
    unmeasured = [name for name in files if name not in found.metrics]
    if unmeasured:
        raise SystemExit(f"no latency of {', '.join(unmeasured)} within {limit_s:g} s; give a larger --latency-s.")
    return {
        name: {
            "latency_p50_s": found.metrics[name]["latency_p50_s"].to_json(),
            "times_faster": found.ratio("float32", name).quantity.to_json() if name != "float32" else None,
        }
        for name in files
    }


if __name__ == "__main__":
    main()
