"""The engine's own cost: wall time in which nothing was trained, exported, measured or certified.

Two runs of one question with few and many trials; the difference gives the cost of a trial, the rest that of a run.
Starting the command, its imports, the worker's start and the storage count as the engine's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from environment import write_result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=4)
    parser.add_argument("--many", type=int, default=16)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few, few_trials = run(Path(folder) / "few", asked.few)
        many, many_trials = run(Path(folder) / "many", asked.many)
    a_trial = (many - few) / (many_trials - few_trials)
    figures = {
        "few": {"trials": few_trials, "own_s": few},
        "many": {"trials": many_trials, "own_s": many},
        "a_trial_s": a_trial,
        "a_run_s": few - a_trial * few_trials,
    }
    write_result(asked.json, "python benchmarks/overhead.py", figures)


def run(out: Path, trials: int) -> tuple[float, int]:
    """Seconds of the engine's own in one run, from the outside of the process, and its trials."""
    command = [
        sys.executable,
        "-m",
        "steelyard.cli.main",
        "find",
        "digits",
        "--strategy",
        "grid",
        "--max-drop",
        "0.3",
        "--json",
    ]
    start = time.perf_counter()
    done = subprocess.run([*command, "--trials", str(trials), "--out", str(out)], capture_output=True, check=True)
    wall_s = time.perf_counter() - start
    outcome = json.loads(done.stdout)
    # What happens before the study opens and after the answer is written is not in the study's own wall time.
    return outcome["spent"]["other_s"] + wall_s - outcome["wall_s"], outcome["trials"]["measured"]


if __name__ == "__main__":
    main()
