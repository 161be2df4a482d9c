"""The user's own model: `file.py:function` returning a torch module."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from steelyard.core.candidate import Knob, Scale, Setting
from steelyard.core.errors import InputError
from steelyard.core.protocols import Task
from steelyard.core.task import ImageInput

GIVEN = ("inputs", "outputs", "shape")
"""Arguments that steelyard fills in; all others are knobs."""


@dataclass(frozen=True, slots=True)
class Own:
    """A family made from the user's function.

    The function's arguments named `inputs` (features), `outputs` (columns of the output) and `shape` (of one
    standardised row: (channels, height, width) or (features,)) are filled in; every other argument is a knob. Its
    choices are those of a `Literal` annotation, else its default alone, else what `--knob` says. The module takes
    standardised rows and gives (n, outputs): scores of classes, or the standardised value.
    """

    name: str
    function: Callable[..., Any]

    def refusal(self, task: Task) -> str | None:
        """Takes every task; what the function makes of it shows when it is built."""
        del task
        return None

    def knobs(self, task: Task) -> tuple[Knob, ...]:
        """The function's arguments that are not filled in.

        Raises:
            InputError: if an argument has neither choices nor a default.
        """
        del task
        hints = get_type_hints(self.function)
        knobs = []
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name in GIVEN or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            choices: tuple[Setting, ...] = ()
            if get_origin(hints.get(parameter.name)) is Literal:
                choices = get_args(hints[parameter.name])
            elif parameter.default is not parameter.empty:
                choices = (parameter.default,)
            else:
                raise InputError(
                    f"'{parameter.name}' of {self.name} must have a default or a Literal annotation, got neither.",
                    field="model",
                )
            knobs.append(Knob(parameter.name, choices))
        return tuple(knobs)

    def build(self, scale: Scale, task: Task, seed: int) -> Any:
        """Call the function with what it asks for.

        Raises:
            InputError: if it returns no torch module.
        """
        import torch  # noqa: PLC0415  imports torch, which proposing a scale must not

        from steelyard.families.kerasmodels import as_body, begin  # noqa: PLC0415
        from steelyard.families.parts import Model, back_of, front_of  # noqa: PLC0415

        begin(seed)
        torch.manual_seed(seed)
        front = front_of(task)
        shape = front.shape if isinstance(task.input, ImageInput) else (math.prod(front.shape),)
        given = {"inputs": math.prod(shape), "outputs": task.output.width, "shape": shape}
        asked = inspect.signature(self.function).parameters
        arguments = {name: value for name, value in given.items() if name in asked}
        body = as_body(self.function(**arguments, **scale.to_json()), self.name)
        if not isinstance(body, torch.nn.Module):
            raise InputError(f"{self.name} must return a torch.nn.Module, got {type(body).__name__}.", field="model")
        return Model(front, body, back_of(task.output))
