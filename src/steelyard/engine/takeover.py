"""Trained weights that outlive their training: kept beside each model, taken over by a later study. Runs in a worker.

Weights are kept as safetensors, from which nothing can be run, and not as the runtime's file: any runtime's can be made
of them.
"""

import json
import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

from steelyard.core.errors import SteelyardError
from steelyard.core.wire import Plain, file_sha256
from steelyard.engine.messages import EARLIER_NOTES, EARLIER_WEIGHTS, WEIGHTS
from steelyard.training.fit import Fit
from steelyard.training.weights import load_state, save_state

log = logging.getLogger(__name__)


def keep_weights(model: Any, folder: Path) -> Plain:
    """Write a trained module's weights; the note that says their hash, empty where they are no plain tensors."""
    path = folder / WEIGHTS
    try:
        save_state(model, path)
    except Exception as error:  # noqa: BLE001  a user's module may keep anything in its state, and still be exported
        log.info("the weights of a model are not kept: %s", error)
        path.unlink(missing_ok=True)
        return {}
    return {"weights": file_sha256(path)}


def earlier_fit(model: Any, home: Path) -> Fit | None:
    """Fill a module with the weights that an earlier study trained; None where there are none that fit.

    Args:
        model: built for the same scale, left as it is where None is returned.
        home: the candidate's folder.
    """
    if not (home / EARLIER_NOTES).is_file():
        return None
    try:
        notes = json.loads((home / EARLIER_NOTES).read_text(encoding="utf-8"))
        load_state(model, home / EARLIER_WEIGHTS)
        return _fit(notes)
    except (SteelyardError, OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        log.info("weights of an earlier study do not fit, so they are trained anew: %s", error)
        return None


def _fit(notes: Plain) -> Fit:
    """What the notes of a trained model say of its training."""
    known = {each.name for each in fields(Fit)}
    told = {name: value for name, value in notes.items() if name in known}
    return Fit(**told, notes=notes.get("cures", []))
