"""Export torch modules to ONNX files for ONNX Runtime."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Source
from steelyard.core.task import Array
from steelyard.runtimes.loading import check_installed, first_line, repeated, silenced

OPSET = 17
"""Old enough for every ONNX Runtime that the package admits, new enough for all operators of the families here."""


@dataclass(frozen=True, slots=True)
class OnnxExporter:
    """Writes ONNX files."""

    name: str = "onnxruntime"
    sources: tuple[Source, ...] = ("module", "onnx")

    def check(self) -> None:
        """Refuse where ONNX Runtime is missing.

        Raises:
            MissingExtraError: with the line that installs it.
        """
        check_installed(self.name, {"onnxruntime": "onnxruntime"})

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module as an ONNX file with a free batch axis; returns the exporter that wrote it.

        Raises:
            RuntimeFailureError: if neither of torch's exporters can write the module.
        """
        return export(module, example, path)

    def convert(self, source: Path, path: Path) -> str:
        """Copy an ONNX file: it is what ONNX Runtime runs already.

        Raises:
            RuntimeFailureError: if the file can't be read.
        """
        try:
            shutil.copyfile(source, path)
        except OSError as error:
            raise RuntimeFailureError(f"{source.name} can't be copied: {error.strerror or error}.") from error
        return "copy"


def export(module: Any, example: Feed, path: Path) -> str:
    """Write `module` as an ONNX file with a free batch axis; returns the exporter that wrote it.

    The TorchScript exporter takes hundredths of a second on small nets, torch.export's seconds: it comes first,
    the newer one is the fallback for modules that can't be traced. docs/decisions/0003 has the trial.

    Args:
        module: from raw rows (n, ...) to outputs (n, width).
        example: raw rows (2 or more, ...), so that no axis but the batch is taken for a constant of 1; or such rows by
            the names that the inputs get, in the order that the module takes them.
        path: where the file goes.

    Raises:
        RuntimeFailureError: if neither exporter can write the module.
    """
    module = module.eval()
    names = list(example) if isinstance(example, Mapping) else ["x"]
    rows = repeated(example)
    try:
        by_tracing(module, names, rows, path)
    except Exception as first:  # noqa: BLE001  tracing raises whatever the user's module raises
        try:
            _by_torch_export(module, names, rows, path)
        except Exception:  # noqa: BLE001  the first says what the module itself had to say, the second what to try
            raise RuntimeFailureError(f"torch can't export the module to ONNX: {first_line(first)}") from first
        return "torch.export"
    return "torchscript"


def by_tracing(
    module: Any, names: list[str], rows: tuple[Array, ...], path: Path, *, is_unfolded: bool = False
) -> None:
    """Write a module by following it once; `is_unfolded` leaves batch norm and constants as they are.

    Raises:
        Exception: whatever the module or torch raises.
    """
    import torch  # noqa: PLC0415  heavy, and asking an exporter what it takes must not load it

    mode = torch.onnx.TrainingMode.PRESERVE if is_unfolded else torch.onnx.TrainingMode.EVAL
    # The exporter announces its own deprecation, and the tracer every constant shape, at each call.
    with silenced(), torch.no_grad(), _without_fused_attention(is_needed=is_unfolded):
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(each) for each in rows),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            training=mode,
            do_constant_folding=not is_unfolded,
            input_names=names,
            output_names=["y"],
            dynamic_axes={name: {0: "n"} for name in (*names, "y")},
        )


@contextmanager
def _without_fused_attention(*, is_needed: bool) -> Iterator[None]:
    """Keep torch's encoder layers from their fused kernel, which the exporter has no operator for."""
    import torch  # noqa: PLC0415

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before and not is_needed)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _by_torch_export(module: Any, names: list[str], rows: tuple[Array, ...], path: Path) -> None:
    import torch  # noqa: PLC0415

    with silenced(), torch.no_grad():
        batch = torch.export.Dim("n")
        program = torch.onnx.export(
            module,
            tuple(torch.from_numpy(each) for each in rows),
            dynamo=True,
            input_names=names,
            output_names=["y"],
            dynamic_shapes=tuple({0: batch} for _ in rows),
            verbose=False,
        )
        if program is None:
            raise RuntimeFailureError("torch.export returned no program.")
        program.save(str(path), external_data=False)


EXPORTER = OnnxExporter()
"""The entry of the registry."""
