"""Make OpenVINO's files, of ONNX files, or of torch modules by way of ONNX."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Source
from steelyard.runtimes.loading import check_installed, first_line, library
from steelyard.runtimes.onnxruntime.export import export as export_onnx


@dataclass(frozen=True, slots=True)
class OpenVinoExporter:
    """Writes `.xml` files (the graph) with `.bin` files (the weights) beside them."""

    name: str = "openvino"
    sources: tuple[Source, ...] = ("module", "onnx")

    def check(self) -> None:
        """Refuse where openvino is missing.

        Raises:
            MissingExtraError: with the line that installs it.
        """
        check_installed(self.name, {"openvino": "openvino"})

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module by way of an ONNX file; returns which of torch's exporters wrote that.

        Raises:
            RuntimeFailureError: if torch can't write the module as ONNX, or OpenVINO can't read that.
        """
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            source = Path(folder) / "model.onnx"
            how = export_onnx(module, example, source)
            self.convert(source, path)
        return how

    def convert(self, source: Path, path: Path) -> str:
        """Write an ONNX file as the pair that OpenVINO loads fastest; weights keep their type.

        Its reader is called, not its converter: that one reports its use to its makers.

        Raises:
            RuntimeFailureError: if OpenVINO can't read or write it.
        """
        openvino = library("openvino", runtime=self.name, package="openvino")
        try:
            model = openvino.Core().read_model(str(source))
            openvino.save_model(model, str(path), compress_to_fp16=False)
        except Exception as error:
            raise RuntimeFailureError(f"OpenVINO can't convert {source.name}: {first_line(error)}") from error
        return "openvino"


EXPORTER = OpenVinoExporter()
"""The entry of the registry."""
