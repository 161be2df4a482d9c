"""The graph that ONNX Runtime really runs: optimised, fused, laid out for this processor; written without running it."""

from pathlib import Path

from steelyard.core.errors import RuntimeFailureError

WEIGHTS = "weights.bin"
"""File beside the optimised one that holds its larger tensors, so that the graph itself stays small to read."""

_LARGE_BYTES = 1024


def write_optimised(source: Path, target: Path, *, prepacks: bool = False) -> None:
    """Write the optimised graph of a model as `open_session` would run it.

    Larger weights go into `WEIGHTS` in the folder of `target`.

    Args:
        source: the model.
        target: where the optimised graph goes; its folder must exist.
        prepacks: whether weights are laid out for the kernels too, which an estimate has no use for.

    Raises:
        RuntimeFailureError: if ONNX Runtime refuses the model.
    """
    import onnxruntime  # noqa: PLC0415  heavy, and `import steelyard` must not load it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_min_size_in_bytes", str(_LARGE_BYTES)
    )
    if not prepacks:
        options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RuntimeFailureError(f"ONNX Runtime can't load {source.name}: {text}") from error
