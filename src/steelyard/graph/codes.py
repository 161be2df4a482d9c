"""Arrays of few values as positions and codebook indices through the arithmetic coder, exactly and back.

An array is seen as a matrix. Rows and columns that hold zeros alone are named first; in those that are left each
cell says whether it is zero, then its sign, then which codebook entry it is. What is likely is learned along the way
from the cell's row, its column and its neighbours.

References:
    S. Wiedemann et al., DeepCABAC: a universal compression algorithm for deep neural networks, IEEE Journal of
    Selected Topics in Signal Processing 14(4), 2020: binarisation and contexts by neighbours.
"""

import math
from dataclasses import dataclass

import numpy as np

from steelyard.core.task import Array
from steelyard.graph.rangecoder import BitWriter, Coder, Mixture, code_bits, code_number

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
    places = np.searchsorted(book.patterns, matrix, sorter=book.order)
    cells = book.order[np.minimum(places, len(book.order) - 1)].astype(np.int64)
    filled = _code_cells(coder, cells, book.negatives, len(book.patterns) - 1, layout)
    matrix[...] = book.patterns[filled]


def as_matrix(values: Array) -> Array:
    """A view (rows, columns) of an array: its first axis against the others."""
    return values.reshape(1, -1) if values.ndim < 2 else values.reshape(values.shape[0], -1)


@dataclass(frozen=True, slots=True)
class _Book:
    """Bit patterns by index: 0 is zero, then the negatives from zero down, then the positives from zero up."""

    patterns: Array
    negatives: int

    @property
    def order(self) -> Array:
        """Indices that sort the patterns."""
        return np.argsort(self.patterns)


def book_of(values: Array) -> _Book:
    """The codebook of bit patterns that an array holds."""
    found = np.unique(values)
    found = found[found != 0]
    sign = found >> (8 * values.dtype.itemsize - 1) != 0
    negatives, positives = found[sign], found[~sign]
    return _Book(np.concatenate([np.zeros(1, values.dtype), negatives, positives]), len(negatives))


def _code_book(coder: Coder, values: Array) -> _Book:
    """The codebook: how many entries, how they are stored, then each."""
    book = book_of(values)
    width = 8 * values.dtype.itemsize
    negatives = code_number(coder, book.negatives, 11)
    positives = code_number(coder, len(book.patterns) - 1 - book.negatives, 11)
    count = negatives + positives
    if not count:
        return _Book(np.zeros(1, values.dtype), 0)
    entries = book.patterns[1:]
    kind = _KINDS[code_bits(coder, _KINDS.index(_kind_of(entries)), 2)] if width == 32 else "full"
    if kind == "grid":
        entries = _code_grid(coder, entries, negatives, positives)
    else:
        bits = _WIDTHS.get(kind, width)
        stored = _narrowed(entries, kind) if len(entries) == count else np.zeros(count, np.uint64)
        stored = np.array([code_bits(coder, int(each), bits) for each in stored], np.uint64)
        entries = _widened(stored, kind, values.dtype)
    return _Book(np.concatenate([np.zeros(1, values.dtype), entries]), negatives)


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
