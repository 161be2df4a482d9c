"""Calibration rows: batches as a model takes them, checked and counted, and the session that runs them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from steelyard.core.errors import DataError, InputError
from steelyard.core.port import Port
from steelyard.core.protocols import Feed
from steelyard.core.task import Array
from steelyard.graph.signature import inputs_of

FEWEST_ROWS = 8
"""Fewer rows say next to nothing about the range of an activation."""

Feeds = Sequence[Mapping[str, Array]]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rows to calibrate on: batches by input name, as the model takes them, and how many rows they are in all."""

    feeds: Feeds
    rows: int


def read_rows(model: onnx.ModelProto, rows: Iterator[Feed], most: int) -> Calibration:
    """At most so many rows, laid out as the model takes them.

    A model whose batch is fixed gets batches of that size; what is left over is dropped.

    Raises:
        DataError: if there are too few rows, or all are the same.
        InputError: if the batches lack an input of the model.
    """
    ports = inputs_of(model)
    feeds: list[dict[str, Array]] = []
    left = most
    while left > 0:
        batch = next(rows, None)
        if batch is None:
            break
        feed = {name: array[:left] for name, array in _named(batch, ports).items()}
        feeds.append(feed)
        left -= len(next(iter(feed.values())))
    count = most - left
    if count < FEWEST_ROWS:
        raise DataError(f"calibration needs at least {FEWEST_ROWS} rows, got {count}; give it more rows.")
    if _are_constant(feeds):
        raise DataError(f"calibration needs rows that differ, got {count} equal rows; give it real inputs.")
    size = ports[0].shape[0] if ports[0].shape else None
    return Calibration(_rebatched(feeds, size) if isinstance(size, int) else feeds, count)


def open_model(model: onnx.ModelProto) -> Any:
    """ONNX Runtime's session on a model in memory, one thread.

    Raises:
        InputError: if it refuses the model.
    """
    import onnxruntime  # noqa: PLC0415  heavy

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    except Exception as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"ONNX Runtime can't load the model: {line}") from error


def _named(batch: Feed, ports: Sequence[Port]) -> dict[str, Array]:
    if not isinstance(batch, Mapping):
        if len(ports) != 1:
            names = ", ".join(repr(port.name) for port in ports)
            raise InputError(
                f"rows for a model with {len(ports)} inputs must be arrays by name ({names}), got one array."
            )
        batch = {ports[0].name: batch}
    missing = [port.name for port in ports if port.name not in batch]
    if missing:
        raise InputError(f"rows lack the model's input {missing[0]!r}, got {', '.join(map(repr, batch))}.")
    return {port.name: np.ascontiguousarray(batch[port.name], dtype=port.type) for port in ports}


def _are_constant(feeds: Feeds) -> bool:
    first = {name: array[:1] for name, array in feeds[0].items()}
    # Batches of sequences may differ in length.
    return all(
        array.shape[1:] == first[name].shape[1:] and (array == first[name]).all()
        for feed in feeds
        for name, array in feed.items()
    )


def _rebatched(feeds: Feeds, size: int) -> Feeds:
    joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    whole = len(next(iter(joined.values()))) // size * size
    if not whole:
        raise DataError(f"the model takes batches of exactly {size} rows, more than there are to calibrate on.")
    return [{name: array[at : at + size] for name, array in joined.items()} for at in range(0, whole, size)]
