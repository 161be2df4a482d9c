import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.task import ClassOutput, Column, ImageInput, Rows, TableInput
from steelyard.tasks.facts import describe
from steelyard.tasks.reading import from_arrays


def facts_of(spec, output, splits, kind="tabular-classification"):
    return {fact.name: fact for fact in describe(kind, spec, output, splits)}


@given(st.integers(1, 6), st.integers(0, 50))
def test_complexity_is_the_rank_of_rows_of_equal_spread(rank, seed):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(20, 20)))[0][:rank]
    scores = np.linalg.qr(rng.normal(size=(60, rank)) - 0.0)[0]
    scores -= scores.mean(axis=0)
    x = (np.linalg.qr(scores)[0] @ basis).astype(np.float32)
    spec = TableInput(tuple(Column(str(number), "number") for number in range(20)))
    rows = Rows(x, np.arange(60) % 2)
    found = facts_of(spec, ClassOutput(("a", "b")), (rows, rows, rows))["complexity"].value
    assert found["components"] == max(1, rank)
    assert found["of"] == 20


def test_what_is_read_is_told_in_sentences():
    x = np.array([[1.0, 5.0], [2.0, 5.0], [np.nan, 5.0], [4.0, 5.0]], dtype=np.float32)
    spec = TableInput((Column("a", "number", mean=2.3, std=1.2, has_missing=True), Column("b", "number", mean=5.0)))
    train = Rows(x, np.array([0, 0, 0, 1]))
    found = facts_of(spec, ClassOutput(("no", "yes")), (train, Rows(x[:1], train.y[:1]), Rows(x[1:3], train.y[1:3])))
    assert [fact.text for fact in found.values()] == [
        "tabular classification",
        "4 train, 1 valid, 2 test rows",
        "2 classes; 'no' is the commonest with 75.0%, 'yes' the rarest with 25.0%",
        "2 numeric and 0 categorical columns; 1 cells without a value in 1 columns",
        "1 of 2 principal components hold 95 % of the variance of 4 training rows",
        "constant in training: b",
        "1 rows of valid and 2 of test have inputs that stand in train too",
    ]


def test_images_of_one_colour_have_no_complexity():
    rows = Rows(np.full((6, 4, 4), 7, dtype=np.uint8), np.arange(6) % 2)
    spec = ImageInput(4, 4, 1, "hw", (7.0,), (1.0,))
    found = facts_of(spec, ClassOutput((0, 1)), (rows, rows, rows), kind="image-classification")
    assert found["complexity"].value["components"] == 0
    assert found["constant"].text == "16 of 16 pixels never change"


def test_labels_of_the_test_split_change_no_fact():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.arange(40) % 2
    split = ["train"] * 20 + ["valid"] * 10 + ["test"] * 10
    other = np.concatenate([y[:30], 1 - y[30:]])
    first, second = from_arrays(x, y, split=split), from_arrays(x, other, split=split)
    assert first.facts == second.facts
    assert first.data_hash != second.data_hash
