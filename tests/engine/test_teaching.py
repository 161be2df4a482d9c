"""The cost model hears of what was measured, where there is one and it can learn from it."""

from pathlib import Path

import pytest

from steelyard.engine.teaching import teach
from steelyard.graph.identity import float_port, identity_model


@pytest.mark.parametrize(
    "changes", [{"runtime": "openvino"}, {"threads": 2}, {}], ids=["another runtime", "two threads", "none built"]
)
def test_nothing_is_learned_from_what_the_cost_model_does_not_know(tmp_path: Path, monkeypatch, changes) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = identity_model(tmp_path / "net.onnx", (float_port((3,)),))
    told = {"runtime": "onnxruntime", "threads": 1, "batch": 1, "shapes": {}, **changes}
    assert not teach(path, 1e-5, **told)
    assert not (tmp_path / "cache").exists()
