"""Mutated files of every other format: each ends in a model, in rows or in one sentence, and never harms the caller.

Inputs (.npz) are read and programs (.pt2) refused in this process, by the ways that `steelyard profile` takes; what
runtimes load (.xml, .tflite, .pte) is loaded and run by measuring processes, which may die of it.
"""

import argparse
import random
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from environment import command_line, write_result
from torch import nn

from steelyard.builtin import registry
from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.port import Port, Signature
from steelyard.core.protocols import Runtime
from steelyard.engine.feeding import from_file
from steelyard.engine.lane import make_protocol
from steelyard.engine.sources import open_source
from steelyard.measure.outputs import outputs_of
from steelyard.measure.process import ChildError, Subject

SAMPLES = Path(__file__).parent.parent / "tests" / "runtimes" / "samples"
ROWS = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
DIED = ("killed by signal", "ended with status", "did not finish")
"""What a sentence says of a process that died or hung, rather than refused."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="of each format that this process reads")
    parser.add_argument("--loaded", type=int, default=40, help="of each format that measuring processes load")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    began, dice = time.monotonic(), random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = {
            ".npz": read_inputs(dice, Path(folder), asked.files),
            ".pt2": refuse_programs(dice, Path(folder), asked.files),
        }
        for name, source in model_files(Path(folder)).items():
            outcomes[source.suffix] = load_models(dice, name, source, asked.loaded)
    # Whatever else is raised, or kills this process, ends the command: getting here is the proof.
    figures: dict[str, Any] = {"outcomes": outcomes, "crashed_in_caller": 0, "wall_s": time.monotonic() - began}
    write_result(asked.json, command_line(), figures)


def read_inputs(dice: random.Random, folder: Path, files: int) -> dict[str, int]:
    """Files of input rows, as `--data` reads them."""
    path, outcomes = folder / "mutant.npz", Counter(accepted=0, refused=0)
    np.savez(path, x=ROWS)
    plain = path.read_bytes()
    np.savez_compressed(path, x=ROWS, x_valid=ROWS, y=np.arange(2))
    packed = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        array = archive.read("x.npy")
    signature = Signature((Port("x", "float32", (None, 1, 8, 8)),))
    for _ in range(files):
        if dice.random() < 0.5:
            path.write_bytes(mutated(dice, dice.choice([plain, packed])))
        else:
            # The archive's checksum would hide what is wrong with the array in it.
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x.npy", mutated(dice, array))
        try:
            from_file(path, signature, batch=1)
            outcomes["accepted"] += 1
        except SteelyardError as error:
            outcomes["refused"] += is_sentence(error)
    return dict(outcomes)


def refuse_programs(dice: random.Random, folder: Path, files: int) -> dict[str, int]:
    """Files that can run code when opened, without the user's word: refused unopened, whatever is in them."""
    path, outcomes = folder / "mutant.pt2", Counter(accepted=0, refused=0)
    for _ in range(files):
        path.write_bytes(dice.randbytes(dice.randint(0, 200)))
        try:
            open_source(str(path), registry)
            outcomes["accepted"] += 1
        except InputError as error:
            outcomes["refused"] += is_sentence(error)
    return dict(outcomes)


def model_files(folder: Path) -> dict[str, Path]:
    """A model's file by the runtime that loads it."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    files = {"litert": SAMPLES / "cnn.tflite"}
    for name in ("openvino", "executorch"):
        runtime: Runtime = registry.get("runtime", name)
        path = folder / f"model{runtime.suffix}"
        registry.get("exporter", name).export(module, ROWS, path)
        files[name] = path
    return files


def load_models(dice: random.Random, name: str, source: Path, files: int) -> dict[str, int]:
    """Mutants of a model's file, opened as `profile` opens them and run in measuring processes."""
    runtime: Runtime = registry.get("runtime", name)
    outcomes = Counter(accepted=0, refused=0, died_in_child=0)
    rows = np.load(SAMPLES / "cnn.npz")["x"][:2].astype(np.float32) if name == "litert" else ROWS
    protocol = make_protocol(runtime, batch=len(rows), threads=1, cpu=None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mutant{source.suffix}"
        for companion in source.parent.glob(f"{source.stem}.bin"):
            (Path(folder) / "mutant.bin").write_bytes(companion.read_bytes())
        for _ in range(files):
            path.write_bytes(mutated(dice, source.read_bytes()))
            try:
                open_source(str(path), registry)
                outputs_of(Subject("mutant", path), rows, protocol, calls=1)
                outcomes["accepted"] += 1
            except ChildError as error:
                is_sentence(error)
                outcomes["died_in_child" if any(part in error.message for part in DIED) else "refused"] += 1
            except SteelyardError as error:
                outcomes["refused"] += is_sentence(error)
    return dict(outcomes)


def mutated(dice: random.Random, data: bytes) -> bytes:
    """The bytes, changed in one to four places: overwritten, cut, repeated or moved."""
    for _ in range(dice.randint(1, 4)):
        where, length = dice.randrange(len(data)), dice.randint(1, 32)
        # A cut file is refused at once: one change in ten is enough.
        kind = dice.choice((0, 0, 0, 1, 2, 2, 2, 3, 3, 3))
        if kind == 0:
            data = data[:where] + dice.randbytes(length) + data[where + length :]
        elif kind == 1:
            data = data[: max(1, where)]
        elif kind == 2:
            data = data[:where] + data[where : where + length] * dice.randint(2, 50) + data[where:]
        else:
            other = dice.randrange(len(data))
            data = data[:where] + data[other : other + 200] + data[where:]
    return data


def is_sentence(error: SteelyardError) -> bool:
    """True; ends the command where the error is more than one line."""
    if "\n" in error.message or not error.message:
        raise SystemExit(f"no sentence: {error.message!r}") from error
    return True


if __name__ == "__main__":
    main()
