"""Write torch modules as ExecuTorch's files, with XNNPACK's kernels where it has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Source
from steelyard.runtimes.executorch.run import LARGEST_BATCH
from steelyard.runtimes.loading import check_installed, first_line, library
from steelyard.runtimes.torch.export import exported, tracing


@dataclass(frozen=True, slots=True)
class ExecuTorchExporter:
    """Writes `.pte` files."""

    name: str = "executorch"
    sources: tuple[Source, ...] = ("module",)

    def check(self) -> None:
        """Refuse where executorch is missing.

        Raises:
            MissingExtraError: with the line that installs it.
        """
        check_installed(self.name, {"executorch": "executorch", "torch": "torch"})

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module, for batches of up to `LARGEST_BATCH` rows.

        Raises:
            RuntimeFailureError: if torch can't export it, or ExecuTorch can't lower it.
        """
        program = exported(module, example, most=LARGEST_BATCH)
        exir = library("executorch.exir", runtime=self.name, package="executorch")
        xnnpack = library(
            "executorch.backends.xnnpack.partition.xnnpack_partitioner", runtime=self.name, package="executorch"
        )
        try:
            with tracing():
                lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
                path.write_bytes(lowered.to_executorch().buffer)
        except Exception as error:
            raise RuntimeFailureError(f"ExecuTorch can't lower the module: {first_line(error)}") from error
        return "executorch"

    def convert(self, source: Path, path: Path) -> str:  # noqa: ARG002
        """Refuse: ExecuTorch reads no ONNX.

        Raises:
            RuntimeFailureError: always.
        """
        raise RuntimeFailureError(
            f"the runtime 'executorch' takes no ONNX file such as {source.name}; give a torch module."
        )


EXPORTER = ExecuTorchExporter()
"""The entry of the registry."""
