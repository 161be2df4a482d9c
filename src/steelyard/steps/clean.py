"""The clean-up of an ONNX file: the same outputs from fewer operators."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steelyard.core.errors import InputError
from steelyard.core.protocols import Feed
from steelyard.core.wire import Plain


@dataclass(frozen=True, slots=True)
class Clean:
    """Folds constants, removes dead and idle operators and stale shapes, and raises masks to what softmax needs.

    Attributes:
        masks: whether constants of attention masks are raised, which reads rows.
        rows: most rows to measure attention scores on.
    """

    masks: bool = True
    rows: int = 64
    name: str = "clean"

    def __post_init__(self) -> None:
        """Refuse a number of rows that says nothing.

        Raises:
            InputError: naming the setting.
        """
        if self.rows < 1:
            raise InputError(f"'rows' must be at least 1, got {self.rows!r}.", field="rows")

    def apply(self, source: Path, target: Path, rows: Iterator[Feed]) -> Plain:
        """Write the clean model; `rows` are read only where the model has masks.

        Raises:
            SteelyardError: if the file can't be read, or has operators of a custom domain.
        """
        import onnx  # noqa: PLC0415  heavy, and needed by this step alone

        from steelyard.graph.cleaning import clean  # noqa: PLC0415
        from steelyard.graph.masks import find_masks  # noqa: PLC0415
        from steelyard.graph.reading import read_model  # noqa: PLC0415
        from steelyard.steps.quantizing.feeding import read_rows  # noqa: PLC0415
        from steelyard.steps.quantizing.hiding import with_raised_masks  # noqa: PLC0415

        model, done = clean(read_model(source))
        raised: tuple[Plain, ...] = ()
        if self.masks and find_masks(model):
            model, raised = with_raised_masks(model, read_rows(model, rows, self.rows).feeds)
        onnx.save(model, target)
        return {**done.to_json(), "masks": list(raised)}


CLEAN = Clean()
"""The entry of the registry."""
