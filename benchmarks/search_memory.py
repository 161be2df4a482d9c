"""Peak memory of training shared weights, as a share of that of training the largest model alone.

Each training runs in a process of its own, on the same rows, with the same rows a step and one thread, for the same
seconds. The peak is the process's largest resident size; what it is before training (libraries, data) is told too.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from environment import command_line, write_result
from search_spaces import QUESTIONS, SHARED, default_folder, task_of

LIMIT_S = 6.0
REPEATS = 2


def peak_bytes() -> int:
    """The largest resident size of this process so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(name: str, mode: str, shared: Path) -> dict[str, int]:
    """Train in this process; peaks before and after."""
    import torch  # noqa: PLC0415  the parent has no need of it

    from steelyard.builtin import registry  # noqa: PLC0415
    from steelyard.elastic.sandwich import Course, train_supernet  # noqa: PLC0415
    from steelyard.elastic.supernet import Supernet  # noqa: PLC0415
    from steelyard.engine.elastic import sharing_scales  # noqa: PLC0415

    torch.set_num_threads(1)
    question, task = QUESTIONS[name], task_of(name, shared, default_folder())
    family = registry.get("family", question.family)
    scales = sharing_scales(question.space.families[0], 0)
    # Alone, the largest is the only member: the same loop, the same loss.
    net = Supernet(lambda scale: family.build(scale, task, 0), scales if mode == "shared" else scales[:1])
    before = peak_bytes()
    train_supernet(net, task.train, task.output, Course(1000, 64, LIMIT_S, 0))
    return {"before": before, "peak": peak_bytes()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("TASK", "MODE"))
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(*asked.one, asked.shared)))
        return
    figures: dict[str, Any] = {}
    for name in QUESTIONS:
        peaks: dict[str, list[dict[str, int]]] = {"alone": [], "shared": []}
        for _ in range(REPEATS):
            for mode, found in peaks.items():
                command = [sys.executable, __file__, "--one", name, mode, "--shared", str(asked.shared)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found.append(json.loads(done.stdout))
        ratios = [one["peak"] / other["peak"] for one, other in zip(peaks["shared"], peaks["alone"], strict=True)]
        figures[name] = {**peaks, "ratios": [round(each, 3) for each in ratios]}
    write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
