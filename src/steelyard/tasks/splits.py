"""Train, valid and test: obeyed where the data name them, else made, seeded and stated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from steelyard.core.errors import DataError
from steelyard.core.task import Array

SPLITS = ("train", "valid", "test")
"""The splits, in the order of their codes."""

DEFAULT_SHARES = (0.60, 0.15, 0.25)
"""Shares of rows where no split is given (design of the command line)."""

_SPELLINGS = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("valid", "validation", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}


@final
@dataclass(frozen=True, slots=True)
class Partition:
    """Row numbers of each split, and one sentence on where they come from."""

    train: Array
    valid: Array
    test: Array
    how: str


def split_code(text: str) -> int | None:
    """0 for train, 1 for valid, 2 for test, in the spellings people use; None for any other text."""
    return _SPELLINGS.get(text.strip().lower())


def split_codes(names: Sequence[object], *, origin: str, column: str) -> Array:
    """The code of every row from its split's name.

    Raises:
        DataError: if a row names none of the three.
    """
    known = {name: split_code(name) if isinstance(name, str) else None for name in set(names)}
    for row, name in enumerate(names):
        if known[name] is None:
            raise DataError(
                f"column {column!r} of {origin} must hold train, valid or test, got {name!r} in row {row + 1}; "
                "correct it or name another column with --split-by.",
                field="split-by",
            )
    return np.array([known[name] for name in names], dtype=np.int64)


def partition(
    strata: Array,
    *,
    origin: str,
    seed: int,
    given: Array | None = None,
    groups: Array | None = None,
    order: Array | None = None,
    shares: tuple[float, float, float] = DEFAULT_SHARES,
) -> Partition:
    """Row numbers of the three splits.

    Args:
        strata: what to balance the splits by, (n,) integers: class indices, or bins of a value.
        origin: the file's name, for messages.
        seed: of the splits that are made.
        given: split codes (n,), or None where the data name no split.
        groups: rows with the same number never straddle splits; (n,) integers or None.
        order: (n,) ranks; the splits follow them instead of being drawn.
        shares: of train, valid and test, where all three are made.

    Raises:
        DataError: if a split would be empty, or a group straddles given splits.
    """
    present = set() if given is None else {SPLITS[code] for code in np.unique(given)}
    if given is not None and "train" not in present:
        raise DataError(f"{origin} must name rows to train on, got only {' and '.join(sorted(present))}; add them.")
    rows = np.arange(len(strata))
    lot = Lot(strata=strata, groups=groups, seed=seed, origin=origin)
    if order is not None:
        result = _ordered(order, shares, origin)
    elif given is None or present == {"train"}:
        train, valid, test = lot.divide(rows, shares)
        result = Partition(train, valid, test, f"{_percent(shares)} % train/valid/test, {lot.manner}")
    else:
        train, valid, test = (rows[given == code] for code in range(3))
        result = _completed(train, valid, test, lot)
    if groups is not None:
        _check_groups(result, groups, origin)
    return result


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Draws rows into parts: `strata` (n,) keep their shares, `groups` (n,) stay whole, `origin` names the file."""

    strata: Array
    groups: Array | None
    seed: int
    origin: str

    @property
    def manner(self) -> str:
        """How rows are drawn, for people."""
        return f"stratified, {'groups kept whole, ' if self.groups is not None else ''}seed {self.seed}"

    def divide(self, rows: Array, shares: Sequence[float]) -> tuple[Array, ...]:
        """Row numbers drawn into `len(shares)` parts. O(n log n).

        Every unit (a row, or a group of rows) gets its relative rank within its stratum, in shuffled order; sorting
        all units by that rank interleaves the strata, and cutting the sorted rows by the shares gives every part its
        share of every stratum, within one unit.

        Raises:
            DataError: if there are fewer units than parts.
        """
        unit = rows if self.groups is None else self.groups[rows]
        names, first, inverse, sizes = np.unique(unit, return_index=True, return_inverse=True, return_counts=True)
        if len(names) < len(shares):
            what = "rows" if self.groups is None else "groups"
            raise DataError(
                f"{self.origin} must have at least {len(shares)} {what} to be split, got {len(names)}; add {what}.",
                field="data" if self.groups is None else "group",
            )
        strata = self.strata[rows]
        stratum = strata[first] if self.groups is None else _majority(strata, inverse, len(names))
        rng = np.random.default_rng(self.seed)
        shuffled = rng.permutation(len(names))
        rank = _ranks(stratum, sizes, shuffled)
        in_order = shuffled[np.argsort(rank[shuffled], kind="stable")]
        part = np.empty(len(names), dtype=np.int64)
        for code, members in enumerate(np.split(in_order, _cuts(sizes[in_order], shares))):
            part[members] = code
        # Rows leave shuffled: calibration reads the first of them and must meet every class.
        mixed = rng.permutation(len(rows))
        return tuple(rows[mixed[part[inverse[mixed]] == code]] for code in range(len(shares)))


def _completed(train: Array, valid: Array, test: Array, lot: Lot) -> Partition:
    """Given splits; the one that is missing is carved out of its neighbour."""
    if len(valid) and len(test):
        return Partition(train, valid, test, "train, valid and test as the data name them")
    if len(test):
        # 15/75: what valid would have been had all three been made.
        train, valid = lot.divide(train, (0.8, 0.2))
        return Partition(train, valid, test, f"test as given; valid: 20 % of train, {lot.manner}")
    valid, test = lot.divide(valid, (0.5, 0.5))
    return Partition(train, valid, test, f"train as given; test: half of valid, {lot.manner}")


def _ranks(stratum: Array, sizes: Array, shuffled: Array) -> Array:
    """The relative rank, in (0, 1), of each unit's middle row within its stratum."""
    rank = np.empty(len(stratum))
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    for members in np.split(by_stratum, np.flatnonzero(np.diff(stratum[by_stratum])) + 1):
        ends = np.cumsum(sizes[members])
        rank[members] = (ends - sizes[members] / 2) / ends[-1]
    return rank


def _cuts(sizes: Array, shares: Sequence[float]) -> list[int]:
    """Where to cut units of these sizes so that the parts hold their shares, no part empty."""
    ends = np.cumsum(sizes)
    middle = (ends - sizes / 2) / ends[-1]
    cuts: list[int] = []
    for code, until in enumerate(np.cumsum(shares)[:-1], start=1):
        lowest = cuts[-1] + 1 if cuts else 1
        highest = len(sizes) - (len(shares) - code)
        cuts.append(int(min(max(np.searchsorted(middle, until), lowest), highest)))
    return cuts


def _majority(strata: Array, group: Array, groups: int) -> Array:
    """The commonest stratum of each group (the lowest where two are as common)."""
    kinds, codes = np.unique(strata, return_inverse=True)
    pairs, counts = np.unique(group * len(kinds) + codes, return_counts=True)
    best = np.lexsort((-pairs, counts))
    result = np.empty(groups, dtype=np.int64)
    result[pairs[best] // len(kinds)] = pairs[best] % len(kinds)
    return result


def _ordered(order: Array, shares: Sequence[float], origin: str) -> Partition:
    """The first rows in the given order train, the next judge, the last prove."""
    if len(order) < len(shares):
        raise DataError(f"{origin} must have at least {len(shares)} rows to be split, got {len(order)}; add rows.")
    rows = np.argsort(order, kind="stable")
    train, valid, test = np.split(rows, _cuts(np.ones(len(rows)), shares))
    first, second, third = (round(100 * share) for share in shares)
    how = f"in order: the first {first} % train, the next {second} % valid, the last {third} % test"
    return Partition(train, valid, test, how)


def _check_groups(parts: Partition, groups: Array, origin: str) -> None:
    """Refuse given splits that share a group."""
    held = [set(np.unique(groups[rows]).tolist()) for rows in (parts.train, parts.valid, parts.test)]
    shared = (held[0] & held[1]) | (held[0] & held[2]) | (held[1] & held[2])
    if shared:
        raise DataError(
            f"{origin} must keep every group within one split, but {len(shared)} of its groups stand in two or more; "
            "mend the splits or leave out --group.",
            field="group",
        )


def _percent(shares: Sequence[float]) -> str:
    """For people: 60/15/25."""
    return "/".join(f"{100 * share:g}" for share in shares)
