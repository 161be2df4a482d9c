import os

import numpy as np
import pytest

from steelyard.builtin import registry
from steelyard.core.task import Rows
from steelyard.engine.looks import Look, processors_for, quick_latency
from steelyard.graph.identity import float_port, identity_model
from steelyard.tasks.metrics import METRICS

ROWS = Rows(np.eye(3, dtype=np.float32), np.array([0, 1, 1]))


class Session:
    def __init__(self):
        self.seen = []

    def run(self, x):
        self.seen.append(x.shape)
        return x


def look(runtime="onnxruntime", batch=1):
    return Look.by(registry, runtime, METRICS["accuracy"], ROWS, batch=batch, threads=1)


def test_a_look_tells_quality_bytes_and_time(tmp_path):
    path = identity_model(tmp_path / "model.onnx", (float_port((3,)),))
    asked = look()
    assert asked.file(path) == path
    assert asked.quality(path) == pytest.approx(2 / 3)
    assert asked.size_bytes(path) == path.stat().st_size
    assert asked.latency_s(path) > 0
    assert asked.latency_s(path, (("optimisation", "none"),)) > 0


def test_calls_have_as_many_rows_as_are_asked_for_however_few_there_are():
    session = Session()
    quick_latency(session, look(batch=7)._feed())
    assert set(session.seen) == {(7, 3)}


def test_a_runtime_that_reads_no_onnx_file_is_not_timed(tmp_path):
    path = identity_model(tmp_path / "model.onnx", (float_port((3,)),))
    asked = look("torch")
    assert asked.file(path) == path
    assert asked.quality(path) == pytest.approx(2 / 3)
    assert asked.latency_s(path) is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processors can't be chosen here")
def test_processors_are_given_back():
    own = os.sched_getaffinity(0)
    with processors_for(2):
        assert os.sched_getaffinity(0) >= own
    assert os.sched_getaffinity(0) == own
    with processors_for(1):
        assert os.sched_getaffinity(0) == own
