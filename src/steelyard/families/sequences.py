"""What families may know of a sequence before torch is loaded: its steps, channels and vocabularies."""

from steelyard.core.candidate import Knob, Setting
from steelyard.core.errors import InputError
from steelyard.core.protocols import Task
from steelyard.core.sequence import FIRST_TOKEN, SeriesInput, SoundInput, TextInput, Tokens
from steelyard.families.ranges import EPOCH_MACS

VOCABULARY = "vocabulary"
"""The knob that says what a text is cut into."""
WORDS = (1_024, 4_096)
"""Sizes of smaller vocabularies of words, where there are more words."""
EMBEDDED = 64
"""Numbers that a token is read as, at most: as many as the width of the network, if that is less."""
HEAD_CHANNELS = 16
"""Channels of a head of attention, whatever the width: so scales share the weights of the heads that they have."""
MOST_HEADS = 4
MULTIPLIER = 2_654_435_761
"""Spreads pairs of words over buckets (Knuth, The Art of Computer Programming 3, 1973, section 6.4)."""
MOST_BUCKETS = 2**17
MOST_PAIR_WEIGHTS = 2**21
"""Buckets of pairs of words times classes, at most: 8 MB of weights."""


def sequence_refusal(task: Task) -> str | None:
    """Why a network over sequences can't learn a task; None for series, texts and sound."""
    if task.kind == "language-modelling":
        return "it gives one answer a row; decoder models language"
    if isinstance(task.input, SeriesInput | TextInput | SoundInput):
        return None
    return "it needs series, texts or sound; mlp and linear take tables and images"


def steps_of(task: Task, vocabulary: str = "word") -> int:
    """Steps of a sequence after the front."""
    if isinstance(task.input, TextInput):
        return tokens_of(task.input, vocabulary).length
    if isinstance(task.input, SoundInput):
        return task.input.frames
    return task.input.steps if isinstance(task.input, SeriesInput) else 0


def channels_of(task: Task) -> int:
    """Numbers a step after the front, of a text after its embedding."""
    if isinstance(task.input, TextInput):
        return EMBEDDED
    if isinstance(task.input, SoundInput):
        return task.input.mels
    return task.input.channels if isinstance(task.input, SeriesInput) else 0


def tokens_of(spec: TextInput, vocabulary: str) -> Tokens:
    """The tokens that a vocabulary reads, their size what it has: `char`, `word`, `word-1024` for the commonest.

    Raises:
        ValueError: if the task has none of that name.
    """
    kind, _, size = vocabulary.partition("-")
    known = {each.kind: each for each in spec.tokens}
    for name, tokens in known.items():
        if name == kind:
            return Tokens(tokens.kind, tokens.length, min(tokens.size, int(size or tokens.size)), tokens.model)
    raise ValueError(f"vocabulary must be one of {', '.join(known)}, got {vocabulary!r}")


def vocabularies(task: Task, *, words_only: bool = False) -> tuple[Knob, ...]:
    """The knob of the vocabulary: characters, byte pairs, the commonest words, all words; none but for texts."""
    if not isinstance(task.input, TextInput):
        return ()
    size = task.input.of("word").size
    smaller = tuple(f"word-{each}" for each in WORDS if each < size)
    return (Knob(VOCABULARY, (*(() if words_only else ("char", "bpe")), *smaller, "word")),)


def attention_macs(steps: int, width: int) -> float:
    """Multiply-accumulates of a row through a block of attention with all heads and its two linear layers."""
    heads = HEAD_CHANNELS * MOST_HEADS
    return steps * (4.0 * width * heads + 2.0 * steps * heads + 8.0 * width * width)


def vocabulary_knob(task: Task, choices: tuple[Setting, ...]) -> Knob:
    """The knob of the vocabulary with the user's choices, from small to large.

    Raises:
        InputError: if the task's texts are not cut so.
    """
    if not isinstance(task.input, TextInput):
        raise InputError(f"'knob' vocabulary is one of texts, which {task.name} lacks; leave it out.", field="knob")
    kinds = [str(each.kind) for each in task.input.tokens]
    found: dict[tuple[int, int], Setting] = {}
    for choice in choices:
        kind, dash, size = str(choice).partition("-")
        is_size = size.isascii() and size.isdigit() and int(size) > FIRST_TOKEN
        if kind not in kinds or (dash and not (is_size and kind == "word")):
            raise InputError(
                f"'knob' vocabulary must be {', '.join(kinds)}, or word-N for the N commonest words, got {choice!r}.",
                field="knob",
            )
        found[kinds.index(kind), tokens_of(task.input, str(choice)).size] = choice
    return Knob(VOCABULARY, tuple(found[place] for place in sorted(found)))


def affordable(task: Task, widths: tuple[int, ...], macs_a_width: dict[int, float]) -> tuple[int, ...]:
    """Widths, two at least, the largest left out while an epoch would take more than `EPOCH_MACS`.

    Args:
        task: whose training rows make an epoch.
        widths: from small to large.
        macs_a_width: multiply-accumulates of a row through the largest network of each width.
    """
    while len(widths) > 2 and len(task.train) * macs_a_width[widths[-1]] > EPOCH_MACS:
        widths = widths[:-1]
    return widths
