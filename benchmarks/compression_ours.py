"""Our side of the benchmark of compression: `steelyard compress` on each task, as a user would run it.

The data and the references are those of benchmarks/compression_train.py; each task has four minutes, its bundle is kept
in the folder, and a task whose bundle is there is skipped. Nothing is set by task but the permitted drop.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from compression_data import DATA, add_folders, data_file
from compression_models import MODELS
from compression_rivals import EPSILONS
from compression_train import reference_files

BUDGET = "4m"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(DATA), action="append")
    add_folders(parser)
    asked = parser.parse_args()
    for task in asked.task or DATA:
        compress(task, asked.folder, asked.shared)


def bundle(task: str, folder: Path) -> Path:
    """Where ours is."""
    return folder / f"ours-{task}"


def compress(task: str, folder: Path, shared: Path) -> None:
    """Run the command, unless its answer is there."""
    if (bundle(task, folder) / "steelyard.json").is_file():
        return
    command = [
        *(sys.executable, "-m", "steelyard.cli.main", "compress"),
        f"{Path(__file__).with_name('compression_models.py')}:{MODELS[task].__name__}",
        *("--weights", str(reference_files(task, folder)[0]), "--data", str(data_file(task, folder, shared))),
        *("--max-drop", str(EPSILONS[task]), "--budget", BUDGET, "--out", str(bundle(task, folder))),
    ]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
