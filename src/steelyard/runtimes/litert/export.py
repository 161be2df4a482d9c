"""Write torch modules as LiteRT's files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Source
from steelyard.runtimes.loading import check_installed, first_line, library, positional, silenced


@dataclass(frozen=True, slots=True)
class LiteRtExporter:
    """Writes `.tflite` files for one row: the converter refuses a free batch axis (docs/decisions/0011)."""

    name: str = "litert"
    sources: tuple[Source, ...] = ("module",)

    def check(self) -> None:
        """Refuse where the interpreter or the converter is missing.

        Raises:
            MissingExtraError: with the line that installs it.
        """
        check_installed(
            self.name, {"ai_edge_litert": "ai-edge-litert", "litert_torch": "litert-torch", "torch": "torch"}
        )

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module for batches of one row; axes stay in torch's order.

        Raises:
            RuntimeFailureError: if the converter can't write it.
            MissingExtraError: if the converter is not installed.
        """
        import torch  # noqa: PLC0415  heavy, and asking an exporter what it takes must not load it

        converter = library("litert_torch", runtime=self.name, package="litert-torch")
        # It draws its progress on the standard output, which may carry an answer.
        converter.config.show_progress = False
        row = tuple(torch.from_numpy(each[:1].copy()) for each in positional(example))
        try:
            with silenced(), torch.no_grad():
                converter.convert(module.eval(), row).export(str(path))
        except Exception as error:
            raise RuntimeFailureError(f"LiteRT can't convert the module: {first_line(error)}") from error
        return "litert-torch"

    def convert(self, source: Path, path: Path) -> str:  # noqa: ARG002
        """Refuse: no way from ONNX to LiteRT is known without TensorFlow.

        Raises:
            RuntimeFailureError: always.
        """
        raise RuntimeFailureError(
            f"the runtime 'litert' takes no ONNX file such as {source.name}; give a torch module."
        )


EXPORTER = LiteRtExporter()
"""The entry of the registry."""
