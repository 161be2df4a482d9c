"""Structured pruning: channels, neurons, heads, recurrent units and residual blocks go, and the graph shrinks."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from steelyard.core.errors import InputError, SteelyardError
from steelyard.core.task import Array
from steelyard.core.wire import Plain
from steelyard.elastic.allocation import Of, by_macs, by_ratio, by_sizes
from steelyard.elastic.blocks import blocks_of, without_block
from steelyard.elastic.extraction import extracted
from steelyard.elastic.groups import Anatomy
from steelyard.elastic.importance import BATCH, KINDS, Importance, scores_of
from steelyard.elastic.statistics import reestimate_norms
from steelyard.elastic.trying import anatomy_of
from steelyard.training.lesson import Lesson, first_output

Scope = Literal["global", "uniform"]
_SIZES = re.compile(r"[1-9][0-9]*(-[1-9][0-9]*)*\Z")


@dataclass(frozen=True, slots=True)
class Prune:
    """Removes the least important channels for good; nothing is learned afterwards but batch norm's statistics.

    Attributes:
        keep: the share of multiply-accumulates, or of the rough time, that is left at most, in (0, 1]; or
        ratio: the share of channels that every group loses, in [0, 1); or
        sizes: how many channels are kept of each set of groups that shrink together, such as `16-32-48`. Exactly one of
            the three is given.
        importance: `taylor`, `magnitude`, `activation` or `random`: see `steelyard.elastic.importance`.
        scope: with `keep`: `global` takes where a multiply-accumulate costs least, `uniform` from all groups alike.
        of: with `keep`: a share of the multiply-accumulates, or of the time that kernels take for them, for reading
            weights and for writing results, one row an inference.
        round_to: sizes are multiples of it in groups that are large enough.
        blocks: how many residual blocks go first, those that the loss needs least.
        name: the step's name.
    """

    keep: float | None = None
    ratio: float | None = None
    sizes: str | None = None
    importance: Importance = "taylor"
    scope: Scope = "global"
    of: Of = "macs"
    round_to: int = 8
    blocks: int = 0
    name: str = "prune"
    learns: ClassVar[bool] = False
    keeps_structure: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            InputError: if a setting is out of its range.
        """
        if self.sizes is not None and (self.keep is not None or self.ratio is not None or not _SIZES.match(self.sizes)):
            raise InputError(
                "'sizes' must be whole numbers such as 16-32-48, without 'keep' and 'ratio', "
                f"got sizes={self.sizes!r}, keep={self.keep!r} and ratio={self.ratio!r}.",
                field="sizes",
            )
        if self.sizes is None and (self.keep is None) == (self.ratio is None):
            raise InputError(
                "'keep' (share of multiply-accumulates left) or 'ratio' (share of channels removed) must be given, not "
                f"both, got keep={self.keep!r} and ratio={self.ratio!r}.",
                field="keep",
            )
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InputError(f"'keep' must be above 0 and at most 1, got {self.keep!r}.", field="keep")
        if self.ratio is not None and not 0 <= self.ratio < 1:
            raise InputError(f"'ratio' must be at least 0 and below 1, got {self.ratio!r}.", field="ratio")
        if self.importance not in KINDS:
            raise InputError(f"'importance' must be one of {', '.join(KINDS)}, got {self.importance!r}.")
        if self.scope not in ("global", "uniform"):
            raise InputError(f"'scope' must be global or uniform, got {self.scope!r}.", field="scope")
        if self.of not in ("macs", "time"):
            raise InputError(f"'of' must be macs or time, got {self.of!r}.", field="of")
        for field in ("round_to", "blocks"):
            value = getattr(self, field)
            least = 1 if field == "round_to" else 0
            if not isinstance(value, int) or value < least:
                raise InputError(f"'{field}' must be a whole number of at least {least}, got {value!r}.", field=field)

    def apply(self, module: nn.Module, lesson: Lesson) -> tuple[nn.Module, Plain]:
        """A smaller copy, and what was done: sizes before and after, groups, and what was refused and why.

        Raises:
            SteelyardError: if the module has no channels that can go.
            InputError: if its graph can't be traced.
        """
        example = lesson.example()
        whole = anatomy_of(module, example)
        before = {"macs": whole.macs({}), "parameters": _parameters(module)}
        dropped: list[str] = []
        if self.blocks:
            module, dropped = _without_blocks(module, lesson, self.blocks)
        anatomy = anatomy_of(module, example) if dropped else whole
        if not anatomy.groups and not dropped:
            raise SteelyardError(_nothing(module, anatomy))
        kept = self._kept(module, anatomy, lesson, before["macs"])
        small = extracted(module, anatomy, kept)
        norms = reestimate_norms(small, lesson)
        told = {**pruning_told(module, anatomy, kept, small), "blocks_dropped": dropped, "norms_reestimated": norms}
        return small, {**told, "macs_before": before["macs"], "parameters_before": before["parameters"]}

    def _kept(self, module: nn.Module, anatomy: Anatomy, lesson: Lesson, macs: float) -> Mapping[str, Array]:
        if not anatomy.groups:
            return {}
        scores = scores_of(module, anatomy, lesson, self.importance)
        if self.sizes is not None:
            return by_sizes(anatomy, scores, sizes_of(self.sizes))
        if self.ratio is not None:
            return by_ratio(anatomy, scores, self.ratio, round_to=self.round_to)
        # Dropped blocks have taken their share of the whole already.
        share = min(1.0, (self.keep or 1.0) * macs / max(anatomy.macs({}), 1.0))
        return by_macs(anatomy, scores, share, is_global=self.scope == "global", round_to=self.round_to, of=self.of)


def sizes_of(text: str) -> tuple[int, ...]:
    """The sizes that a setting names: `16-32-48`."""
    return tuple(int(each) for each in text.split("-"))


def sizes_text(sizes: Sequence[int]) -> str:
    """Sizes as the setting of a step."""
    return "-".join(str(each) for each in sizes)


def pruning_told(module: nn.Module, anatomy: Anatomy, kept: Mapping[str, Array], small: nn.Module) -> dict[str, Any]:
    """What became of a module: sizes before and after, groups, and what was refused and why."""
    return {
        "macs_before": anatomy.macs({}),
        "macs_after": anatomy.macs(kept),
        "parameters_before": _parameters(module),
        "parameters_after": _parameters(small),
        "groups": {each.name: [each.size, len(kept[each.name])] for each in anatomy.groups},
        "refused": dict(anatomy.refused),
    }


def _parameters(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def _nothing(module: nn.Module, anatomy: Anatomy) -> str:
    """The sentence for a module without groups: what layers it has, and the first reason."""
    leaves = (each for each in module.modules() if not list(each.children()))
    kinds = Counter(type(each).__name__ for each in leaves if list(each.parameters()))
    held = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no layer with weights"
    why = next((f" ({name}: {reason})" for name, reason in anatomy.refused.items()), "")
    return f"prune found no channels that can go: the module holds {held}, and its last layer's outputs stay{why}."


def _without_blocks(module: nn.Module, lesson: Lesson, count: int) -> tuple[nn.Module, list[str]]:
    """A copy without the blocks whose going harms least, one after the other."""
    dropped: list[str] = []
    for _ in range(count):
        found = blocks_of(module, lesson.example())
        if not found:
            break
        harms = {name: _harm(without_block(module, name), lesson) for name in found}
        least = min(harms, key=lambda name: harms[name])
        module = without_block(module, least)
        dropped.append(least)
    return module, dropped


def _harm(module: Any, lesson: Lesson) -> float:
    """The loss on some training rows, or without labels the mean squared distance from the teacher."""
    reestimate_norms(module, lesson, BATCH * 8)
    module.eval()
    teacher = lesson.teacher.eval()
    total = 0.0
    with torch.no_grad():
        for count, (inputs, targets) in enumerate(lesson.batches(BATCH), 1):
            out = first_output(module(*inputs))
            if lesson.loss is not None and targets is not None:
                total += float(lesson.loss(out, targets))
            else:
                total += float((out - first_output(teacher(*inputs))).square().mean())
            if count == 8:
                return total / count
    return total / max(count, 1)


PRUNE = Prune(keep=0.5)
"""The entry of the registry."""
