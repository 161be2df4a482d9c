"""Families over sequences on real series, texts and sound: quality of reference and chosen model, cost, time.

    python benchmarks/sequences.py [--only NAME …] [--budget 60s] [--work DIR] [--json FILE]

For each data set `steelyard find` runs in a process of its own, as a user would. What is finished is kept in --json and
not repeated. `known` is the test accuracy of a plain model on the same splits (bits a character: at most), `within`
whether the reference's interval on the test rows reaches it. Times are of a machine that does other work too.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environment import command_line, write_result

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Set:
    """A data set, what a user would type, and the quality that a plain model has on it."""

    name: str
    kind: str
    file: str
    model: str
    known: float
    options: tuple[str, ...] = ()


SETS = (
    Set("electric_devices", "series-classification", "ts_electric_devices.npz", "cnn1d", 0.7046),
    Set("japanese_vowels", "series-classification", "ts_japanese_vowels.npz", "cnn1d,gru", 0.98),
    Set("fsdd", "audio-classification", "fsdd_8khz.zip", "cnn1d", 0.95),
    Set("sst2", "text-classification", "text_sst2_sentences.jsonl.gz", "linear", 0.8138),
    Set("trec6", "text-classification", "text_trec6.jsonl.gz", "linear,cnn1d", 0.868),
    Set("banking77", "text-classification", "text_banking77.jsonl.gz", "linear", 0.8935),
    Set("tinyshakespeare", "language-modelling", "lm_tinyshakespeare.txt.gz", "decoder", 2.8, ("--max-drop", "3%")),
)
"""The known figures of classification are those of tf-idf with a linear model, or of a small network."""
FIGURES = ("latency_p50_s", "size_bytes", "parameters", "train_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--budget", default="120s")
    parser.add_argument("--folder", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=HERE.parent / "steelyard-out" / "sequences")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures: dict[str, Any] = {}
    if asked.json is not None and asked.json.is_file():
        figures = json.loads(asked.json.read_text(encoding="utf-8"))["figures"]
    for each in SETS:
        if (asked.only and each.name not in asked.only) or each.name in figures:
            continue
        figures[each.name] = run(each, asked.folder / each.file, asked.budget, asked.work / each.name)
        write_result(asked.json, command_line(), figures)


def run(each: Set, data: Path, budget: str, out: Path) -> dict[str, Any]:
    """What one search answers."""
    words = ["find", each.kind, "--data", str(data), "--model", each.model, "--budget", budget, *each.options]
    began = time.perf_counter()
    code = "import sys; from steelyard.cli.main import run; sys.exit(run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--out", str(out), "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        return {"error": done.stderr.strip().splitlines()[-1:] or done.stdout[-300:]}
    answer = json.loads(done.stdout)
    points = {name: point_of(answer[name]) for name in ("reference", "chosen")}
    quality = points["reference"].get("accuracy_test") or points["reference"]["perplexity_test"]
    is_text = each.kind == "language-modelling"
    reached = math.log2(quality[1]) <= each.known if is_text else quality[2] >= each.known
    return {
        "asked": {"model": each.model, "budget": budget, "options": list(each.options)},
        "status": answer["status"],
        "known": each.known,
        "within": reached,
        **({"bits_per_character": math.log2(quality[0])} if is_text else {}),
        **points,
        "trials": answer["trials"],
        "wall_s": round(time.perf_counter() - began, 1),
    }


def point_of(point: dict[str, Any]) -> dict[str, Any]:
    """Scale, quality on test with its interval, costs."""
    found: dict[str, Any] = {"family": point.get("family"), "scale": point["scale"], "steps": point["steps"]}
    for name, figure in point["metrics"].items():
        if name.endswith("_test") or name in ("accuracy", "perplexity", *FIGURES):
            found[name] = [figure["value"], figure["low"], figure["high"]]
    return found


if __name__ == "__main__":
    main()
