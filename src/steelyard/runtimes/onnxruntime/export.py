"""Export torch modules to ONNX files for ONNX Runtime."""

import warnings
from pathlib import Path

import torch

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.task import Array

OPSET = 17
"""Old enough for every ONNX Runtime that the package admits, new enough for all operators of the families here."""


def export(module: torch.nn.Module, example: Array, path: Path) -> str:
    """Write `module` as an ONNX file with a free batch axis; returns the exporter that wrote it.

    The TorchScript exporter takes hundredths of a second on small nets, torch.export's seconds: it comes first,
    the newer one is the fallback for modules that can't be traced. docs/decisions/0003 has the trial.

    Args:
        module: from raw rows (n, ...) to outputs (n, width).
        example: raw rows (2 or more, ...), so that no axis but the batch is taken for a constant of 1.
        path: where the file goes.

    Raises:
        RuntimeFailureError: if neither exporter can write the module.
    """
    module = module.eval()
    rows = torch.from_numpy(example)
    try:
        _by_tracing(module, rows, path)
    except Exception as first:  # noqa: BLE001  tracing raises whatever the user's module raises
        try:
            _by_torch_export(module, rows, path)
        except Exception as second:  # noqa: BLE001
            text = str(second).strip().splitlines()[0] if str(second).strip() else type(second).__name__
            raise RuntimeFailureError(f"torch can't export the module to ONNX: {text}") from first
        return "torch.export"
    return "torchscript"


def _by_tracing(module: torch.nn.Module, rows: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter announces its own deprecation, and the tracer every constant shape, at each call.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (rows,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
        )


def _by_torch_export(module: torch.nn.Module, rows: torch.Tensor, path: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (rows,),
            dynamo=True,
            input_names=["x"],
            output_names=["y"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            verbose=False,
        )
        if program is None:
            raise RuntimeFailureError("torch.export returned no program.")
        program.save(str(path), external_data=False)
