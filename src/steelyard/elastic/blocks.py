"""Residual blocks: what can be left out whole, because its input goes on beside it."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.elastic.tracing import tensors_in


class PassedOn(nn.Module):
    """Gives its first argument, whatever else it is called with: what is left of a block that was dropped."""

    def forward(self, x: Tensor, *_: Any, **__: Any) -> Tensor:
        """The input."""
        return x


def blocks_of(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[str, ...]:
    """Names of the residual blocks of a module, in the order of its children.

    A block is a child of a `Sequential` or `ModuleList` with weights, whose output has its input's shape and still
    depends on its input when all its weight matrices are zero; the module must run without it.

    Args:
        module: it is left as it was.
        example: one tensor an input, (rows, ...).
    """
    found = []
    for name, each in _children(module):
        if any(parameter.ndim > 1 for parameter in each.parameters()) and _has_shortcut(module, name, example):
            found.append(name)
    return tuple(found)


def without_block(module: nn.Module, name: str) -> nn.Module:
    """A copy of a module without one of its blocks.

    What passes its input on takes its place, so names stay; in torch's own encoder, which looks into its first layer,
    the layers behind move up instead.
    """
    copied = copy.deepcopy(module)
    parent, _, leaf = name.rpartition(".")
    holder = copied.get_submodule(parent)
    encoder = copied.get_submodule(parent.rpartition(".")[0])
    if isinstance(encoder, nn.TransformerEncoder) and isinstance(holder, nn.ModuleList) and len(holder) > 1:
        del holder[int(leaf)]
        encoder.num_layers = len(holder)
    else:
        setattr(holder, leaf, PassedOn())
    return copied


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [
        (f"{name}.{leaf}" if name else leaf, child)
        for name, each in module.named_modules()
        if isinstance(each, nn.Sequential | nn.ModuleList)
        for leaf, child in each.named_children()
    ]


def _has_shortcut(module: nn.Module, name: str, example: tuple[Tensor, ...]) -> bool:
    calls: list[tuple[Any, Any, Any]] = []

    def note(_: nn.Module, given: Any, named: Any, found: Any) -> None:
        calls.append((given, named, found))

    silent = copy.deepcopy(module).eval()
    block = silent.get_submodule(name)
    handle = block.register_forward_hook(note, with_kwargs=True)
    with torch.no_grad():
        whole = list(tensors_in(silent(*example)))
        handle.remove()
        if len(calls) != 1 or not calls[0][0] or not isinstance(calls[0][2], Tensor):
            return False
        (x, *rest), named, out = calls[0]
        if not isinstance(x, Tensor) or x.shape != out.shape or not x.is_floating_point():
            return False
        for parameter in block.parameters():
            if parameter.ndim > 1:
                parameter.zero_()
        passed = block(x, *rest, **named)
        # Another input of ordinary size, since the example's may hold zeros.
        other = block(torch.roll(x, 1, 0) + torch.linspace(-1, 1, x.numel()).reshape(x.shape), *rest, **named)
        if torch.equal(passed, other):
            return False
        try:
            short = list(tensors_in(without_block(module, name).eval()(*example)))
        except Exception:  # noqa: BLE001  the user's own forward may need more of the block than its output
            return False
    return [each.shape for each in short] == [each.shape for each in whole]
