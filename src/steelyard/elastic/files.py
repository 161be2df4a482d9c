"""Files of sub-networks, cut from the file of the whole module: exported once, sliced many times."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.elastic.tracing import tensors_in
from steelyard.graph.reading import read_model
from steelyard.graph.removal import without_nodes
from steelyard.graph.slicing import Slices, Template, template

Run = Callable[[Path, tuple[Array, ...]], Sequence[Array]]
"""Gives the outputs of a file on inputs in their order: a runtime, which this package knows nothing of."""

TOLERANCE = 1e-5
"""Of the largest output, added to one: an unfolded export of small nets was within a hundredth of it, seen over six
kinds of modules; sums in another order grow with depth."""


class WholeFile:
    """The file of a whole module, ready to be cut into those of its sub-networks.

    It must hold the module's stored tensors under their own names (`export_unfolded` writes one). What is made ready
    is kept for each choice of blocks left out, so a second sub-network of the same blocks costs milliseconds.

    Example:
        whole = WholeFile(Path("whole.onnx"), unread)
        whole.write(Path("small.onnx"), slices_of(anatomy, kept))
        check_same(extracted(module, anatomy, kept), Path("small.onnx"), example, run)
    """

    def __init__(self, path: Path, unread: Iterable[str] = ()) -> None:
        """Read the file.

        Args:
            path: of the whole module's unfolded ONNX file.
            unread: names of stored tensors that the file does not hold because nothing reads them; slices and values
                of them are passed over.

        Raises:
            InputError: if it is no ONNX model.
        """
        self._model = read_model(path)
        self._unread = frozenset(unread)
        self._ready: dict[tuple[str, ...], Template] = {}

    @property
    def names(self) -> frozenset[str]:
        """Names of the tensors that the file stores."""
        return self._template(()).names

    def write(
        self,
        path: Path,
        slices: Slices,
        values: Mapping[str, Tensor] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Write the file of a sub-network.

        Args:
            path: where it goes.
            slices: for each stored tensor that shrinks, by its name in the whole module, the indices kept by axis.
            values: the sub-network's own stored tensors by name, of the small shape, where they are not slices of the
                whole one's; those that the file does not read are passed over.
            without: names of the residual blocks left out; slices and values of theirs are passed over.

        Raises:
            InputError: naming the tensor or the operator where the graph resists: extract and export instead.
        """
        ready = self._template(tuple(sorted(without)))
        inside = tuple(f"{block}." for block in without)
        gone = {name for name in (*slices, *(values or {})) if name in self._unread or name.startswith(inside)}
        own = {name: value.detach().cpu().numpy() for name, value in (values or {}).items() if name not in gone}
        cut = {name: axes for name, axes in slices.items() if name not in gone}
        path.write_bytes(ready.sliced(cut, own).SerializeToString())

    def _template(self, without: tuple[str, ...]) -> Template:
        if without not in self._ready:
            model = self._model
            for block in without:
                model = without_nodes(model, block)
            self._ready[without] = template(model)
        return self._ready[without]


def stored_values(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers of a sub-network by name, as `WholeFile.write` takes them."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def check_same(
    module: nn.Module, path: Path, example: tuple[Tensor, ...], run: Run, tolerance: float = TOLERANCE
) -> float:
    """Compare a sub-network's file with its module; returns the largest difference of outputs.

    Args:
        module: of the sub-network, on the processor.
        path: of the file cut for it.
        example: one tensor an input, (rows, ...).
        run: gives the file's outputs.
        tolerance: how much the outputs may differ, relative to the largest output added to one.

    Raises:
        InputError: if they differ by more, or in shape: extract and export instead.
    """
    with torch.no_grad():
        wanted = [each.numpy() for each in tensors_in(module.eval()(*example))]
    found = list(run(path, tuple(each.numpy() for each in example)))
    if [each.shape for each in found] != [each.shape for each in wanted]:
        raise InputError(
            f"the sliced file gives outputs of shapes {_shapes(found)} where the module gives {_shapes(wanted)}; "
            "export the smaller module itself."
        )
    largest = 0.0
    for one, other in zip(found, wanted, strict=True):
        gap = float(np.abs(np.subtract(one, other, dtype=np.float64)).max(initial=0.0))
        size = 1 + float(np.abs(other).max(initial=0.0))
        if not gap <= tolerance * size:
            raise InputError(
                f"the sliced file's outputs differ from the module's by {gap:.2g}, more than {tolerance * size:.2g}; "
                "export the smaller module itself."
            )
        largest = max(largest, gap)
    return largest


def check_rows(module: nn.Module, path: Path, rows: Array, run: Run, tolerance: float = TOLERANCE) -> float:
    """The same on an array of rows (n, ...), for callers that know no torch."""
    return check_same(module, path, (torch.from_numpy(np.ascontiguousarray(rows)),), run, tolerance)


def _shapes(arrays: Sequence[Any]) -> str:
    return ", ".join(str(tuple(each.shape)) for each in arrays)
