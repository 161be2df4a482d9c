"""The graph that ONNX Runtime really runs: optimised, fused, laid out for this processor; written without running it.

A stranger's file may crash the runtime that reads it. So a process of its own does it,
`python -m steelyard.runtimes.onnxruntime.optimise`: a JSON line {"source", "target"} on standard input is answered by
a JSON line on standard output.
"""

import json
import os
import resource
import sys
from pathlib import Path

from steelyard.core.errors import RuntimeFailureError

WEIGHTS = "weights.bin"
"""File beside the optimised one that holds its larger tensors, so that the graph itself stays small to read."""

LARGE_BYTES = 1024
"""Tensors from this size on lie in `WEIGHTS`; shapes and axes stay in the graph."""


def write_optimised(source: Path, target: Path) -> None:
    """Write the optimised graph of a model as `open_session` would run it, without laying out its weights.

    Larger weights go into `WEIGHTS` in the folder of `target`.

    Args:
        source: the model.
        target: where the optimised graph goes; its folder must exist.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    import onnxruntime  # noqa: PLC0415  heavy, and `import steelyard` must not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = str(target)
    for name, value in (
        ("session.optimized_model_external_initializers_file_name", WEIGHTS),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(LARGE_BYTES)),
        ("session.disable_prepacking", "1"),
    ):
        options.add_session_config_entry(name, value)
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RuntimeFailureError(f"ONNX Runtime can't load {source.name}: {text}") from error


def main() -> int:
    """Answer requests until standard input ends; 0 then."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever a runtime prints must not look like an answer.
    os.dup2(2, 1)
    limit = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            write_optimised(Path(request["source"]), Path(request["target"]))
            answer: dict[str, object] = {"ok": True}
        except RuntimeFailureError as error:
            answer = {"ok": False, "error": error.message}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
