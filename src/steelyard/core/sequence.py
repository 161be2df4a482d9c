"""Inputs that are sequences: series of numbers, texts as tokens, sound. How a row is laid out, as fitted on train."""

import math
from dataclasses import dataclass
from typing import Literal, final

PADDING, UNKNOWN, FIRST_TOKEN = 0, 1, 2
"""Token ids: what fills a short text up, what the vocabulary lacks, and where the vocabulary itself begins."""
TokenKind = Literal["byte", "char", "bpe", "word"]
"""What a text is cut into."""


@final
@dataclass(frozen=True, slots=True)
class SeriesInput:
    """Series as the graph takes them: (n, channels, steps) float32, NaN after the end of a shorter one.

    `mean` and `std` hold one value per channel, fitted on the steps of the training split that are there;
    standardising is part of the graph, and so is a mask of the steps that are missing in every channel, where
    `has_padding` says that the training split has such. `steps_first` says that raw rows are (steps, channels).
    """

    channels: int
    steps: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    has_padding: bool = False
    steps_first: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.channels, self.steps)


@final
@dataclass(frozen=True, slots=True)
class Tokens:
    """One way to cut a text into tokens: `length` ids a text, each below `size`.

    `model` is the vocabulary: nothing for bytes, the characters in their order for characters, the JSON of a
    tokenizer (library `tokenizers`) for words and byte pairs. Words and characters are ordered by how often the
    training split has them, so that a smaller vocabulary is the ids below a number.
    """

    kind: TokenKind
    length: int
    size: int
    model: str = ""


@final
@dataclass(frozen=True, slots=True)
class TextInput:
    """Texts as the graph takes them: (n, ids) float32, the ids of each kind of token side by side.

    A model reads the tokens of one kind; which, and how large its vocabulary is, is part of its scale. `column` is the
    text's own in a table.
    """

    tokens: tuple[Tokens, ...]
    column: str = "text"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (sum(each.length for each in self.tokens),)

    def place(self, kind: str) -> slice:
        """Where the ids of one kind of token stand in a row."""
        start = 0
        for each in self.tokens:
            if each.kind == kind:
                return slice(start, start + each.length)
            start += each.length
        raise KeyError(kind)

    def of(self, kind: str) -> Tokens:
        """The tokens of one kind; KeyError if there are none."""
        return {each.kind: each for each in self.tokens}[kind]  # type: ignore[index]


@final
@dataclass(frozen=True, slots=True)
class SoundInput:
    """Sound as the graph takes it: (n, samples) float32 from −1 to 1, one channel at `rate` samples a second.

    The graph makes a log-mel spectrogram of it: windows of `window` samples every `hop`, `mels` bands, natural
    logarithm; `mean` and `std` of each band are fitted on the training split.
    """

    rate: int
    samples: int
    window: int
    hop: int
    mels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return (self.samples,)

    @property
    def frames(self) -> int:
        """Windows in a row; sound shorter than one is one window."""
        return 1 + max(0, math.ceil((self.samples - self.window) / self.hop))
