"""Write torch modules as archives of exported programs."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.core.errors import RuntimeFailureError
from steelyard.core.protocols import Feed, Source
from steelyard.runtimes.loading import check_installed, first_line, repeated, silenced


@dataclass(frozen=True, slots=True)
class TorchExporter:
    """Writes `.pt2` files."""

    name: str = "torch"
    sources: tuple[Source, ...] = ("module",)

    def check(self) -> None:
        """Refuse where torch is missing.

        Raises:
            MissingExtraError: with the line that installs it.
        """
        check_installed(self.name, {"torch": "torch"})

    def export(self, module: Any, example: Feed, path: Path) -> str:
        """Write a torch module; its example inputs, which are rows of the user's, stay out of the file.

        Raises:
            RuntimeFailureError: if torch can't export it.
        """
        program = exported(module, example)
        program.example_inputs = None
        try:
            import torch  # noqa: PLC0415  heavy, and asking an exporter what it takes must not load it

            with tracing():
                torch.export.save(program, str(path))
        except Exception as error:
            raise RuntimeFailureError(f"torch can't save the exported module: {first_line(error)}") from error
        return "torch.export"

    def convert(self, source: Path, path: Path) -> str:  # noqa: ARG002
        """Refuse: torch reads no ONNX.

        Raises:
            RuntimeFailureError: always.
        """
        raise RuntimeFailureError(f"the runtime 'torch' takes no ONNX file such as {source.name}; give a torch module.")


def exported(module: Any, example: Feed, *, most: int | None = None) -> Any:
    """The exported program of a module, its batch axis free.

    Args:
        module: from raw rows (n, ...) to outputs (n, width).
        example: raw rows, or such rows by the names of the inputs.
        most: the largest batch, where the runtime must know it.

    Raises:
        RuntimeFailureError: if torch can't export it.
    """
    import torch  # noqa: PLC0415

    rows = tuple(torch.from_numpy(each) for each in repeated(example))
    batch = torch.export.Dim("n", min=1, max=most) if most is not None else torch.export.Dim("n", min=1)
    try:
        with tracing():
            # Training may have left weights with the channels last, an order that not every runtime's passes read.
            plain = copy.deepcopy(module).eval().to(memory_format=torch.contiguous_format)
            return torch.export.export(plain, rows, dynamic_shapes=tuple({0: batch} for _ in rows))
    except Exception as error:
        raise RuntimeFailureError(f"torch can't export the module: {first_line(error)}") from error


@contextmanager
def tracing() -> Iterator[None]:
    """Tracing without gradients, and without the deprecations that torch announces of its own at each call."""
    import torch  # noqa: PLC0415

    with silenced(), torch.no_grad():
        yield


EXPORTER = TorchExporter()
"""The entry of the registry."""
