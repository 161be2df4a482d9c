"""A cost model as a file: one array of numbers and one text that says what they are. No pickle."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.measure.predicted.composition import Composition
from steelyard.measure.predicted.costmodel import Calibration, CostModel
from steelyard.measure.predicted.regression import Regression

SCHEMA = 1
"""Raised when the file changes, or what its numbers mean; files of another number are not read."""

_ARRAYS = ("rates", "low", "high", "scales", "points", "weights")

Floats = NDArray[np.float64]


def save_model(model: CostModel, path: Path) -> None:
    """Write the model so that a reader sees the old or the new file, never half of one."""
    parts: list[Floats] = []

    def keep(array: Floats) -> list[int]:
        parts.append(np.ravel(array))
        return list(array.shape)

    composition, calibration = model.composition, model.calibration
    named = {**composition.kinds, **({"": composition.correction} if composition.correction else {})}
    plain = {
        "schema": SCHEMA,
        "kinds": {kind: _regression(each, keep) for kind, each in named.items()},
        "rates": dict(composition.rates),
        "nodes": dict(composition.nodes),
        "call_s": composition.call_s,
        "groups": list(composition.groups),
        "scale": keep(calibration.scale),
        "scores": keep(calibration.scores),
        "styles": list(calibration.styles),
        "models": model.models,
        "drift": model.drift,
    }
    text = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
    partial = path.with_name(f".{path.name}.partial.npz")
    np.savez(partial, numbers=np.concatenate(parts), plain=text)
    partial.replace(path)


def _regression(each: Regression, keep: Any) -> dict[str, Any]:
    shapes = {name: keep(getattr(each, name)) for name in _ARRAYS}
    return {"shapes": shapes, "offset": each.offset, "spread": list(each.spread)}


def load_model(path: Path) -> CostModel | None:
    """The model in a file; None where there is none, or one of another schema.

    Raises:
        ValueError: if the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        # Opened here: the reader of a damaged file would leave it open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            numbers, plain = found["numbers"], json.loads(found["plain"].tobytes())
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"the cost model {str(path)!r} is damaged; remove it.") from error
    if plain.get("schema") != SCHEMA:
        return None
    place = 0

    def take(shape: list[int]) -> Floats:
        nonlocal place
        size = int(np.prod(shape))
        place += size
        return np.asarray(numbers[place - size : place].reshape(shape))

    kinds = {kind: _read_regression(each, take) for kind, each in plain["kinds"].items()}
    correction = kinds.pop("", None)
    composition = Composition(
        kinds, plain["rates"], plain["nodes"], plain["call_s"], tuple(plain["groups"]), correction
    )
    calibration = Calibration(take(plain["scale"]), take(plain["scores"]), tuple(plain["styles"]))
    return CostModel(composition, calibration, plain["models"], plain["drift"])


def _read_regression(plain: Mapping[str, Any], take: Any) -> Regression:
    arrays = {name: take(plain["shapes"][name]) for name in _ARRAYS}
    return Regression(**arrays, offset=plain["offset"], spread=(plain["spread"][0], plain["spread"][1]))
