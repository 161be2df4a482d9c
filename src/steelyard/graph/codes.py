"""Arrays of few values as positions and codebook indices through the arithmetic coder, exactly and back.

An array is seen as a matrix. Rows and columns that hold zeros alone are named first; in those that are left each
cell says whether it is zero, then its sign, then which codebook entry it is. What is likely is learned along the way
from the cell's row, its column and its neighbours.

References:
    S. Wiedemann et al., DeepCABAC: a universal compression algorithm for deep neural networks, IEEE Journal of
    Selected Topics in Signal Processing 14(4), 2020: binarisation and contexts by neighbours.
"""

from dataclasses import dataclass

import numpy as np

from steelyard.core.task import Array
from steelyard.graph.rangecoder import Coder, Mixture, code_bits, code_number

MOST_ENTRIES = 1024
"""Entries of a codebook: with more of them, an array is no longer of few values."""
_KINDS = ("grid", "half", "brain", "full")
"""How a codebook is stored: multiples of a step, float16, the upper half of float32, or all bits."""
_WIDTHS = {"half": 16, "brain": 16}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a matrix is walked: along columns instead of rows, and how far its second and third neighbours lie back."""

    is_turned: bool = False
    stride: int = 0
    plane: int = 0


def code_array(coder: Coder, values: Array, layout: Layout) -> None:
    """Code an array of few values: its codebook, its layout, its cells.

    Args:
        coder: a writer; or a reader, which fills `values`, given with zeros.
        values: bit patterns, unsigned whole numbers, of any shape; 0 is the pattern of zero.
        layout: how to walk it; a reader finds its own.
    """
    if not values.size:
        return
    book = _code_book(coder, values)
    layout = _code_layout(coder, layout)
    matrix = as_matrix(values)
    matrix = matrix.T if layout.is_turned else matrix
    cells = np.searchsorted(book.patterns, matrix)
    if len(book.patterns) > 1:
        code_cells(coder, cells, Alphabet(book.positives, len(book.patterns) - 1 - book.positives), layout)
    matrix[...] = book.patterns[cells]


def as_matrix(values: Array) -> Array:
    """A view (rows, columns) of an array: its first axis against the others."""
    return values.reshape(1, -1) if values.ndim < 2 else values.reshape(values.shape[0], -1)


@dataclass(frozen=True, slots=True)
class _Book:
    """Bit patterns in their order as whole numbers: zero, then those of positives, then those of negatives.

    Within a sign they ascend in magnitude, since the upper bits of a float are its exponent.
    """

    patterns: Array
    positives: int


def book_of(values: Array) -> _Book:
    """The codebook of bit patterns that an array holds."""
    found = np.unique(values)
    found = found[found != 0]
    positives = int((found >> (8 * values.dtype.itemsize - 1) == 0).sum())
    return _Book(np.concatenate([np.zeros(1, values.dtype), found]), positives)


def _code_book(coder: Coder, values: Array) -> _Book:
    """The codebook: how many entries, how they are stored, then each."""
    book = book_of(values)
    positives = code_number(coder, book.positives, 11)
    count = positives + code_number(coder, len(book.patterns) - 1 - book.positives, 11)
    # A reader has no entries yet; zeros stand for them.
    entries = book.patterns[1:] if len(book.patterns) > 1 else np.zeros(count, values.dtype)
    kind = "full"
    if count and values.dtype.itemsize == 4:
        kind = _KINDS[code_bits(coder, _KINDS.index(_kind_of(entries)), 2)]
    if kind == "grid":
        entries = _code_grid(coder, entries, positives)
    else:
        bits = _WIDTHS.get(kind, 8 * values.dtype.itemsize)
        found = [code_bits(coder, int(each), bits) for each in _narrowed(entries, kind)]
        entries = _widened(np.array(found, np.uint64), kind, values.dtype)
    return _Book(np.concatenate([np.zeros(1, values.dtype), entries]), positives)


def _kind_of(entries: Array) -> str:
    """The shortest way to store the codebook that gives exactly its bits back."""
    if _step_of(entries) is not None:
        return "grid"
    for kind in ("half", "brain"):
        if np.array_equal(_widened(_narrowed(entries, kind), kind, entries.dtype), entries):
            return kind
    return "full"


def _narrowed(entries: Array, kind: str) -> Array:
    if kind == "half":
        with np.errstate(over="ignore", invalid="ignore"):
            return entries.view(np.float32).astype(np.float16).view(np.uint16).astype(np.uint64)
    return entries.astype(np.uint64) >> np.uint64(16 if kind == "brain" else 0)


def _widened(stored: Array, kind: str, dtype: np.dtype) -> Array:
    if kind == "half":
        with np.errstate(invalid="ignore"):
            return stored.astype(np.uint16).view(np.float16).astype(np.float32).view(dtype)
    return (stored << np.uint64(16 if kind == "brain" else 0)).astype(dtype)


def _step_of(entries: Array) -> np.float32 | None:
    """The step whose whole multiples the entries are, bit for bit; None where there is none."""
    values = entries.view(np.float32)
    if not np.isfinite(values).all():
        return None
    smallest, largest = np.abs(values).min(), np.abs(values).max()
    for part in (1, 2):
        step = np.float32(smallest / part)
        if step == 0 or float(largest) > MOST_ENTRIES * float(step):
            return None
        if np.array_equal((np.rint(values / step) * step).view(entries.dtype), entries):
            return step
    return None


def _code_grid(coder: Coder, entries: Array, positives: int) -> Array:
    """Entries that are multiples of a step: the step in 16 bits where they suffice, then how far apart they are."""
    step = _step_of(entries) if entries.any() else None
    multiples = np.zeros(len(entries)) if step is None else np.abs(np.rint(entries.view(np.float32) / step))
    pattern = 0 if step is None else int(np.array(step).view(np.uint32))
    shift = 0 if coder.code(1 << 15, int(pattern & 0xFFFF != 0)) else 16
    pattern = code_bits(coder, pattern >> shift, 32 - shift) << shift
    found, last = [], 0
    for place, each in enumerate(multiples.tolist()):
        last = 0 if place == positives else last
        last += code_number(coder, max(0, int(each) - last - 1), 11) + 1
        found.append(last if place < positives else -last)
    # A hostile step may be any number; what it gives is as harmless as any other weight.
    with np.errstate(all="ignore"):
        return (np.array(found, np.float32) * np.array(pattern, np.uint32).view(np.float32)).view(entries.dtype)


def _code_layout(coder: Coder, layout: Layout) -> Layout:
    """Which way a matrix is walked, and its strides."""
    turned = coder.code(1 << 15, int(layout.is_turned))
    stride = code_number(coder, layout.stride, 31)
    return Layout(bool(turned), stride, code_number(coder, layout.plane, 31) if stride else 0)


@dataclass(frozen=True, slots=True)
class Alphabet:
    """What a cell may hold: 0, then so many indices of positives, then of negatives, each from zero outwards."""

    positives: int
    negatives: int


def code_cells(coder: Coder, cells: Array, alphabet: Alphabet, layout: Layout) -> None:
    """Code a matrix of codebook indices; a reader fills it, given with zeros."""
    rows = _code_alive(coder, np.asarray(cells.any(axis=1)))
    columns = _code_alive(coder, np.asarray(cells[rows].any(axis=0)))
    walk = _Walk(cells.shape[1], len(rows), len(columns), alphabet, layout)
    above = [0] * (cells.shape[1] + 2)
    for number, row in enumerate(rows):
        line = [0] * (cells.shape[1] + 2)
        known = cells[row].tolist()
        for place, column in enumerate(columns):
            line[column] = walk.code(coder, known[column], (number, place, column), line, above)
        cells[row] = line[:-2]
        above = line


def _code_alive(coder: Coder, alive: Array) -> list[int]:
    """Indices of the lines that hold anything but zeros."""
    mixture, found, past = Mixture(8, 2), [], 0
    for number, each in enumerate(alive.tolist()):
        bit = mixture.code(coder, (past & 1, 2 + (past & 3)), int(each))
        past = past << 1 | bit
        if bit:
            found.append(number)
    return found


def _dense(count: int, of: int) -> int:
    """In which of 9 classes a share of cells that are not zero falls, each twice the one before."""
    return min(8, (32 * count // of).bit_length() + (count > 0))


_CLASSES = 9
_NEAR = 32


class _Walk:
    """Codes cell after cell, each in the light of those before it."""

    __slots__ = (
        "_alphabet",
        "_columns",
        "_counts",
        "_filled",
        "_level",
        "_plane",
        "_sign",
        "_starts",
        "_stride",
        "_zero",
    )

    def __init__(self, width: int, rows: int, columns: int, alphabet: Alphabet, layout: Layout) -> None:
        self._alphabet, self._columns = alphabet, columns
        self._stride, self._plane = layout.stride or width + 1, layout.plane or width + 1
        self._counts, self._filled = [0] * columns, 0
        lines = columns + rows
        self._starts = (lines, lines + _NEAR, lines + _NEAR + _CLASSES**2)
        self._zero = Mixture(lines + _NEAR + _CLASSES**2 + 10, 5)
        self._sign = Mixture(27 + lines, 3)
        self._level = Mixture(2 * 4 * 2 * MOST_ENTRIES, 2)

    def code(self, coder: Coder, known: int, spot: tuple[int, int, int], line: list[int], above: list[int]) -> int:
        """One cell: whether it is zero, its sign, its entry.

        `spot` is its row and its column among those that hold anything, and its column among all.
        """
        row, place, column = spot
        stride, plane = self._stride, self._plane
        left, second, over = line[column - 1], line[column - 2], above[column]
        up, aside = (line[column - stride], line[column - stride + 1]) if column >= stride else (0, 0)
        back = line[column - plane] if column >= plane else 0
        near = (left != 0) | (up != 0) << 1 | (over != 0) << 2 | (back != 0) << 3 | (second != 0) << 4
        many = near.bit_count() + (aside != 0) + (above[column - 1] != 0) + (above[column + 1] != 0)
        if not place:
            self._filled = 0
        by_near, by_share, by_many = self._starts
        share = _CLASSES * _dense(self._counts[place], row + 1) + _dense(self._filled, place + 1)
        asked = (place, self._columns + row, by_near + near, by_share + share, by_many + many)
        if not self._zero.code(coder, asked, int(known != 0)):
            return 0
        self._counts[place] += 1
        self._filled += 1
        return self._entry(coder, known, (left, up, over), 27 + place, 27 + self._columns + row)

    def _entry(self, coder: Coder, known: int, near: tuple[int, int, int], column: int, row: int) -> int:
        """A cell that is not zero: its sign where there are two, then its entry of that sign."""
        positives, negatives = self._alphabet.positives, self._alphabet.negatives
        is_negative = int(not positives)
        if positives and negatives:
            signs = sum((0 if not each else 1 if each <= positives else 2) * 3**i for i, each in enumerate(near))
            is_negative = self._sign.code(coder, (signs, column, row), int(known > positives))
        below = positives if is_negative else 0
        width = ((negatives if is_negative else positives) - 1).bit_length()
        largest = max(each - positives if each > positives else each for each in near)
        wanted, node = max(0, known - below - 1), 1
        for place in range(width - 1, -1, -1):
            alone = 2 * node + is_negative
            asked = (alone, (1 + min(largest, 2)) * 2 * MOST_ENTRIES * 2 + alone)
            node = node << 1 | self._level.code(coder, asked, wanted >> place & 1)
        entry = below + 1 + node - (1 << width)
        if entry > positives + negatives:
            raise ValueError("an index lies outside its codebook")
        return entry
