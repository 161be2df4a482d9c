"""Micro-models: the same for the same number, valid, and accepted by the runtime in every mode."""

from collections import Counter

import numpy as np
import onnxruntime
import pytest

from steelyard.graph.micro.mixture import draw_micro


def test_a_number_is_always_the_same_model() -> None:
    for number in (0, 17, 400):
        one, two = draw_micro(number), draw_micro(number)
        assert one.model.SerializeToString() == two.model.SerializeToString()
        assert one.feeds == two.feeds


def test_all_sorts_and_modes_are_drawn() -> None:
    drawn = Counter((micro.style, micro.mode) for micro in map(draw_micro, range(300)))
    assert {style for style, _ in drawn} == {"pictures", "encoders", "recurrent", "products", "mixture"}
    assert {mode for _, mode in drawn} == {"float", "weighted", "static", "dynamic"}


@pytest.mark.slow
def test_the_runtime_runs_them_and_fuses_the_integer_ones() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    operators: Counter[str] = Counter()
    for number in range(60):
        micro = draw_micro(number)
        rng = np.random.default_rng(number)
        arrays = {
            feed.name: rng.integers(0, feed.below, feed.shape)
            if feed.type == "int64"
            else rng.standard_normal(feed.shape, dtype=np.float32)
            for feed in micro.feeds
        }
        session = onnxruntime.InferenceSession(
            micro.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        outputs = session.run(None, arrays)
        assert len(outputs) == len(micro.model.graph.output)
        operators.update(node.op_type for node in micro.model.graph.node)
    assert operators["Conv"] > 100
    assert operators["QuantizeLinear"] > 100
