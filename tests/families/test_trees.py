"""Gradient-boosted trees: the file goes the way of the trees, whatever the row."""

import numpy as np
import pytest

from steelyard.core.candidate import Knob, Scale
from steelyard.core.errors import WorkerError
from steelyard.core.task import Rows
from steelyard.families.boosting import PATIENCE
from steelyard.families.categories import recoding_of
from steelyard.families.trees import TREES_FAMILY
from steelyard.graph.counting import count
from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.testing.fakes import FakeTask

SMALL = Scale.of(trees=10, leaves=4, depth=2)


def fitted(task, tmp_path, scale=SMALL, limit_s=3600.0):
    path = tmp_path / "model.onnx"
    notes = TREES_FAMILY.fit(scale, task, 0, path, limit_s)
    return notes, OnnxRuntime().load(path), path


def test_missing_values_and_unknown_categories_have_a_way(tmp_path):
    task = FakeTask.table()
    _, session, _ = fitted(task, tmp_path)
    odd = np.array([[np.nan, np.nan, 0, 0], [50, 1, 99, -3], [np.inf, -np.inf, np.nan, 2]], dtype=np.float32)
    outputs = session.run(odd)
    assert outputs.shape == (3, 2)
    assert np.isfinite(outputs).all()
    unknown = odd.copy()
    unknown[1, 2:] = 0
    unknown[2, 2] = 0
    np.testing.assert_array_equal(session.run(unknown), outputs)


def test_the_scores_of_two_classes_are_halves_of_the_log_odds(tmp_path):
    task = FakeTask.table()
    notes, session, _ = fitted(task, tmp_path)
    outputs = session.run(task.train.x)
    np.testing.assert_allclose(outputs[:, 0], -outputs[:, 1])
    assert np.mean(outputs.argmax(axis=1) == task.train.y) == 1.0
    assert notes["parity"]["flips"] == 0


def test_a_file_counts_its_thresholds_and_leaves_and_multiplies_nothing_but_the_halves(tmp_path):
    notes, _, path = fitted(FakeTask.values(), tmp_path)
    counts = count(read_model(path))
    trees = notes["rounds"]
    # At most four leaves and three thresholds a tree, at least a leaf.
    assert trees <= counts.parameters <= 7 * trees
    assert (counts.macs, counts.uncounted) == (0, ())


def test_more_classes_have_a_tree_each_a_round(tmp_path):
    base = FakeTask.values(features=3)
    y = np.digitize(base.train.x[:, 0], [4.0, 6.0]).astype(np.int64)
    valid = np.digitize(base.valid.x[:, 0], [4.0, 6.0]).astype(np.int64)
    image = FakeTask.image()
    task = FakeTask(
        "three", "tabular-classification", base.input, image.output, Rows(base.train.x, y), Rows(base.valid.x, valid),
        Rows(base.test.x, valid), "accuracy",
    )  # fmt: skip
    _, session, _ = fitted(task, tmp_path)
    assert np.mean(session.run(task.valid.x).argmax(axis=1) == valid) > 0.9


def test_boosting_ends_at_its_limit_and_says_so(tmp_path):
    notes, _, _ = fitted(FakeTask.values(), tmp_path, Scale.of(trees=100, leaves=4, depth=2), limit_s=0.0)
    assert notes["stopped"] == "time limit"
    assert notes["curve"]["epoch"] == [8.0]


def test_boosting_ends_where_the_valid_rows_get_no_better(tmp_path):
    task = FakeTask.values()
    rng = np.random.default_rng(0)
    noise = FakeTask(
        task.name, task.kind, task.input, task.output, Rows(task.train.x, rng.normal(size=60).astype(np.float32)),
        Rows(task.valid.x, rng.normal(size=60).astype(np.float32)), task.test, "rmse",
    )  # fmt: skip
    notes, _, _ = fitted(noise, tmp_path, Scale.of(trees=300, leaves=8, depth=4))
    assert notes["stopped"] == "valid rows got no better"
    best = int(np.argmax(notes["curve"]["valid_quality"]))
    assert notes["rounds"] == notes["curve"]["epoch"][best]
    assert len(notes["curve"]["epoch"]) == best + 1 + PATIENCE


def test_trees_need_a_row_of_every_class(tmp_path):
    task = FakeTask.table()
    one = FakeTask(
        task.name, task.kind, task.input, task.output, Rows(task.train.x, np.zeros(60, np.int64)), task.valid,
        task.test, "accuracy",
    )  # fmt: skip
    with pytest.raises(WorkerError) as caught:
        fitted(one, tmp_path)
    assert caught.value.message == "trees need a training row of every class."


def test_few_rows_have_fewer_leaves_and_images_are_refused():
    assert TREES_FAMILY.knobs(FakeTask.values(rows=90))[1] == Knob("leaves", (4, 8))
    assert TREES_FAMILY.refusal(FakeTask.image()) == "it needs a table; mlp and linear take other inputs"


def test_categories_are_ordered_by_their_mean_target():
    task = FakeTask.table(rows=300)
    colour = task.train.x[:, 2].astype(int)
    y = (np.array([0.5, 0.9, 0.1, 0.5])[colour] > np.random.default_rng(0).uniform(size=300)).astype(np.int64)
    shaped = FakeTask(
        task.name, task.kind, task.input, task.output, Rows(task.train.x, y), task.valid, task.test, "accuracy"
    )
    recoding = recoding_of(shaped)
    assert (recoding.kept, recoding.recoded) == ((0, 1, 3), (2,))
    blue, green, red = recoding.ranks[0][1:]
    assert (blue > red > green) or (blue < red < green)
