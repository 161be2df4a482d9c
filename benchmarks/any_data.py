"""Does one command compress a model of any kind of data? Ordinary models, ordinary files, nothing said twice.

    python benchmarks/any_data.py [--only NAME …] [--budget 60s] [--work DIR] [--json FILE]

For each data set a model of any_models.py is trained, seconds to a minute, and then `steelyard compress` runs in a
process of its own, as a user would: once on the module with its weights and the data's own file, once on the exported
ONNX file without labels. What is finished is kept in --json and not repeated. Times are of a machine that does other
work too, so ratios are what counts.
"""

import argparse
import io
import json
import subprocess
import sys
import time
import wave
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import any_models
import numpy as np
import torch
from environment import command_line, write_result
from safetensors.torch import load_file, save_file
from torch.nn import functional

from steelyard.runtimes.onnxruntime.export import export
from steelyard.tasks.given import read_arrays_of

HERE = Path(__file__).resolve().parent
SAMPLES = 5120
"""Sound samples that a row of spoken digits holds: 0.64 s at 8 kHz."""


@dataclass(frozen=True)
class Set:
    """A data set, and what a user would say about it on the command line.

    `name` is that of the model too; `file` stands in the folder of data, or is written by `prepare`.
    """

    name: str
    file: str
    max_drop: str
    target: str | None = None
    preprocess: str | None = None
    task: str | None = None
    epochs: int = 6
    rate: float = 2e-3
    prepare: Callable[[Path, Path], None] | None = None
    inputs: tuple[str, ...] = field(default=("x",))

    def data(self, folder: Path, work: Path) -> Path:
        """The file that --data names."""
        path = (folder if self.prepare is None else work) / self.file
        if self.prepare is not None and not path.exists():
            self.prepare(folder, path)
        return path


def spoken_digits(folder: Path, path: Path) -> None:
    """Sounds as arrays of one length, which is all that .npz needs."""
    arrays: dict[str, list[Any]] = {}
    with zipfile.ZipFile(folder / "fsdd_8khz.zip") as archive:
        for name in sorted(each for each in archive.namelist() if each.endswith(".wav")):
            split, digit, _ = name.split("/")[-3:]
            with wave.open(io.BytesIO(archive.read(name))) as sound:
                samples = np.frombuffer(sound.readframes(SAMPLES), dtype="<i2")
            arrays.setdefault(f"x_{split}", []).append(np.pad(samples, (0, SAMPLES - len(samples))))
            arrays.setdefault(f"y_{split}", []).append(int(digit))
    np.savez(path, **{name: np.array(each, dtype=np.int16 if name[0] == "x" else int) for name, each in arrays.items()})


SETS = (
    Set("sst2", "text_sst2_sentences.jsonl.gz", "0.02", "label", "word_ids", epochs=3, inputs=("tokens",)),
    Set("trec6", "text_trec6.jsonl.gz", "0.05", "label", "word_ids", epochs=4, inputs=("tokens",)),
    Set("japanese_vowels", "ts_japanese_vowels.npz", "0.05", epochs=30),
    Set("adult_census", "tab_adult_census.parquet", "0.01", "income", "adult_codes", inputs=("numbers", "codes")),
    Set("california_housing", "tab_california_housing.parquet", "5%", "MedHouseVal", epochs=15),
    Set("wine_quality", "tab_wine_quality.parquet", "5%", "quality", "wine_columns", "tabular-regression", epochs=15),
    Set("movielens", "rec_movielens_latest_small_ratings.parquet", "2%", "rating", epochs=2,
        inputs=("user_id", "movie_id")),
    Set("cifar10_12k", "cifar10_12k.zip", "0.03", epochs=6),
    Set("fsdd", "fsdd.npz", "0.05", epochs=8, prepare=spoken_digits),
)  # fmt: skip
"""Every file of the folder that the benchmark of speed does not use already."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--folder", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=HERE.parent / "steelyard-out" / "any-data")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"runs": {}}
    if asked.json is not None and asked.json.is_file():
        figures = json.loads(asked.json.read_text(encoding="utf-8"))["figures"]
    for each in SETS:
        if asked.only and each.name not in asked.only:
            continue
        work = asked.work / each.name
        work.mkdir(parents=True, exist_ok=True)
        for kind, words in commands(each, asked.folder, work, figures):
            if figures["runs"].get(f"{each.name} {kind}", {}).get("status") is None:
                figures["runs"][f"{each.name} {kind}"] = run(words, asked.budget, work / f"out-{kind}")
                write_result(asked.json, command_line(), figures)


def commands(each: Set, folder: Path, work: Path, figures: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """What a user would type, with and without training code."""
    data, weights = each.data(folder, work), work / "weights.safetensors"
    splits = split_rows(each, data)
    module = getattr(any_models, each.name)()
    if not weights.exists():
        began = time.perf_counter()
        fit(module, splits["train"], each)
        save_file(module.state_dict(), weights)
        figures.setdefault("training_s", {})[each.name] = round(time.perf_counter() - began, 1)
    module.load_state_dict(load_file(weights))
    known = [f"{HERE / 'any_models.py'}:{each.name}", "--weights", str(weights), "--data", str(data)]
    for option, value in (("--target", each.target), ("--task", each.task)):
        known += [option, value] if value else []
    if each.preprocess:
        known += ["--preprocess", f"{HERE / 'any_models.py'}:{each.preprocess}"]
    yield "module", [*known, "--max-drop", each.max_drop]
    path, rows = work / f"{each.name}.onnx", work / "unlabelled.npz"
    feed = {name: np.concatenate([splits[split][0][name] for split in ("valid", "test")]) for name in each.inputs}
    export(module, {name: array[:2] for name, array in feed.items()}, path)
    np.savez(rows, **feed)
    # Without labels the permitted drop is of agreement, or of outputs' error where they decide nothing.
    yield "onnx", [str(path), "--data", str(rows), "--max-drop", "0.02"]


def split_rows(each: Set, data: Path) -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
    """Inputs by name as the model takes them and targets, by split, read as `steelyard compress` reads them."""
    arrays = read_arrays_of(data, target=each.target, group=None, split_by=None, trust=False)
    found = {}
    for split in ("train", "valid", "test"):
        if "x" in arrays:
            index = np.flatnonzero(np.asarray(arrays["split"]) == split)
            x, y = arrays["x"], np.asarray(arrays["y"])[index]
            x = {name: np.asarray(column)[index] for name, column in x.items()} if isinstance(x, Mapping) else x[index]
        else:
            x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
        found[split] = typed(x, each), y
    return found


def typed(x: Any, each: Set) -> dict[str, np.ndarray]:
    """Inputs by name in the types that the model takes."""
    if each.preprocess:
        x = getattr(any_models, each.preprocess)(x)
    if isinstance(x, Mapping) and each.inputs != ("x",):
        return {name: np.asarray(x[name]) if x[name].dtype == np.float32 else np.asarray(x[name]).astype(np.int64)
                for name in each.inputs}  # fmt: skip
    if isinstance(x, Mapping):
        return {"x": np.stack([np.asarray(column).astype(np.float32) for column in x.values()], axis=1)}
    images = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
    return {"x": np.ascontiguousarray(images, dtype=np.float32)}


def fit(module: torch.nn.Module, part: tuple[dict[str, np.ndarray], np.ndarray], each: Set) -> None:
    """Train by Adam with one cycle of the rate; plain, as an ordinary user would."""
    x, raw = part
    tensors = [torch.from_numpy(array.copy()) for array in x.values()]
    decides = module.eval()(*(tensor[:2] for tensor in tensors)).shape[1] > 1
    y = torch.from_numpy(np.unique(raw, return_inverse=True)[1]) if decides else torch.from_numpy(raw.astype("float32"))
    count, size = len(y), 64
    steps = each.epochs * -(-count // size)
    adam = torch.optim.AdamW(module.parameters(), each.rate, weight_decay=1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, each.rate, total_steps=steps)
    module.train()
    for _ in range(each.epochs):
        for index in torch.randperm(count).split(size):
            if len(index) < 2:
                cycle.step()
                continue
            outputs = module(*(tensor[index] for tensor in tensors))
            lost = (
                functional.cross_entropy(outputs, y[index]) if decides else functional.mse_loss(outputs[:, 0], y[index])
            )
            adam.zero_grad()
            lost.backward()
            adam.step()
            cycle.step()
    module.eval()


def run(words: list[str], budget: str, out: Path) -> dict[str, Any]:
    """One command to its end: what it answered, and every word that a user should not have to read."""
    full = ["compress", *words, "--budget", budget, "--out", str(out), "--json"]
    # halves.py asks again for the plan of a study.
    question = {"out": str(out), "words": full[:-1]}
    out.with_suffix(".question.json").write_text(json.dumps(question), encoding="utf-8")
    began = time.perf_counter()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("steelyard")), *full],
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
    )
    wall_s = time.perf_counter() - began
    # Where files lie is no part of the command that others can give.
    shown = " ".join(Path(word).name if "/" in word else word for word in full)
    found: dict[str, Any] = {"command": f"steelyard {shown}", "exit": done.returncode, "wall_s": round(wall_s, 1)}
    found["traceback"] = "Traceback" in done.stderr
    try:
        plain = json.loads(done.stdout)
    except json.JSONDecodeError:
        return found | {"status": None, "stderr": done.stderr[-3000:]}
    if "error" in plain:
        return found | {"status": "refused", "message": plain["error"]["message"]}
    return found | summary(plain)


def summary(plain: dict[str, Any]) -> dict[str, Any]:
    """The answer in a few figures."""
    chosen, reference, drop = plain["chosen"], plain["reference"], plain["drop"]

    def ratio(name: str) -> float | None:
        pair = [each["metrics"].get(name, {}).get("value") for each in (reference, chosen)]
        return round(pair[0] / pair[1], 2) if all(pair) else None

    metric = drop["metric"]
    return {
        "status": plain["status"],
        "metric": metric,
        "reference": reference["metrics"].get(f"{metric}_test", reference["metrics"][metric]),
        "drop": {name: drop[name] for name in ("value", "high", "epsilon", "relative", "confidence", "method", "n")},
        "times_faster": ratio("latency_p50_s"),
        "times_smaller": ratio("size_bytes"),
        "steps": chosen["steps"],
        "trials": plain["trials"],
        "failures": [f"{each['stage']}: {each['message']}" for each in plain["failures"]],
    }


if __name__ == "__main__":
    main()
