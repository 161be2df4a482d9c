"""Follows channels through a module's forward pass: one run on an example with every torch call watched.

Each tensor carries a tensor of labels of its own shape (`steelyard.elastic.labels`). What only moves elements moves the
labels by the same call, so views, transposes, splits and concatenations are exact whatever they do. Layers make fresh
labels for their outputs; whatever adds or multiplies elements unites theirs. An operator that no rule knows fixes the
channels that reach it: it is never guessed.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from steelyard.core.errors import InputError
from steelyard.core.task import Array
from steelyard.elastic.labels import RAW, Labels

DECIDES = frozenset({"__bool__", "item", "tolist", "__int__", "__float__", "__index__", "numpy", "equal", "allclose"})
"""Calls that turn a tensor's values into Python's: a forward pass that decides by them has no fixed graph."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Multiply-accumulates of one operator a row: `each` times, for every factor, the number of its labels kept.

    `weights` are the stored numbers it reads for each product of the factors: a kernel's area, 1 of a matrix, 0 of a
    product of two results.
    """

    owner: str
    each: float
    factors: tuple[Array, ...]
    weights: float


@dataclass(frozen=True, slots=True)
class Extent:
    """The labels along an axis that a module's code may hold the size of.

    `attribute` is the one that holds it for certain; empty where the axis only passed by while the module ran.
    """

    module: str
    labels: Array
    attribute: str = ""


@dataclass(slots=True)
class Trace:
    """What one watched run found: labels of the axes of stored tensors, costs, and extents that code may hold.

    `axes` has, for each stored tensor (parameter or buffer) by its first name, the labels along each axis, None where
    nothing was found. `norms` are modules whose statistics run over labelled elements.
    """

    labels: Labels = field(default_factory=Labels)
    axes: dict[str, list[Array | None]] = field(default_factory=dict)
    costs: list[Cost] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    norms: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was watched: its name, its arguments, and what it gave."""

    name: str
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    found: Any


Rule = Callable[["Tracer", Call], None]
"""Moves the labels of a call."""


class Tracer(TorchFunctionMode):
    """Watches the calls of a forward pass; `rules` says what each does to labels, by the call's name."""

    def __init__(self, module: nn.Module, rules: dict[str, Rule], rows: int) -> None:
        super().__init__()
        self.trace = Trace()
        self.labels = self.trace.labels
        self.rules = rules
        self.rows = rows
        self.stack: list[str] = [""]
        self.modules = dict(module.named_modules())
        self._held: dict[int, tuple[Tensor, Array]] = {}
        self._fed: dict[int, Tensor] = {}
        self._stored: dict[int, str] = {}
        self._raw: dict[str, Array] = {}
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            self._stored[id(tensor)] = name
            self.trace.axes[name] = [None] * tensor.ndim

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call, then move its labels."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name == "__get__":
            name = func.__self__.__name__
        given = list(tensors_in((args, kwargs)))
        results = list(tensors_in(found))
        if any(id(each) in self._fed for each in given):
            if name in DECIDES:
                where = self.stack[-1] or "the module itself"
                raise InputError(
                    f"the module can't be traced: {where} decides by a tensor's values ({name}), so its graph is not "
                    "fixed; write the choice with torch.where."
                )
            self._fed.update({id(each): each for each in results})
        if results and any(id(each) in self._held or id(each) in self._stored for each in given):
            self._follow(Call(name, func, args, kwargs, found))
        return found

    def _follow(self, call: Call) -> None:
        # A trailing underscore alone is what tells a call in place from its plain twin.
        rule = self.rules.get(call.name if call.name.startswith("__") else call.name.rstrip("_"))
        if rule is None:
            for each in tensors_in((call.args, call.kwargs)):
                self.fix(each, f"operator {call.name} has no rule")
            return
        try:
            with torch.no_grad():
                rule(self, call)
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
            # A form of the call that its rule does not know is like a call without a rule.
            for each in tensors_in((call.args, call.kwargs)):
                self.fix(
                    each, f"operator {call.name} is called in a form without a rule ({type(error).__name__}: {error})"
                )

    def feed(self, tensors: Sequence[Tensor]) -> None:
        """Name the inputs of the module."""
        self._fed.update({id(each): each for each in tensors})

    def stored(self, tensor: Any) -> str | None:
        """The name of a stored tensor, None for any other."""
        return self._stored.get(id(tensor))

    def of(self, tensor: Tensor) -> Array | None:
        """Labels of a tensor, of its shape, as roots; None where none was given. Stored tensors get raw ones."""
        held = self._held.get(id(tensor))
        if held is not None:
            return self.labels.find(held[1])
        name = self._stored.get(id(tensor))
        return None if name is None else self.raw(name, tensor)

    def raw(self, name: str, tensor: Tensor) -> Array:
        """A label for each element of a stored tensor."""
        if name not in self._raw:
            self._raw[name] = self.labels.fresh(tensor.numel()).reshape(tuple(tensor.shape))
        return self._raw[name]

    def set(self, tensor: Any, labels: Array | None) -> None:
        """Give a tensor its labels."""
        if isinstance(tensor, Tensor) and labels is not None and labels.any():
            self._held[id(tensor)] = (tensor, labels)
        elif isinstance(tensor, Tensor):
            # Kept alive, so that another tensor can't get its number.
            self._held[id(tensor)] = (tensor, np.broadcast_to(np.int64(0), tuple(tensor.shape)))

    def fix(self, tensor: Any, reason: str) -> None:
        """Say that no channel of a tensor can be removed, and why."""
        held = self._held.get(id(tensor))
        if held is not None:
            self.labels.fix(self.labels.find(held[1]), reason)

    def zeros(self, tensor: Tensor) -> Array:
        """Labels of a tensor, zeros where it has none."""
        found = self.of(tensor)
        return np.broadcast_to(np.int64(0), tuple(tensor.shape)) if found is None else found

    def bind(self, tensor: Any, axis: int, labels: Array) -> None:
        """Say that the labels run along an axis of a stored tensor."""
        name = self.stored(tensor)
        if name is None:
            if tensor is not None:
                self.labels.fix(labels, "its weights are computed, not stored")
            return
        known = self.trace.axes[name][axis]
        if known is None:
            self.trace.axes[name][axis] = labels
            return
        mixed = (known == 0) != (labels == 0)
        self.labels.fix(np.where(mixed, known + labels, 0), f"{name} is shared with a place that can't shrink")
        self.labels.union(known, labels)

    def made(self, tensor: Any, axis: int, count: int) -> Array:
        """The labels that an operator's outputs get: those along the axis of its weights, fresh the first time.

        A single output gets none: it can't go, and it may be broadcast over channels (a gate, a weight a step).
        """
        name = self.stored(tensor)
        if name is None or count == 1:
            return np.zeros(count, np.int64)
        if self.trace.axes[name][axis] is None:
            self.trace.axes[name][axis] = self.labels.fresh(count, name.rpartition(".")[0] or name)
        found = self.trace.axes[name][axis]
        assert found is not None  # noqa: S101  set above
        return found

    def along(self, tensor: Tensor, axis: int) -> Array:
        """Labels along an axis: what differs across the other axes is united, what has none there is fixed."""
        labels = np.moveaxis(self.zeros(tensor), axis, 0)
        flat = self.labels.find(labels.reshape(labels.shape[0], -1))
        if not flat.any():
            return np.zeros(len(flat), np.int64)
        first = np.ascontiguousarray(flat[:, 0])
        if (flat == flat[:, :1]).all():
            return first
        self.labels.fix(flat[(flat == 0).any(axis=1)], "a part of the channels that meet it is no channel")
        most: Array = flat.max(axis=1)
        self.labels.union(np.where(flat == 0, most[:, None], flat), np.broadcast_to(most[:, None], flat.shape))
        return most

    def cost(self, weight: Any, each: float, *factors: Array) -> None:
        """Note multiply-accumulates of a call on the whole example; the owner is a stored tensor's or the module's."""
        name = self.stored(weight)
        owner = self.stack[-1] if name is None else name.rpartition(".")[0]
        whole = float(np.prod([len(factor) for factor in factors]))
        weights = 0.0 if name is None else weight.numel() / whole
        self.trace.costs.append(Cost(owner, each / self.rows, tuple(np.array(each) for each in factors), weights))

    def holds(self, attribute: str, labels: Array) -> None:
        """Note that the module that runs holds the size of an axis."""
        self.trace.extents.append(Extent(self.stack[-1], np.array(labels), attribute))

    def finish(self, outputs: Any) -> Trace:
        """Fix the outputs, and read the axes of stored tensors that were used element by element."""
        for tensor in tensors_in(outputs):
            self.fix(tensor, "its channels are the module's outputs")
        for name, raw in self._raw.items():
            self._read_raw(name, self.labels.find(raw))
        return self.trace

    def _read_raw(self, name: str, roots: Array) -> None:
        """The one axis along which the elements of a stored tensor met channels; elements never used don't say."""
        roots = np.where(self.labels.origin[roots] == RAW, 0, roots)
        if not roots.any():
            return
        for axis in range(roots.ndim):
            flat = np.moveaxis(roots, axis, 0).reshape(roots.shape[axis], -1)
            along: Array = flat.max(axis=1)
            if ((flat == 0) | (flat == along[:, None])).all():
                if self.trace.axes[name][axis] is None:
                    self.trace.axes[name][axis] = along
                return
        self.labels.fix(roots, f"{name} holds its channels on more than one axis")


def varies(labels: Array, axis: int) -> bool:
    """Whether labels differ along an axis."""
    return labels.shape[axis] > 1 and bool((labels != np.take(labels, [0], axis)).any())


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors_in(each)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def traced(module: nn.Module, example: tuple[Tensor, ...], rules: dict[str, Rule]) -> Trace:
    """Run a module on an example, following its channels.

    Args:
        module: it is left as it was.
        example: one tensor an input, (rows, ...), two rows or more.
        rules: what each call does to labels.

    Raises:
        InputError: if the module can't run on the example, or decides by the values of tensors.
    """
    try:
        module = copy.deepcopy(module).eval()
    except (RuntimeError, TypeError) as error:
        raise InputError(f"the module can't be copied: {error}; it must hold parameters and buffers only.") from error
    tracer = Tracer(module, rules, len(example[0]))
    try:
        with _places(module, tracer), torch.enable_grad(), tracer:
            tracer.feed(example)
            outputs = module(*example)
    except InputError:
        raise
    except Exception as error:
        text = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"the module can't be traced: {type(error).__name__}: {text[:200]}; it must run on rows like the training "
            "rows' inputs."
        ) from error
    return tracer.finish(outputs)


@contextmanager
def _places(module: nn.Module, tracer: Tracer) -> Iterator[None]:
    """Keep the name of the module that runs on the tracer's stack."""
    handles = []
    for name, each in module.named_modules():

        def enter(_: nn.Module, __: Any, name: str = name) -> None:
            tracer.stack.append(name)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            tracer.stack.pop()

        handles.append(each.register_forward_pre_hook(enter))
        handles.append(each.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
