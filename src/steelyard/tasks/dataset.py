"""The task as the engine sees it: three splits of encoded rows and what was read from them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Fact, InputSpec, OutputSpec, Rows, TaskKind, input_to_json, output_to_json
from steelyard.core.wire import Plain, canonical


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTask:
    """A task whose rows are read, split and encoded. Satisfies `steelyard.core.protocols.Task`."""

    name: str
    kind: TaskKind
    input: InputSpec
    output: OutputSpec
    train: Rows
    valid: Rows
    test: Rows
    split_how: str
    data_hash: str
    facts: tuple[Fact, ...]
    metric: str
    defaults: Mapping[str, Plain] = field(default_factory=dict)
    environment: str = ""

    def __post_init__(self) -> None:
        """Check that rows have the shape that the input says, and a target each.

        Raises:
            DataError: naming the split.
        """
        for name, rows in (("train", self.train), ("valid", self.valid), ("test", self.test)):
            if rows.x.shape[1:] != self.input.shape:
                raise DataError(f"'{name}' must hold rows of shape {self.input.shape}, got {rows.x.shape[1:]}.")
            if len(rows.x) != len(rows.y):
                raise DataError(f"'{name}' must hold a target for each row, got {len(rows.x)} and {len(rows.y)}.")


def hash_rows(spec: InputSpec, output: OutputSpec, *splits: Rows) -> str:
    """SHA-256 over the specifications and the bytes of every split, in hexadecimal. O(bytes)."""
    digest = hashlib.sha256(canonical([input_to_json(spec), output_to_json(output)]).encode())
    for rows in splits:
        for array in (rows.x, rows.y, rows.groups):
            if array is None:
                digest.update(b"none")
                continue
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            if array.size:
                digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()
