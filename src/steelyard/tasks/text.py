"""Texts: cut into tokens of several kinds by vocabularies fitted on the training split. Needs no torch."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from steelyard.core.errors import DataError, MissingExtraError
from steelyard.core.sequence import FIRST_TOKEN, PADDING, UNKNOWN, TextInput, TokenKind, Tokens
from steelyard.core.task import Array, Fact
from steelyard.tasks.preprocess import texts as plain_texts

LONG_ENOUGH = 0.99
"""Share of the training texts that are not cut."""
MOST_TOKENS: Mapping[TokenKind, int] = {"byte": 512, "char": 512, "bpe": 256, "word": 256}
"""Tokens of each kind that are read of a text."""
PAIRS_SIZE = 2_048
"""Ids of the vocabulary of byte pairs."""
MOST_WORDS = 2**15
"""Ids of the vocabulary of words."""
MOST_CHARACTERS = 1_024
"""Ids of the vocabulary of characters."""
_SPECIAL = ("<pad>", "<unk>")


def text_column(columns: Mapping[str, Array], train: Array, *, origin: str) -> tuple[str, tuple[Fact, ...]]:
    """The column of the texts: the one of text that is longest on average in train; and a note on the others.

    Raises:
        DataError: if no column holds text.
    """
    sizes = {}
    for name, values in columns.items():
        if values.dtype.kind in "OUS":
            found = [len(each) for each in values[train].tolist() if isinstance(each, str | bytes)]
            if found:
                sizes[name] = sum(found) / len(train)
    if not sizes:
        raise DataError(
            f"{origin} must have a column of text to learn from, got {', '.join(columns) or 'none'} beside the target.",
            field="data",
        )
    chosen = max(sizes, key=lambda name: sizes[name])
    others = [name for name in columns if name != chosen]
    notes = [Fact("text", chosen, f"the text is column {chosen}")]
    if others:
        notes.append(Fact("left out", others, f"left out, being no text to read: {', '.join(others)}"))
    return chosen, tuple(notes)


def fit_texts(values: Any, column: str) -> tuple[TextInput, tuple[Fact, ...]]:
    """Vocabularies and lengths from training texts, and notes.

    Args:
        values: the training texts (n,).
        column: their name.

    Raises:
        DataError: if no text holds a word.
        MissingExtraError: if the library that makes vocabularies is not installed.
    """
    texts = as_texts(values)
    if not any(text.strip() for text in texts):
        raise DataError(f"column {column!r} must hold texts in train, got empty ones only.", field="data")
    kinds: tuple[TokenKind, ...] = ("byte", "char", "bpe", "word")
    models = {kind: vocabulary_of(kind, texts) for kind in kinds}
    tokens, too_long = [], {}
    for kind, (model, size) in models.items():
        lengths = np.array([len(ids) for ids in _cutter(kind, model)(texts)])
        length = min(MOST_TOKENS[kind], max(1, int(np.quantile(lengths, LONG_ENOUGH, method="higher"))))
        too_long[kind] = int((lengths > length).sum())
        tokens.append(Tokens(kind, length, size, model))
    spec = TextInput(tuple(tokens), column)
    words = spec.of("word")
    empty = sum(not text.strip() for text in texts)
    told = [
        Fact(
            "tokens",
            {each.kind: {"length": each.length, "size": each.size} for each in tokens},
            f"{words.size - FIRST_TOKEN:,} different words; texts are read up to {words.length} words or "
            f"{spec.of('byte').length} bytes ({too_long['word']:,} and {too_long['byte']:,} training texts are longer)",
        )
    ]
    if empty:
        told.append(Fact("empty", empty, f"{empty:,} training texts are empty"))
    return spec, tuple(told)


def vocabulary_of(kind: TokenKind, texts: Sequence[str]) -> tuple[str, int]:
    """The vocabulary of texts as `Tokens.model`, and its size with the ids of padding and of what is unknown.

    Raises:
        MissingExtraError: if the library that makes it is not installed.
    """
    if kind == "byte":
        return "", 256 + FIRST_TOKEN
    if kind == "char":
        counted = Counter("".join(texts))
        most = sorted(counted, key=lambda each: (-counted[each], each))[: MOST_CHARACTERS - FIRST_TOKEN]
        return "".join(most), len(most) + FIRST_TOKEN
    return _trained(kind, texts)


def cut(tokens: Tokens, text: str) -> Array:
    """The ids (n,) of a whole text, however long."""
    (ids,) = _cutter(tokens.kind, tokens.model)([text])
    return np.asarray(ids, dtype=np.int64)


def encode_texts(spec: TextInput, raw: Any) -> Array:
    """Ids (n, ids) of texts, the kinds of token side by side; uint16 where ids are small enough, else int32.

    Args:
        spec: how the graph reads a row.
        raw: texts as a sequence or an array (n,), or a table with the specification's column.

    Raises:
        DataError: if these are no texts.
        MissingExtraError: if the library that cuts them is not installed.
    """
    texts = as_texts(_column(spec, raw))
    small = max(each.size for each in spec.tokens) <= np.iinfo(np.uint16).max
    rows = np.full((len(texts), *spec.shape), PADDING, dtype=np.uint16 if small else np.int32)
    for tokens in spec.tokens:
        part = rows[:, spec.place(tokens.kind)]
        for row, ids in enumerate(_cutter(tokens.kind, tokens.model)(texts)):
            kept = ids[: tokens.length]
            part[row, : len(kept)] = kept
    return rows


def _column(spec: TextInput, raw: Any) -> Any:
    """The texts of whatever holds them."""
    if isinstance(raw, str | bytes):
        raise DataError(f"'x' must be a list of texts, got one text; pass [{raw[:20]!r}].")
    if isinstance(raw, np.ndarray) and raw.ndim != 1:
        raise DataError(f"'x' must be texts (n,), got an array {raw.shape}.")
    names = list(raw) if isinstance(raw, Mapping) else getattr(raw, "columns", None)
    if names is None:
        return raw
    if spec.column in names:
        return raw[spec.column]
    if len(names) == 1:
        return raw[names[0]]
    raise DataError(f"'x' must have a column {spec.column!r}, got {', '.join(map(str, names))}; name it so.")


def as_texts(values: Any) -> list[str]:
    """Values as texts; what is missing is an empty one."""
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    decoded = [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in plain]
    if all(isinstance(each, str) for each in decoded):
        return decoded
    others = iter(plain_texts([each for each in decoded if not isinstance(each, str)]))
    return [each if isinstance(each, str) else next(others) or "" for each in decoded]


def _cutter(kind: str, model: str) -> Callable[[Sequence[str]], Iterator[Sequence[int] | Array]]:
    """What cuts texts into ids."""
    if kind == "byte":
        return lambda texts: (
            np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.uint16) + FIRST_TOKEN
            for text in texts
        )
    if kind == "char":
        known = {each: number for number, each in enumerate(model, start=FIRST_TOKEN)}
        return lambda texts: ([known.get(each, UNKNOWN) for each in text] for text in texts)
    tokenizer = _tokenizer(model)
    return lambda texts: (each.ids for each in tokenizer.encode_batch(list(texts), add_special_tokens=False))


@lru_cache(maxsize=8)
def _tokenizer(model: str) -> Any:
    """The tokenizer of a JSON.

    Raises:
        DataError: if it is none.
    """
    try:
        return _library().Tokenizer.from_str(model)
    except MissingExtraError:
        raise
    except Exception as error:  # the library raises bare exceptions
        raise DataError("the vocabulary of the text can't be read; restore the bundle or pack anew.") from error


def _trained(kind: TokenKind, texts: Sequence[str]) -> tuple[str, int]:
    """The JSON of a tokenizer trained on texts, and the size of its vocabulary."""
    library = _library()
    special = list(_SPECIAL)
    if kind == "word":
        tokenizer = library.Tokenizer(library.models.WordLevel(unk_token=_SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.Whitespace()
        trainer = library.trainers.WordLevelTrainer(vocab_size=MOST_WORDS, special_tokens=special, show_progress=False)
    else:
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=_SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=True)
        # All bytes, in the library's order: a vocabulary must not depend on the order of a hash map.
        trainer = library.trainers.BpeTrainer(
            vocab_size=PAIRS_SIZE,
            special_tokens=special,
            initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
    tokenizer.normalizer = library.normalizers.Sequence([library.normalizers.NFKC(), library.normalizers.Lowercase()])
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str(), int(tokenizer.get_vocab_size())


def _library() -> Any:
    try:
        import tokenizers  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError(
            "texts need the library tokenizers, which is not installed; run: pip install 'steelyard[text]'.",
            field="data",
        ) from error
    return tokenizers
