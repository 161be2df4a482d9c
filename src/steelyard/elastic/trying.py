"""Groups are tried before they are believed: a smaller module must give what the masked one gives."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.elastic.extraction import extracted, masked
from steelyard.elastic.groups import Anatomy, Group, read_anatomy
from steelyard.elastic.tracing import tensors_in

TOLERANCE = 1e-4
"""Of the largest output: float32 sums in another order differ by a hundredth of it, a wrong slice by far more."""


def anatomy_of(module: nn.Module, example: tuple[Tensor, ...]) -> Anatomy:
    """What of a module can shrink, each group tried: channels are taken out of a copy with random weights.

    Groups that fail alone are tried tied together (heads and the width around them, which some code takes for one
    size), and refused where that fails too.

    Args:
        module: it is left as it was.
        example: one tensor an input, (rows, ...), two rows or more.

    Raises:
        InputError: if the module can't be traced.
    """
    anatomy = read_anatomy(module, example)
    trial = _Trial(_randomised(module), example)
    if trial.failure(anatomy, anatomy.groups) is None:
        return anatomy
    anatomy = _with_fitting_attributes(trial, anatomy)
    failed = {}
    for together in _sets(anatomy.groups):
        reason = trial.failure(anatomy, together)
        if reason is not None:
            failed.update({each.name: reason for each in together})
    tied = _tied(anatomy, failed)
    if tied is not None and trial.failure(tied, [tied.group(name) for name in failed]) is None:
        return tied
    return anatomy.without(failed)


def groups_of(module: nn.Module, example: tuple[Tensor, ...]) -> tuple[Group, ...]:
    """The groups of channels of a module that can shrink; see `anatomy_of`."""
    return anatomy_of(module, example).groups


class _Trial:
    """Takes channels out of a module with random weights and compares with the masked one."""

    def __init__(self, module: nn.Module, example: tuple[Tensor, ...]) -> None:
        self.module, self.example = module, example

    def failure(self, anatomy: Anatomy, groups: Sequence[Group]) -> str | None:
        """Why a module without a channel of each group is not the masked one, None where it is."""
        kept = {each.name: _all_but(each.size, each.step) for each in groups}
        try:
            small = _outputs(extracted(self.module, anatomy, kept), self.example)
        except Exception as error:  # noqa: BLE001  the user's own forward raises whatever it raises
            text = (str(error).splitlines() or [""])[0]
            return f"the module's code does not follow its size: {type(error).__name__}: {text[:120]}"
        full = _outputs(masked(self.module, anatomy, kept), self.example)
        if all(_agree(a, b) for a, b in zip(small, full, strict=True)):
            return None
        return "the module's code computes something else when it is smaller"


def _all_but(size: int, count: int) -> Array:
    """All channels but `count` in the middle."""
    start = (size - count) // 2
    return np.setdiff1d(np.arange(size), np.arange(start, start + count))


def _outputs(module: nn.Module, example: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.no_grad():
        return list(tensors_in(module.eval()(*example)))


def _agree(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    gap = float((one.double() - other.double()).abs().max()) if one.numel() else 0.0
    return math.isfinite(gap) and gap <= TOLERANCE * (1 + float(other.double().abs().max()))


def _randomised(module: nn.Module) -> nn.Module:
    """A copy whose weights are random and of ordinary size, so that no channel is silent by chance."""
    drawn = copy.deepcopy(module).eval()
    generator = torch.Generator().manual_seed(0)
    statistics = [each for name, each in drawn.named_buffers() if name.endswith(("running_mean", "running_var"))]
    with torch.no_grad():
        for each in (*drawn.parameters(), *statistics):
            if not each.is_floating_point():
                continue
            if each.ndim > 1:
                each.copy_(torch.randn(each.shape, generator=generator) / math.sqrt(max(each[0].numel(), 1)))
            else:
                each.copy_(torch.rand(each.shape, generator=generator) + 0.5)
    return drawn


def _sets(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups by what must shrink together."""
    found: dict[str, list[Group]] = {}
    for each in groups:
        found.setdefault(each.alike or f" {each.name}", []).append(each)
    return list(found.values())


def _with_fitting_attributes(trial: _Trial, anatomy: Anatomy) -> Anatomy:
    """Drop guessed attributes whose change does harm: each that can be left out while its groups then work."""
    guessed = [each for each in anatomy.held if not each.is_certain]
    for each in guessed:
        groups = [group for group in anatomy.groups if group.name in each.axis.channels]
        if groups and trial.failure(anatomy, groups) is not None:
            without = replace(anatomy, held=tuple(held for held in anatomy.held if held is not each))
            if trial.failure(without, groups) is None:
                anatomy = without
    return anatomy


def _tied(anatomy: Anatomy, failed: Mapping[str, Any]) -> Anatomy | None:
    """The groups that failed, tied to shrink in proportion; None where their sizes have no common measure."""
    sizes = [anatomy.group(name).size for name in failed]
    if len(sizes) < 2 or any(size % min(sizes) for size in sizes):
        return None
    word = next(iter(failed))
    groups = tuple(
        replace(each, alike=word, step=each.size // min(sizes)) if each.name in failed else each
        for each in anatomy.groups
    )
    return replace(anatomy, groups=groups)
