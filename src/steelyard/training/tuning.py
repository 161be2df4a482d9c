"""How a model learns whose layers know something already: all of it, the known part gently, or the rest alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

How = Literal["all", "head"]
HOW: tuple[How, ...] = ("all", "head")
GENTLE = 0.1
"""The share of the learning rate that taken over weights learn at.

Layers that were learned on other data need less change than a new last layer: J. Howard and S. Ruder, Universal
language model fine-tuning for text classification, ACL 2018, section 3.2, lower the rate by the layer.
"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Which parameters start from trained weights, by name, and whether they learn (`all`) or stay (`head`)."""

    taken: frozenset[str]
    how: How = "all"

    def freeze(self, body: nn.Module) -> None:
        """Where they stay: take their gradients away."""
        for name, each in body.named_parameters():
            if name in self.taken and self.how == "head":
                each.requires_grad_(False)


def learning_groups(body: nn.Module, tuning: Tuning | None) -> list[dict[str, Any]]:
    """The parameters that learn, in groups of an optimiser; `share` is that of the rate that a group learns at."""
    learns = {name: each for name, each in body.named_parameters() if each.requires_grad}
    if tuning is None:
        return [{"params": list(learns.values()), "share": 1.0}]
    known = [each for name, each in learns.items() if name in tuning.taken]
    fresh = [each for name, each in learns.items() if name not in tuning.taken]
    groups = [{"params": fresh, "share": 1.0}, {"params": known, "share": GENTLE if fresh else 1.0}]
    return [each for each in groups if each["params"]]


def set_rate(groups: Iterable[dict[str, Any]], rate: float) -> None:
    """Have every group of an optimiser learn at its share of a rate."""
    for group in groups:
        group["lr"] = rate * group.get("share", 1.0)


def train_mode(body: nn.Module, tuning: Tuning | None) -> None:
    """Training mode for what learns; layers that stay keep their statistics too."""
    body.train()
    if tuning is None or tuning.how != "head":
        return
    for prefix, each in body.named_modules():
        own = [f"{prefix}.{name}" if prefix else name for name, _ in each.named_parameters(recurse=False)]
        if own and all(name in tuning.taken for name in own):
            each.eval()
