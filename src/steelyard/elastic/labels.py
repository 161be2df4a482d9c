"""Labels of channels: which elements of which tensors live and die together, as a union of sets.

Label 0 is no label: an element that no choice of channels removes.
"""

from dataclasses import dataclass, field

import numpy as np

from steelyard.core.task import Array

RAW = -1
"""The origin of labels that stand for single elements of a stored tensor, before they meet a channel."""
_SHIFT = 32
"""Two labels are packed into one 64-bit number, so that pairs are made unique by one sort."""


@dataclass(slots=True)
class Labels:
    """A growing union-find over labels; each belongs to an origin, the operator that made its channels.

    `origins` names the operators in the order they were met, `fixed` holds why a label can't be removed, `alike` sets
    of origins of which the same number of channels must be kept.
    """

    parent: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    origin: Array = field(default_factory=lambda: np.full(1, RAW, np.int64))
    origins: list[str] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)
    alike: list[tuple[int, ...]] = field(default_factory=list)

    def fresh(self, count: int, name: str | None = None) -> Array:
        """New labels (count,) of one origin, or raw ones where there is no name."""
        origin = RAW
        if name is not None:
            origin = len(self.origins)
            self.origins.append(name)
        start = len(self.parent)
        made = np.arange(start, start + count)
        self.parent = np.concatenate([self.parent, made])
        self.origin = np.concatenate([self.origin, np.full(count, origin, np.int64)])
        return made

    def find(self, labels: Array) -> Array:
        """The root of each label, any shape. Amortised O(n)."""
        roots = self.parent[labels]
        while True:
            above = self.parent[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self.parent[labels] = roots
        return roots

    def union(self, one: Array, other: Array) -> None:
        """Unite labels pairwise (arrays of one shape); pairs with a 0 are left alone. O(n log n)."""
        a, b = self.find(one).ravel(), self.find(other).ravel()
        differs = a != b
        if not differs.any():
            return
        pairs = np.unique((a[differs] << _SHIFT) | b[differs])
        for a, b in zip((pairs >> _SHIFT).tolist(), (pairs & ((1 << _SHIFT) - 1)).tolist(), strict=True):
            if a and b:
                self._join(a, b)

    def _join(self, one: int, other: int) -> None:
        a, b = self._root(one), self._root(other)
        if a == b:
            return
        # A root that an operator made wins over a raw one, and an older one over a younger: names stay in order.
        if (self.origin[b] != RAW, -b) > (self.origin[a] != RAW, -a):
            a, b = b, a
        self.parent[b] = a

    def _root(self, label: int) -> int:
        while self.parent[label] != label:
            label = int(self.parent[label])
        return label

    def fix(self, labels: Array, reason: str) -> None:
        """Say that labels can't be removed, and why; the first reason stays."""
        for label in np.unique(labels).tolist():
            if label:
                self.fixed.setdefault(label, reason)
