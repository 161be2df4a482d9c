"""Clusterings: what the rows speak for, and what is refused."""

import numpy as np
import pytest

from steelyard.core.errors import DataError
from steelyard.tasks.clustering import CLUSTERINGS, standardised
from steelyard.tasks.clusterings import Clustering, clusterings, indices
from steelyard.tasks.metrics import METRICS
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.testing import check_task


def two_crowds(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, (rows, 2)), rng.normal(9, 1, (rows, 2))])


def crescents(rows=100):
    angle = np.linspace(0, np.pi, rows)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = np.concatenate([upper, [1.0, 0.5] - upper])
    return points + np.random.default_rng(2).normal(0, 0.03, (2 * rows, 2))


@pytest.mark.slow
def test_round_clusters_are_k_means_and_crescents_are_not():
    round_ones = clusterings(two_crowds(), 0).chosen
    assert (round_ones.algorithm, round_ones.clusters) == ("kmeans", 2)
    found = clusterings(crescents(), 0)
    assert found.chosen.algorithm != "kmeans"
    assert found.chosen.clusters == 2
    assert [np.unique(part).size for part in np.split(found.chosen.labels, 2)] == [1, 1]
    wrong = next(each for each in found.tried if each.algorithm == "kmeans" and each.clusters == 2)
    assert wrong.figures["silhouette"] > found.chosen.figures["silhouette"]


@pytest.mark.slow
def test_one_crowd_has_no_clusters_and_silhouettes_are_the_metric():
    task = from_arrays(np.random.default_rng(0).normal(size=(150, 3)), kind="clustering")
    fact = next(each for each in task.facts if each.name == CLUSTERINGS)
    assert fact.value["chosen"] is None
    assert "there may be no clusters" in fact.text
    assert task.metric == "silhouette"


@pytest.mark.slow
def test_a_table_without_targets_is_a_task(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [
        f"{x:.3f},{'' if at % 9 == 0 else round(y, 3)},{'red' if at % 2 else 'blue'},7,{int(at >= 60)}"
        for at, (x, y) in enumerate(two_crowds())
    ]
    path.write_text("\n".join(["x,y,colour,same,known", *rows]) + "\n")
    task = from_data(path, "clustering", target="known")
    check_task(task)
    assert [column.name for column in task.input.columns] == ["x", "y", "colour", "same"]
    assert "column known is left out: clusters have no targets" in [fact.text for fact in task.facts]
    assert task.metric == "adjusted_rand"
    # Two numbers, one that is always the same, and two colours.
    assert task.train.y.shape[1] == 1 + 5
    np.testing.assert_array_equal(standardised(task.input, task.train.x), task.train.y[:, 1:])


def test_archives_need_no_targets(tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.ones((30, 2)))
    with pytest.raises(DataError) as caught:
        from_data(tmp_path / "rows.npz", "clustering")
    assert (
        caught.value.message
        == f"{tmp_path / 'rows.npz'} must hold at least 24 training rows to be clustered, got 18; add rows."
    )


def test_rows_that_are_all_equal_are_refused():
    with pytest.raises(DataError) as caught:
        from_arrays(np.ones((100, 2)), kind="clustering")
    assert caught.value.message == "'x' must hold rows that differ, got equal ones only."


def test_images_are_refused():
    with pytest.raises(DataError) as caught:
        from_arrays(np.ones((100, 4, 4)), kind="clustering")
    assert caught.value.message == "'x' must hold a table for clustering, got images."


def test_a_clustering_is_trusted_by_all_three_signs():
    labels = np.array([0, 0, 1, 1, -1])
    figures = {"stability": 0.9, "noise": 0.1, "boundary": 0.2}
    assert Clustering("kmeans", {"clusters": 2}, labels, figures).is_trusted
    for sign in ({"stability": 0.7}, {"noise": 0.3}, {"boundary": 0.6}):
        assert not Clustering("kmeans", {"clusters": 2}, labels, {**figures, **sign}).is_trusted
    assert str(Clustering("dbscan", {"radius": 0.12345}, labels, figures)) == "dbscan (radius 0.123)"


def test_figures_of_a_file_are_those_of_its_clusters():
    points = two_crowds(20)
    truth = np.repeat([0, 1], 20)
    targets = np.concatenate([truth[:, None], points], axis=1)
    outputs = np.eye(3)[truth] - 1
    figures = {name: METRICS[name](outputs, targets) for name in ("silhouette", "davies_bouldin", "calinski_harabasz")}
    assert figures == pytest.approx(indices(points, truth))
    assert METRICS["adjusted_rand"](outputs, targets) == 1.0
    one = np.eye(3)[np.zeros(40, dtype=int)]
    assert [METRICS[name](one, targets) for name in ("adjusted_rand", "silhouette", "calinski_harabasz")] == [0, 0, 0]
