"""The contracts of `steelyard.core.protocols.Family` and `FittedFamily`."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from steelyard.core.candidate import FamilySpace, Knob, Scale
from steelyard.core.protocols import Family, FittedFamily, Task
from steelyard.core.task import Array
from steelyard.testing.contract import (
    attempt,
    require,
    require_close,
    require_name,
    require_outputs,
    require_plain,
)

ROWS = 7
"""Rows that a module is run on: more than one, and no power of two."""
FIT_S = 3600.0
"""Seconds that a family that learns by itself may take: far more than the few rows of a fake task need."""
PARTS = ("front", "body", "back")
"""The parts of a module that training asks for."""


def check_family(family: Family | FittedFamily, task: Task) -> None:
    """Check a family on a task: its refusal or else its knobs, its models at extreme scales, and their files.

    A family that refuses the task must say why in a sentence; nothing more is asked of it there. One that learns by
    itself learns at its smallest and its largest scale.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(family.name, "the family")
    refusal = attempt(lambda: family.refusal(task), "'refusal'")
    if refusal is not None:
        fits = isinstance(refusal, str) and refusal.strip() and "\n" not in refusal
        require(fits, f"'refusal' must say why in one sentence, got {refusal!r}.")
        return
    knobs = attempt(lambda: family.knobs(task), "'knobs'")
    _check_knobs(knobs)
    require(family.knobs(task) == knobs, "'knobs' must be the same at each call.")
    space = FamilySpace(family.name, knobs)
    if isinstance(family, FittedFamily):
        for scale in dict.fromkeys((space.smallest, space.largest)):
            _check_fit(family, task, scale)
        return
    for scale in extreme_scales(space):
        _check_module(family, task, scale)
    sizes = [_parameters(family.build(scale, task, 0)) for scale in (space.smallest, space.largest)]
    require(
        sizes[0] <= sizes[1],
        f"knobs must go from small to large, got {sizes[0]} parameters at the smallest and {sizes[1]} at the largest.",
    )
    for scale in dict.fromkeys((space.smallest, space.largest)):
        _check_export(family, task, scale)


def extreme_scales(space: FamilySpace) -> tuple[Scale, ...]:
    """The smallest scale, the largest, and the smallest with one knob at a time at its last choice."""
    first = {knob.name: knob.choices[0] for knob in space.knobs}
    corners = [Scale.from_json({**first, knob.name: knob.choices[-1]}) for knob in space.knobs]
    return tuple(dict.fromkeys((space.smallest, space.largest, *corners)))


def _check_knobs(knobs: tuple[Knob, ...]) -> None:
    fits = isinstance(knobs, tuple) and all(isinstance(knob, Knob) for knob in knobs)
    require(fits, f"'knobs' must be a tuple of Knob, got {knobs!r}.")
    names = [knob.name for knob in knobs]
    require(len(set(names)) == len(names), f"every knob must have a name of its own, got {names!r}.")
    for knob in knobs:
        numbers = [each for each in knob.choices if isinstance(each, int | float)]
        require(
            len(numbers) < len(knob.choices) or numbers == sorted(numbers),
            f"choices of knob {knob.name!r} must go from small to large, got {knob.choices!r}.",
        )


def _check_module(family: Family, task: Task, scale: Scale) -> None:
    what = f"{family.name} ({scale})"
    module = attempt(lambda: family.build(scale, task, 0), f"building {what}")
    missing = [part for part in PARTS if getattr(module, part, None) is None]
    require(not missing, f"{what} must have the parts front, body and back, got none named {', '.join(missing)}.")
    shape = getattr(module.front, "shape", None)
    require(isinstance(shape, tuple), f"the front of {what} must have the shape of its output rows, got {shape!r}.")
    x = _rows(task)
    outputs = attempt(lambda: _outputs(module, x), f"running {what}")
    require_outputs(_flat(outputs, task), len(x), task.output.width, f"outputs of {what}")
    one_by_one = np.concatenate([_outputs(module, x[i : i + 1]) for i in range(len(x))])
    require_close(one_by_one, outputs, f"rows of {what} one by one and all at once")
    again = family.build(scale, task, 0)
    require(_weights_equal(module, again), f"{what} must have the same weights when built from the same seed.")


def _flat(outputs: Any, task: Task) -> Any:
    """Scores of every token to come as one row, which is how the width of language modelling counts them."""
    is_language = task.kind == "language-modelling" and isinstance(outputs, np.ndarray) and outputs.ndim == 3
    return outputs.reshape(len(outputs), -1) if is_language else outputs


def _check_export(family: Family, task: Task, scale: Scale) -> None:
    """The module's file on ONNX Runtime, batch axis free."""
    from steelyard.runtimes.onnxruntime.export import export  # noqa: PLC0415  imports torch
    from steelyard.runtimes.onnxruntime.run import OnnxRuntime  # noqa: PLC0415

    what = f"{family.name} ({scale}) on ONNX Runtime"
    module = family.build(scale, task, 0)
    x = _rows(task)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        attempt(lambda: export(module, x[:2], path), f"exporting {what}")
        session = attempt(lambda: OnnxRuntime().load(path), f"loading {what}")
        outputs = attempt(lambda: session.run(x), f"running {what}")
        require_close(outputs, _outputs(module, x), f"outputs of {what} and of torch")
        one_by_one = np.concatenate([session.run(x[i : i + 1]) for i in range(len(x))])
        require_close(one_by_one, outputs, f"rows of {what} one by one and all at once")


def _check_fit(family: FittedFamily, task: Task, scale: Scale) -> None:
    """What the family writes: plain notes, a file that ONNX Runtime runs row by row, the same when learned again."""
    from steelyard.runtimes.onnxruntime.run import OnnxRuntime  # noqa: PLC0415

    what = f"{family.name} ({scale})"
    x = _rows(task)
    learned = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("model", "again"):
            path = Path(folder) / f"{name}.onnx"
            notes = attempt(partial(family.fit, scale, task, 0, path, FIT_S), f"fitting {what}")
            require_plain(notes, f"the notes of {what}")
            spent = notes.get("train_s") if isinstance(notes, dict) else None
            require(isinstance(spent, float) and spent >= 0, f"the notes of {what} must have 'train_s', got {notes!r}.")
            session = attempt(partial(OnnxRuntime().load, path), f"loading {what}")
            outputs = attempt(partial(session.run, x), f"running {what}")
            require_outputs(outputs, len(x), task.output.width, f"outputs of {what}")
            one_by_one = np.concatenate([session.run(x[i : i + 1]) for i in range(len(x))])
            require_close(one_by_one, outputs, f"rows of {what} one by one and all at once")
            learned.append(outputs)
    require_close(learned[1], learned[0], f"outputs of {what} when it is fitted again with the same seed")


def _rows(task: Task) -> Array:
    return np.ascontiguousarray(task.train.x[:ROWS], dtype=np.float32)


def _outputs(module: Any, x: Array) -> Array:
    from steelyard.training.modules import module_outputs  # noqa: PLC0415  imports torch

    return module_outputs(module, x)


def _parameters(module: Any) -> int:
    return sum(int(parameter.numel()) for parameter in module.parameters())


def _weights_equal(one: Any, other: Any) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        np.array_equal(first[name].numpy(), second[name].numpy(), equal_nan=True) for name in first
    )
