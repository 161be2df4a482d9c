"""Rows to judge a given model by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.core.port import Port
from steelyard.core.task import ClassOutput, TensorOutput, ValueOutput, feed_of
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.given import Given, Material, prepare_given, read_arrays_of
from steelyard.tasks.metrics import METRICS
from steelyard.tasks.wire import load, save

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def model(width: int = 3) -> Given:
    def run(x: np.ndarray) -> np.ndarray:
        feed = feed_of(x)
        assert isinstance(feed, Mapping)
        return feed["x"] @ WEIGHTS[:, :width]

    return Given("model", (Port("x", "float32", ("n", 4)),), run)


def rows(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4))


def prepared(arrays: Mapping[str, Any], width: int = 3, **options: Any) -> PreparedTask:
    material = Material(arrays, "data", **{k: v for k, v in options.items() if k != "kind"})
    return prepare_given(material, model(width), seed=0, kind=options.get("kind"))


def test_unlabelled_rows_are_all_unseen_and_the_models_own_outputs_are_the_targets() -> None:
    task = prepared({"x": rows(100)})
    assert (task.kind, task.metric) == ("label-free", "agreement")
    assert [len(part) for part in (task.train, task.valid, task.test)] == [20, 30, 50]
    assert np.allclose(task.valid.y, feed_of(task.valid.x)["x"] @ WEIGHTS)
    assert isinstance(task.output, ClassOutput)


def test_one_output_a_row_is_no_decision() -> None:
    task = prepared({"x": rows(100)}, width=1)
    assert isinstance(task.output, TensorOutput)
    assert task.metric == "output_error"


def test_whole_numbers_are_classes_and_fractions_values() -> None:
    labels = np.arange(100) % 3
    task = prepared({"x": rows(100), "y": labels})
    assert (task.kind, task.metric) == ("classification", "accuracy")
    assert np.bincount(task.test.y).tolist() in ([17, 17, 16], [17, 16, 17], [16, 17, 17])
    values = prepared({"x": rows(100), "y": labels + 0.5}, width=1)
    assert (values.kind, values.metric) == ("regression", "rmse")
    assert isinstance(values.output, ValueOutput)


def test_labels_that_are_no_output_numbers_are_taken_in_sorted_order() -> None:
    task = prepared({"x": rows(90), "y": np.array(["owl", "ant", "cat"] * 30)})
    assert task.output == ClassOutput(("ant", "cat", "owl"))
    from_one = prepared({"x": rows(90), "y": np.array([1, 2, 3] * 30)})
    assert from_one.output == ClassOutput((1, 2, 3))
    assert set(from_one.train.y.tolist()) == {0, 1, 2}


def test_given_splits_are_kept_and_a_missing_one_is_made_and_stated() -> None:
    arrays = {"x_train": rows(30), "x_valid": rows(20, 2), "x_test": rows(40, 3)}
    task = prepared(arrays)
    assert task.split_how == "train, valid and test as the data name them"
    assert np.allclose(feed_of(task.test.x)["x"], arrays["x_test"].astype(np.float32))
    halved = prepared({k: v for k, v in arrays.items() if k != "x_test"})
    assert (len(halved.train), len(halved.valid), len(halved.test)) == (30, 10, 10)
    assert halved.split_how == "train as given; test: half of valid, stratified, seed 0"
    shared = prepared({k: v for k, v in arrays.items() if k != "x_valid"})
    assert (len(shared.train), len(shared.valid), len(shared.test)) == (30, 15, 25)


def test_the_training_rows_never_judge() -> None:
    task = prepared({"x_train": rows(30), "x_test": rows(40, 3)})
    seen = {row.tobytes() for row in task.train.x}
    assert not seen & {row.tobytes() for row in (*task.valid.x, *task.test.x)}


def test_a_column_of_splits_is_obeyed() -> None:
    split = np.array(["train"] * 10 + ["valid"] * 20 + ["test"] * 30)
    task = prepared({"x": rows(60), "y": np.arange(60) % 3, "split": split})
    assert [len(part) for part in (task.train, task.valid, task.test)] == [10, 20, 30]


def test_groups_stay_whole() -> None:
    task = prepared({"x": rows(60), "who": np.repeat(np.arange(12), 5)}, group="who")
    assert task.test.groups is not None
    assert all(count == 5 for count in np.bincount(task.test.groups) if count)


def test_a_task_travels_to_a_worker(tmp_path: Path) -> None:
    task = prepared({"x": rows(40), "y": np.arange(40) % 3})
    save(task, tmp_path, with_test=False)
    there = load(tmp_path)
    assert np.array_equal(there.train.x["x"], task.train.x["x"])
    assert there.input == task.input
    assert len(there.test) == 0


def language_model() -> Given:
    table = np.random.default_rng(0).normal(size=(9, 9)).astype(np.float32)
    return Given("lm", (Port("tokens", "int64", ("n", 6)),), lambda rows: table[rows["tokens"]])


def test_tokens_for_tokens_are_a_language_model_and_the_next_ones_its_targets() -> None:
    tokens = np.random.default_rng(1).integers(0, 9, size=(40, 7))
    task = prepare_given(Material({"x": tokens[:, :-1], "y": tokens[:, 1:]}, "data"), language_model(), seed=0)
    assert (task.kind, task.metric) == ("language-modelling", "perplexity")
    shifted = prepare_given(
        Material({"tokens": tokens[:, :-1]}, "data"), language_model(), seed=0, kind="language-modelling"
    )
    assert np.array_equal(shifted.train.y[:, :-1], shifted.train.x["tokens"][:, 1:])
    assert (shifted.train.y[:, -1] == -1).all()


def test_several_decisions_a_row_agree_where_all_of_them_do() -> None:
    tokens = np.random.default_rng(1).integers(0, 9, size=(40, 6))
    task = prepare_given(Material({"x": tokens}, "data"), language_model(), seed=0)
    assert task.kind == "label-free"
    assert task.valid.y.shape == (12, 6, 9)
    outputs = task.valid.y.copy()
    outputs[0, 3] = -outputs[0, 3]
    assert METRICS["agreement"](outputs, task.valid.y) == pytest.approx(11 / 12)
    assert METRICS["agreement"](outputs.reshape(12, -1), task.valid.y) == pytest.approx(11 / 12)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"a": rows(3)}, {}, "data must hold arrays x_train and x_valid, or x, got a."),
        (
            {"x_train": rows(9)},
            {},
            "data holds only x_train, which a model that was trained on it can't be judged by; add x_valid, or name "
            "rows that it never saw x.",
        ),
        ({"x_test": rows(9)}, {}, "data must name rows to calibrate on (x_train), got only test."),
        (
            {"x": rows(9), "y": np.zeros(8, int)},
            {},
            "data must hold as many rows of x as of y, got 9 and 8; was it cut off?",
        ),
        (
            {"x_train": rows(9), "x_test": rows(9), "y_train": np.zeros(9, int)},
            {},
            "data must hold targets for every split or for none; test has none.",
        ),
        (
            {"x": rows(10), "y": np.arange(10)},
            {},
            "target 'y' of data must fit the model's 3 outputs, got 10 classes (0 to 9).",
        ),
        (
            {"x": rows(10), "y": np.linspace(0, 1, 10)},
            {},
            "the model gives 3 values a row, and 'y' of data holds 1: values are judged one a row; leave the targets "
            "out to judge the model against itself.",
        ),
        (
            {"x": rows(10), "y": np.linspace(0, 1, 10)},
            {"kind": "classification"},
            "target 'y' of data must hold classes, got float64; is --task regression meant?",
        ),
    ],
)
def test_what_the_data_lack_is_one_sentence(arrays: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        prepared(arrays, **options)
    assert error.value.message == message


def test_classes_for_a_model_of_one_output_are_refused() -> None:
    with pytest.raises(DataError, match="the model gives one value a row; say --task regression or leave it out"):
        prepared({"x": rows(10), "y": np.arange(10) % 2}, width=1)


def test_tables_with_a_split_column_are_read_like_arrays(tmp_path: Path) -> None:
    lines = ["a,b,c,d,label,split"]
    lines += [
        f"{i},{i + 1},{i * 2},0.5,{i % 3},{'train' if i < 20 else 'valid' if i < 40 else 'test'}" for i in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    arrays = read_arrays_of(tmp_path / "t.csv", target=None, group=None, split_by=None, trust=False)
    task = prepared(arrays)
    assert [len(part) for part in (task.train, task.valid, task.test)] == [20, 20, 20]
    assert task.train.x["x"].shape == (20, 4)
