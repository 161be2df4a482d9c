"""A session that first tells the time of each kernel, and then runs as it ships."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.task import Array
from steelyard.runtimes.onnxruntime.optimise import LARGE_BYTES, WEIGHTS

_ENDING = "_kernel_time"
_US = 1e-6
_HALF = 0.5
"""The profiler cuts times to whole microseconds: half of one is lost on average."""


@dataclass(frozen=True, slots=True)
class ProfiledSession:
    """A model that is loaded with the profiler on.

    Attributes:
        run: one inference, of arrays by input name.
        stop: ends the profile; seconds of each node by its name. Later runs are not slowed by the profiler.
    """

    run: Callable[[Mapping[str, Array]], Any]
    stop: Callable[[], dict[str, float]]


def open_profiled(model: bytes, optimised: Path) -> ProfiledSession:
    """Load a model of ours as `open_session` does, with the profiler on, and write its optimised graph.

    Args:
        model: the file's bytes.
        optimised: where the optimised graph goes; the profile is written beside it for a moment.
    """
    import onnxruntime  # noqa: PLC0415  heavy, and `import steelyard` must not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(optimised.with_name("profile"))
    options.optimized_model_filepath = str(optimised)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(LARGE_BYTES)
    )
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def run(arrays: Mapping[str, Array]) -> Any:
        return session.run(names, arrays)

    def stop() -> dict[str, float]:
        path = Path(session.end_profiling())
        try:
            return kernel_seconds(json.loads(path.read_text(encoding="utf-8")))
        finally:
            path.unlink()

    return ProfiledSession(run, stop)


def kernel_seconds(events: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of each node in a profile: the mean of the middle half of its later runs; the first third warms up."""
    durations: dict[str, list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_ENDING):
            durations.setdefault(name.removesuffix(_ENDING), []).append(float(event["dur"]))
    found = {}
    for name, each in durations.items():
        kept = np.sort(each[len(each) // 3 :])
        cut = len(kept) // 4
        found[name] = (float(kept[cut : len(kept) - cut].mean()) + _HALF) * _US
    return found
