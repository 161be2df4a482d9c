"""Language modelling on the user's own text: cut into windows of tokens, each to be followed by the next one."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from steelyard.core.errors import DataError, UnknownNameError
from steelyard.core.sequence import TextInput, Tokens
from steelyard.core.task import Array, Fact, Rows, TensorOutput
from steelyard.tasks.archives import MOST_BYTES
from steelyard.tasks.dataset import PreparedTask, hash_rows
from steelyard.tasks.facts import describe
from steelyard.tasks.splits import SPLITS, split_code
from steelyard.tasks.text import cut, vocabulary_of

WINDOW = 128
"""Tokens of a row."""
SHARES = (0.90, 0.05, 0.05)
"""Of the text: to learn, to choose, to judge, in its order."""
VOCABULARIES = ("char", "byte", "bpe")
"""What a text may be cut into; the first by default."""
BATCH = 16
"""Windows a step: 2,048 tokens."""
SUFFIXES = (".txt", ".txt.gz", ".md")
FEWEST_WINDOWS = 3


def language_task(
    path: Path, *, vocabulary: str | None = None, window: int = WINDOW, trust: bool = False
) -> PreparedTask:
    """The task of foretelling each token from those before it in its window.

    Args:
        path: a text file, plain or packed by gzip, split by position; or a folder of such files, split by their
            names (train.txt, valid.txt, test.txt), or end to end by position where they name no splits.
        vocabulary: one of `VOCABULARIES`.
        window: tokens of a row; rows don't overlap, or the same token would be counted twice.
        trust: lift the limit on unpacked size.

    Raises:
        UnknownNameError: if there is no such vocabulary.
        DataError: if there is no text, or too little.
    """
    kind = vocabulary or VOCABULARIES[0]
    if kind not in VOCABULARIES:
        raise UnknownNameError("vocabulary", kind, VOCABULARIES, field="vocabulary")
    texts, how = _split_texts(path, trust=trust)
    model, size = vocabulary_of(kind, [texts[0]])  # type: ignore[arg-type]
    tokens = Tokens(kind, window, size, model)  # type: ignore[arg-type]
    ids = [cut(tokens, text) for text in texts]
    for name, each in zip(SPLITS, ids, strict=True):
        if len(each) <= FEWEST_WINDOWS * window:
            raise DataError(
                f"{path} must give {name} more than {FEWEST_WINDOWS * window:,} tokens, got {len(each):,}; add text.",
                field="data",
            )
    spec, output = TextInput((tokens,)), TensorOutput(window * size)
    splits = [_windows(each, window) for each in ids]
    characters = len(texts[2]) / len(ids[2])
    note = Fact(
        "vocabulary",
        {"kind": kind, "size": size, "characters_per_token": characters},
        f"{size:,} different tokens ({kind}); a token of test is {characters:.3g} characters, so bits a character are "
        f"log2(perplexity) / {characters:.3g}",
    )
    return PreparedTask(
        name="language-modelling",
        kind="language-modelling",
        input=spec,
        output=output,
        train=splits[0],
        valid=splits[1],
        test=splits[2],
        split_how=how,
        data_hash=hash_rows(spec, output, *splits),
        facts=describe("language-modelling", spec, output, splits, (note,)),
        metric="perplexity",
        defaults={"families": ["decoder"], "batch": BATCH},
    )


def _windows(ids: Array, window: int) -> Rows:
    """Rows of a window each and the next token of each place; a rest at the end is left out."""
    count = (len(ids) - 1) // window
    x = ids[: count * window].reshape(count, window).astype(np.uint16)
    y = ids[1 : count * window + 1].reshape(count, window).astype(np.int64)
    return Rows(x, y)


def _split_texts(path: Path, *, trust: bool) -> tuple[list[str], str]:
    """The texts of train, valid and test, and where the splits come from."""
    if path.is_dir():
        files = sorted(each for each in path.iterdir() if each.name.lower().endswith(SUFFIXES) and each.is_file())
        named = {split_code(each.name.split(".")[0].lower()): each for each in files}
        if all(code in named for code in range(len(SPLITS))):
            texts = [_read(named[code], trust=trust) for code in range(len(SPLITS))]
            return texts, f"as given: {', '.join(named[code].name for code in range(len(SPLITS)))}"
        if not files:
            raise DataError(f"{path} must hold text files ({', '.join(SUFFIXES)}), got none.", field="data")
        whole = "\n".join(_read(each, trust=trust) for each in files)
    elif path.name.lower().endswith(SUFFIXES):
        whole = _read(path, trust=trust)
    else:
        raise DataError(
            f"'data' must be a text file ({', '.join(SUFFIXES)}) or a folder of them for language-modelling, "
            f"got {path.name!r}.",
            field="data",
        )
    first, second = (int(len(whole) * share) for share in np.cumsum(SHARES)[:2])
    how = "by position: the first 90 % train, the next 5 % valid, the last 5 % test"
    return [whole[:first], whole[first:second], whole[second:]], how


def _read(path: Path, *, trust: bool) -> str:
    """A text file, unpacked where it is packed.

    Raises:
        DataError: if it is no UTF-8, damaged, or unpacks to too much.
    """
    most = -1 if trust else MOST_BYTES
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            content = stream.read(most)
            is_whole = trust or not stream.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be unpacked ({error}); was it cut off?", field="data") from error
    if not is_whole:
        raise DataError(
            f"{path} must unpack to at most {MOST_BYTES / 1e9:.1f} GB, got more; pass --trust if you made it.",
            field="data",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8 text, but it is not; save it as UTF-8.", field="data") from error
