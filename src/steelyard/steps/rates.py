"""What codebook indices take to encode: bits by how often each occurs, and where."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prices:
    """Bits of each entry in each place of a tensor, as an adaptive coder would need them.

    Whether a weight is zero depends on its row and its column: a coder knows how many others of each are not. Which
    entry it has, if not zero, depends on the entry alone.

    Attributes:
        taken: indices, of any shape; the first axis counts as rows, the others as columns.
        zero: the index of zero.
        filled: the chance that a weight is not zero, in each place.
        entries: bits of each entry, given that it is not zero.
    """

    taken: Tensor
    zero: int
    filled: Tensor
    entries: Tensor

    @classmethod
    def of(cls, taken: Tensor, zero: int, entries: int) -> "Prices":
        """The prices that the present choice makes."""
        used = (taken != zero).float().reshape(taken.shape[0] if taken.ndim > 1 else 1, -1)
        rows, columns = used.shape
        whole = (used.sum() + 0.5) / (used.numel() + 1)
        # Each line's share is drawn towards the whole's by the weight of two places.
        row = (used.sum(1, keepdim=True) + 2 * whole) / (columns + 2)
        column = (used.sum(0, keepdim=True) + 2 * whole) / (rows + 2)
        odds = row / (1 - row) * column / (1 - column) / (whole / (1 - whole))
        counts = torch.bincount(taken.flatten(), minlength=entries).float()
        counts[zero] = 0
        counts = counts + 0.5
        counts[zero] = 0
        shares = counts / counts.sum()
        bits = -torch.log2(shares.clamp_min(1e-9))
        return cls(taken, zero, (odds / (1 + odds)).reshape(taken.shape), bits)

    def bits(self) -> Tensor:
        """Bits of taking each entry (..., entries), in each place (...)."""
        chance = self.filled.clamp(1e-6, 1 - 1e-6)[..., None]
        bits = self.entries - torch.log2(chance)
        bits[..., self.zero] = -torch.log2(1 - chance[..., 0])
        return bits

    def total(self) -> float:
        """Bits of the present choice."""
        chance = self.filled.clamp(1e-6, 1 - 1e-6)
        used = self.taken != self.zero
        found = -torch.log2(torch.where(used, chance, 1 - chance)).sum() + self.entries[self.taken[used]].sum()
        return float(found)


def entropy_bits(taken: Tensor) -> float:
    """Bits of all indices by how often each occurs alone."""
    counts = torch.bincount(taken.flatten()).double()
    counts = counts[counts > 0]
    return float(-(counts * torch.log2(counts / counts.sum())).sum())
