"""Language modelling: windows of a text, split by position or by file."""

import gzip

import numpy as np
import pytest

from steelyard.core.errors import DataError, UnknownNameError
from steelyard.core.sequence import FIRST_TOKEN
from steelyard.tasks.language import language_task
from steelyard.tasks.reading import from_data
from steelyard.testing import check_task

TEXT = "the quick brown fox jumps over the lazy dog. " * 300


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "text.txt.gz"
    found.write_bytes(gzip.compress(TEXT.encode()))
    return found


def letters(task, ids):
    return "".join(task.input.tokens[0].model[each - FIRST_TOKEN] for each in ids.ravel())


def test_a_text_is_split_by_position_and_each_token_is_followed_by_the_next(path):
    task = language_task(path, window=16)
    check_task(task)
    whole = letters(task, task.train.x)
    assert TEXT.startswith(whole)
    np.testing.assert_array_equal(task.train.x.ravel()[1:], task.train.y.ravel()[:-1])
    assert TEXT[len(TEXT) * 9 // 10 :].startswith(letters(task, task.valid.x))
    assert task.split_how == "by position: the first 90 % train, the next 5 % valid, the last 5 % test"


@pytest.mark.parametrize(("vocabulary", "size"), [("byte", 258), ("bpe", None), ("char", len(set(TEXT)) + FIRST_TOKEN)])
def test_the_vocabulary_is_the_users_choice(path, vocabulary, size):
    task = (
        from_data(path, "language-modelling", vocabulary=vocabulary)
        if vocabulary == "byte"
        else language_task(path, vocabulary=vocabulary, window=8)
    )
    (tokens,) = task.input.tokens
    assert tokens.kind == vocabulary
    assert size in (None, tokens.size)
    assert task.output.width == tokens.size * tokens.length


def test_files_named_by_splits_are_the_splits(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 100, encoding="utf-8")
    task = language_task(tmp_path, window=8)
    assert task.split_how == "as given: train.txt, valid.txt, test.txt"
    assert letters(task, task.train.x).startswith("train train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00", "FILE must be UTF-8 text, but it is not; save it as UTF-8."),
        (b"too short", "FILE must give train more than 384 tokens, got 8; add text."),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, message):
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        from_data(path, "language-modelling")
    assert str(caught.value).replace(str(path), "FILE") == message


def test_what_is_no_text_file_is_refused(tmp_path):
    path = tmp_path / "text.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DataError) as caught:
        from_data(path, "language-modelling")
    assert str(caught.value) == (
        "'data' must be a text file (.txt, .txt.gz, .md) or a folder of them for language-modelling, got 'text.npz'."
    )


def test_options_of_other_kinds_are_refused(path):
    with pytest.raises(DataError) as caught:
        from_data(path, "language-modelling", target="label")
    assert str(caught.value) == "language-modelling reads text without columns; leave out --target."
    with pytest.raises(DataError) as caught:
        from_data(path, "text-classification", vocabulary="char")
    assert str(caught.value) == (
        "'vocabulary' cuts a text for language-modelling; for text-classification it is a knob "
        "(--knob vocabulary=char,word)."
    )
    with pytest.raises(UnknownNameError) as caught:
        language_task(path, vocabulary="chars")
    assert str(caught.value) == "vocabulary 'chars' is not known; did you mean 'char'?"
