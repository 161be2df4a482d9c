"""Light changes of rows while they are learned, by kind of task: each leaves the meaning of a row as it is.

They are made of standardised rows, as a model's body takes them, anew in every epoch. Chance is a generator's, so the
same seed changes the same rows alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the field's name for it
from torch import Generator, Tensor

from steelyard.core.errors import InputError, UnknownNameError

Change = Callable[[Tensor, Generator], Tensor]
"""A change of rows (n, ...), which stay as they are, by a generator's chance."""
NONE = "none"
SHIFT = 0.1
"""The share of a side, or of the steps, that a row is moved by at most; one pixel or step at least."""
SMALLEST_CROP = 0.8
"""The share of each side that a crop keeps at least."""
NOISE = 0.1
"""Standard deviation of noise, where rows have one of 1."""
SPAN = 0.15
"""The share of the steps, and of the bands of a spectrogram, that is hidden at most."""
DROPPED = 0.1
"""The share of a text's tokens that is hidden."""
PADDING, UNKNOWN = 0.0, 1.0
"""Ids of tokens: what fills a short text up, and what a vocabulary lacks."""


def changes_of(names: Sequence[str], kind: str) -> tuple[Change, ...]:
    """The changes of these names.

    Args:
        names: in any order; they are made in the order of `CHANGES`.
        kind: of the task.

    Raises:
        InputError: if rows of this kind have no changes, or none of such a name.
    """
    known = known_changes(kind)
    for name in names:
        if name not in known:
            if not known:
                raise InputError(
                    f"'augment' changes pictures, tables, series, sound and texts, not rows of {kind}; leave it out.",
                    field="augment",
                )
            raise UnknownNameError(f"change of {kind}", name, [*known, NONE], field="augment")
    return tuple(known[name] for name in known if name in names)


def known_changes(kind: str) -> Mapping[str, Change]:
    """Changes by name that rows of a kind of task may go through; none where the kind has no such."""
    return CHANGES.get(kind, {})


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text such as `shift,flip`; none for `none`.

    Raises:
        InputError: if there is no name, or `none` beside others.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or (NONE in names and len(names) > 1):
        raise InputError(f"'augment' must be names with commas between, or none, got {text!r}.", field="augment")
    return () if names == (NONE,) else names


def _picture_shift(x: Tensor, chance: Generator) -> Tensor:
    """Pictures (n, c, h, w) moved each way; what comes in over an edge repeats the pixels at the edge."""
    rows, _, height, width = x.shape
    down, right = (max(1, round(SHIFT * side)) for side in (height, width))
    padded = F.pad(x, (right, right, down, down), mode="replicate")
    tops = torch.randint(2 * down + 1, (rows, 1), generator=chance) + torch.arange(height)
    lefts = torch.randint(2 * right + 1, (rows, 1), generator=chance) + torch.arange(width)
    return _picked(padded, tops, lefts)


def _flip(x: Tensor, chance: Generator) -> Tensor:
    """Half of the pictures (n, c, h, w) mirrored, left and right."""
    is_mirrored = torch.rand(len(x), generator=chance) < 0.5
    return torch.where(is_mirrored[:, None, None, None], x.flip(3), x)


def _crop(x: Tensor, chance: Generator) -> Tensor:
    """A part of each picture (n, c, h, w), at least `SMALLEST_CROP` of each side, stretched to the whole."""
    rows = len(x)
    share = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.rand(rows, generator=chance)
    middle = (torch.rand(2, rows, generator=chance) * 2 - 1) * (1 - share)
    theta = torch.zeros(rows, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = share, share
    theta[:, 0, 2], theta[:, 1, 2] = middle[0], middle[1]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _picked(x: Tensor, tops: Tensor, lefts: Tensor) -> Tensor:
    """Of each picture (n, c, ...) the rows (n, h) and columns (n, w)."""
    found = x[torch.arange(len(x))[:, None, None], :, tops[:, :, None], lefts[:, None, :]]
    return found.movedim(-1, 1)


def _table_noise(x: Tensor, chance: Generator) -> Tensor:
    """Noise on the numbers of tables (n, features); exact zeros and ones are codes, or numbers that are missing."""
    noise = NOISE * torch.randn(x.shape, generator=chance)
    return torch.where((x == 0) | (x == 1), x, x + noise)


def _series_noise(x: Tensor, chance: Generator) -> Tensor:
    """Noise on the steps of series (n, channels, steps) that are there."""
    noise = NOISE * torch.randn(x.shape, generator=chance)
    if not _is_marked(x):
        return x + noise
    there = x[:, -1:]
    return torch.cat([x[:, :-1] + noise[:, :-1] * there, there], dim=1)


def _time_shift(x: Tensor, chance: Generator) -> Tensor:
    """Series (n, channels, steps) begin earlier or later; the steps that are missing then are zero, the mean."""
    rows, _, steps = x.shape
    most = max(1, round(SHIFT * steps))
    padded = F.pad(x, (most, most))
    at = torch.randint(2 * most + 1, (rows, 1), generator=chance) + torch.arange(steps)
    return padded.gather(2, at[:, None, :].expand(x.shape))


def _time_mask(x: Tensor, chance: Generator) -> Tensor:
    """A span of the steps of each series (n, channels, steps) hidden in all channels."""
    hidden = _span(len(x), x.shape[2], chance)[:, None, :].expand(x.shape)
    if _is_marked(x):
        hidden = hidden.clone()
        hidden[:, -1] = False
    return x.masked_fill(hidden, 0.0)


def _sound_mask(x: Tensor, chance: Generator) -> Tensor:
    """A span of the frames and one of the bands of each spectrogram (n, bands, frames) hidden.

    References:
        D. S. Park et al., SpecAugment, Interspeech 2019.
    """
    frames = _span(len(x), x.shape[2], chance)[:, None, :]
    return x.masked_fill(frames | _span(len(x), x.shape[1], chance)[:, :, None], 0.0)


def _span(rows: int, length: int, chance: Generator) -> Tensor:
    """For each row a span (rows, length) of at most `SPAN` of its places, somewhere."""
    most = max(1, math.floor(SPAN * length))
    width = torch.randint(most + 1, (rows, 1), generator=chance)
    start = torch.floor(torch.rand(rows, 1, generator=chance) * (length - width + 1))
    places = torch.arange(length)
    return (places >= start) & (places < start + width)


def _is_marked(x: Tensor) -> bool:
    """Whether the last channel of series says which steps are there: it holds zeros and ones alone."""
    last = x[:, -1]
    return x.shape[1] > 1 and bool(((last == 0) | (last == 1)).all())


def _drop(x: Tensor, chance: Generator) -> Tensor:
    """Some tokens of texts, ids (n, length), become the unknown one."""
    hidden = (torch.rand(x.shape, generator=chance) < DROPPED) & (x != PADDING)
    return x.masked_fill(hidden, UNKNOWN)


_PICTURES: Mapping[str, Change] = {"crop": _crop, "shift": _picture_shift, "flip": _flip}
_TABLES: Mapping[str, Change] = {"noise": _table_noise}
_SERIES: Mapping[str, Change] = {"shift": _time_shift, "noise": _series_noise, "mask": _time_mask}
_SOUND: Mapping[str, Change] = {"shift": _time_shift, "noise": _series_noise, "mask": _sound_mask}
_TEXTS: Mapping[str, Change] = {"drop": _drop}
CHANGES: Mapping[str, Mapping[str, Change]] = {
    "image-classification": _PICTURES,
    "tabular-classification": _TABLES,
    "tabular-regression": _TABLES,
    "series-classification": _SERIES,
    "audio-classification": _SOUND,
    "text-classification": _TEXTS,
}
"""Changes by kind of task and name, in the order in which they are made."""
