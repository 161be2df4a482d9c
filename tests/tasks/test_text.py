"""Texts: vocabularies fitted on train, ids that any text has."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.errors import DataError
from steelyard.core.sequence import FIRST_TOKEN, PADDING, UNKNOWN, Tokens
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.tasks.rows import read_rows
from steelyard.tasks.text import as_texts, cut, encode_texts, fit_texts
from steelyard.testing import check_task

KIND = "text-classification"
TRAIN = ["the cat sat", "the dog sat down", "a cat!", "", "the end"]
SPEC, NOTES = fit_texts(np.array(TRAIN, dtype=object), "said")


def ids_of(kind, text):
    return [each for each in encode_texts(SPEC, [text])[0][SPEC.place(kind)].tolist() if each != PADDING]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_has_ids_below_the_size_of_its_vocabulary(texts):
    rows = encode_texts(SPEC, texts)
    assert rows.shape == (len(texts), *SPEC.shape)
    for tokens in SPEC.tokens:
        assert rows[:, SPEC.place(tokens.kind)].max(initial=0) < tokens.size


@given(st.text(max_size=8))
def test_bytes_give_the_text_back(text):
    tokens = SPEC.of("byte")
    kept = text.encode()[: tokens.length]
    assert bytes(each - FIRST_TOKEN for each in ids_of("byte", text)) == kept


def test_commoner_words_and_characters_have_lower_ids():
    assert ids_of("word", "the") == [FIRST_TOKEN]
    assert ids_of("word", "The cat") == [FIRST_TOKEN, *ids_of("word", "cat")]
    assert ids_of("char", " ") < ids_of("char", "g")
    assert ids_of("word", "zebra") == ids_of("char", "ß") == [UNKNOWN]


def test_the_same_texts_give_the_same_vocabularies():
    assert fit_texts(TRAIN, "said")[0] == SPEC
    assert json.loads(SPEC.of("bpe").model)["model"]["type"] == "BPE"


def test_empty_and_missing_texts_are_rows_of_padding():
    rows = encode_texts(SPEC, np.array(["", None, np.nan], dtype=object))
    assert not rows[:, SPEC.place("word")].any()
    assert "1 training texts are empty" in [note.text for note in NOTES]


def test_longer_texts_are_cut():
    assert len(ids_of("word", "cat " * 500)) == SPEC.of("word").length


def test_numbers_and_bytes_are_texts_too():
    assert as_texts(np.array([b"ab", 3, None, "c", 2.5], dtype=object)) == ["ab", "3", "", "c", "2.5"]


def test_a_whole_text_is_cut_however_long():
    assert cut(Tokens("byte", 4, 258), "abcdefgh").tolist() == [each + FIRST_TOKEN for each in b"abcdefgh"]


def test_the_longest_column_of_text_is_read_and_predicted_from(tmp_path):
    rows = [{"id": f"r{row}", "note": f"{'good' if row % 2 else 'bad'} thing number {row}", "label": row % 2,
             "n": row} for row in range(40)]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task = from_data(path, KIND)
    check_task(task)
    assert task.input.column == "note"
    told = [fact.text for fact in task.facts]
    assert "the text is column note" in told
    assert "left out, being no text to read: id, n" in told
    (tmp_path / "new.txt").write_text("good thing\nbad thing\n", encoding="utf-8")
    assert encode_texts(task.input, read_rows(tmp_path / "new.txt", task.input)).shape == (2, *task.input.shape)
    assert encode_texts(task.input, read_rows(path, task.input)).shape == (40, *task.input.shape)


def test_texts_in_memory_become_a_task():
    check_task(from_arrays([f"word{row % 3} again" for row in range(30)], np.arange(30) % 3, KIND))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("one text", "'x' must be a list of texts, got one text; pass ['one text']."),
        (np.zeros((2, 2)), "'x' must be texts (n,), got an array (2, 2)."),
        ({"a": ["x"], "b": ["y"]}, "'x' must have a column 'said', got a, b; name it so."),
    ],
)
def test_what_is_no_list_of_texts_is_refused(raw, message):
    with pytest.raises(DataError) as caught:
        encode_texts(SPEC, raw)
    assert str(caught.value) == message


def test_texts_that_are_all_empty_are_refused():
    with pytest.raises(DataError) as caught:
        fit_texts(["", " "], "said")
    assert str(caught.value) == "column 'said' must hold texts in train, got empty ones only."


def test_a_table_without_text_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,label\n" + "\n".join(f"{row},{row % 2}" for row in range(20)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        from_data(path, KIND)
    assert str(caught.value) == f"{path} must have a column of text to learn from, got a beside the target."


def test_a_damaged_vocabulary_is_refused():
    with pytest.raises(DataError) as caught:
        cut(Tokens("word", 4, 9, "{"), "a")
    assert str(caught.value) == "the vocabulary of the text can't be read; restore the bundle or pack anew."
