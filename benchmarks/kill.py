"""Ten `kill -9` at random moments, each resumed: no finished trial may be lost or repeated, none may differ.

A study is run to its end without interruption; then for each strategy the same study is killed again and again until
it ends, and the two are compared by candidate and quality.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from environment import write_result

KILLS = 10
QUESTION = ["find", "digits", "--model", "mlp", "--knob", "width=8,16,32", "--knob", "depth=1,2", "--trials", "9"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--strategies", default="grid,random")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for strategy in asked.strategies.split(","):
            figures[strategy] = compare(Path(folder), strategy, asked.kills)
    write_result(asked.json, "python benchmarks/kill.py", figures)
    return 0 if all(each["same"] and not each["lost"] and not each["repeated"] for each in figures.values()) else 1


def compare(folder: Path, strategy: str, kills: int) -> dict[str, Any]:
    whole = folder / f"{strategy}-whole"
    start(whole, strategy).wait()
    pieces = folder / f"{strategy}-pieces"
    chance = random.Random(strategy)
    seen: dict[int, str] = {}
    lost = repeated = done = moments = 0
    waits = []
    while done < kills:
        process = start(pieces, strategy)
        wait_s = chance.uniform(0.5, 12.0)
        waits.append(round(wait_s, 2))
        try:
            process.wait(timeout=wait_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
        else:
            # It ended before the blow: the answer itself is killed from here on.
            moments += 1
            if moments > kills:
                break
        now = finished(pieces)
        lost += sum(number not in now or now[number] != key for number, key in seen.items())
        seen = now
    start(pieces, strategy).wait()
    now = finished(pieces)
    lost += sum(number not in now or now[number] != key for number, key in seen.items())
    repeated += len(now) - len(set(now.values()))
    return {
        "kills": done,
        "waits_s": waits,
        "trials": len(now),
        "lost": lost,
        "repeated": repeated,
        "same": results(whole) == results(pieces),
        "stray_processes": strays(pieces),
    }


def start(out: Path, strategy: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "steelyard.cli.main", *QUESTION, "--strategy", strategy, "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def finished(out: Path) -> dict[int, str]:
    """Key of every finished trial by its number in the storage."""
    found: dict[int, str] = {}
    with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{out / 'study.db'}?mode=ro", uri=True) as db:
        rows = db.execute(
            "SELECT trials.number, value_json FROM trial_user_attributes JOIN trials USING (trial_id) WHERE key='key'"
        )
        found = {number: json.loads(value) for number, value in rows}
    return found


def results(out: Path) -> dict[str, float]:
    """Validation accuracy of every confirmed point by key."""
    evidence = json.loads((out / "steelyard.json").read_text(encoding="utf-8"))["evidence"]
    return {point["key"]: point["metrics"]["accuracy"]["value"] for point in evidence["points"]}


def strays(out: Path) -> int:
    """Processes that still work on the study."""
    time.sleep(3)
    count = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                count += str(out).encode() in (entry / "cmdline").read_bytes()
    return count


if __name__ == "__main__":
    sys.exit(main())
