"""k-means: the file measures the distances that numpy does."""

import numpy as np
import pytest

from steelyard.core.candidate import Scale
from steelyard.core.errors import WorkerError
from steelyard.core.task import ClassOutput, Column, Rows, TableInput
from steelyard.families.centres import FARTHEST, write_centres
from steelyard.families.kmeans import KMEANS
from steelyard.runtimes.onnxruntime.run import OnnxRuntime
from steelyard.tasks.clustering import standardised
from steelyard.testing import check_family
from steelyard.testing.fakes import FakeTask

NUMBER = Column("a", "number", mean=3.0, std=2.0)
COLOUR = Column("c", "category", categories=("blue", "red"))
SPECS = [TableInput((NUMBER, NUMBER)), TableInput((COLOUR, NUMBER)), TableInput((COLOUR,))]


def clustering(spec, rows=40):
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, 3, rows) if column.kind == "category" else rng.normal(3, 2, rows) for column in spec.columns
    ]
    x = np.stack(columns, axis=1).astype(np.float32)
    y = np.concatenate([np.zeros((rows, 1)), standardised(spec, x)], axis=1).astype(np.float32)
    part = Rows(x, y)
    return FakeTask("clusters", "clustering", spec, ClassOutput((0, 1, 2)), part, part, part, "silhouette")


@pytest.mark.parametrize("spec", SPECS, ids=["numbers", "mixed", "categories"])
def test_outputs_are_negative_distances_and_what_a_scale_lacks_is_farther(spec, tmp_path):
    x = clustering(spec).train.x
    x[0] = np.nan
    points = standardised(spec, x)
    centres = points[:2]
    write_centres(spec, centres, 3, tmp_path / "m.onnx")
    outputs = OnnxRuntime().load(tmp_path / "m.onnx").run(x)
    wanted = -np.linalg.norm(points[:, None] - centres[None], axis=2)
    np.testing.assert_allclose(outputs[:, :2], wanted, atol=2e-3)
    assert (outputs[:, 2] == np.float32(FARTHEST)).all()


def test_the_contract_holds_where_rows_are_to_be_clustered():
    check_family(KMEANS, clustering(SPECS[1]))
    assert KMEANS.refusal(FakeTask.table()) == "it puts rows of a table into clusters; the task must be clustering"


def test_more_clusters_than_different_rows_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(WorkerError) as caught:
        KMEANS.fit(Scale.of(clusters=20), clustering(SPECS[2]), 0, tmp_path / "m.onnx", 60.0)
    assert caught.value.message == "20 clusters need as many different rows, got 3."
