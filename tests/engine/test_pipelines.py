"""Which pipelines a model that is there already may go through."""

from pathlib import Path

import pytest
from numpy import float32, ones
from onnx import TensorProto, helper, numpy_helper, save

from steelyard.builtin import registry
from steelyard.core.errors import InputError
from steelyard.core.goal import Goal
from steelyard.engine.given import GivenModel
from steelyard.engine.pipelines import Steps, pipelines_of

MODULE = GivenModel("net", None, "nets.py:net", None, ())
FILE = GivenModel("net", "net.onnx", None, None, ())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    weight = numpy_helper.from_array(ones((4, 4), float32), "w")
    graph = helper.make_graph([node], "net", values[:1], values[1:], [weight])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def names(pipelines: tuple[Steps, ...]) -> set[tuple[str, ...]]:
    return {tuple(step.name for step in steps) for steps in pipelines}


def test_the_empty_one_comes_first_and_every_beginning_of_a_body_is_a_body(path: Path) -> None:
    found = pipelines_of(MODULE, path, registry, asked=None, goal=Goal())
    assert found[0] == ()
    assert len(set(found)) == len(found)
    bodies = {steps for steps in found if steps and steps[-1].name in ("distill", "prune")}
    assert all(steps[:-2] in (*bodies, ()) or steps[:-1] in bodies for steps in bodies if steps[-1].name == "distill")


def test_a_file_without_training_code_gets_steps_on_files_alone(path: Path) -> None:
    found = names(pipelines_of(FILE, path, registry, asked=None, goal=Goal()))
    assert all(set(steps) <= set(registry.names("step")) for steps in found)
    assert ("quantize",) in found


def test_only_the_steps_that_were_asked_for_are_used(path: Path) -> None:
    found = names(pipelines_of(MODULE, path, registry, asked=("prune",), goal=Goal()))
    assert {name for steps in found for name in steps} == {"prune"}
    recovered = names(pipelines_of(MODULE, path, registry, asked=("prune", "distill"), goal=Goal()))
    assert ("prune", "distill") in recovered


def test_steps_that_can_not_be_applied_are_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"^'steps' prune can't be applied to an ONNX file; name others\.$"):
        pipelines_of(FILE, path, registry, asked=("prune",), goal=Goal())


def test_where_bytes_count_weights_are_tried_in_eight_bits_and_in_four(path: Path) -> None:
    found = pipelines_of(FILE, path, registry, asked=("quantize",), goal=Goal(minimize="size"))
    tried = [dict(steps[0].settings) for steps in found if steps]
    small = [each.get("bits", 8) for each in tried if each.get("mode") == "weights"]
    assert (small[0], small[-1], small.count(4)) == (8, 4, 1)
    fast = pipelines_of(FILE, path, registry, asked=("quantize",), goal=Goal())
    assert all(dict(steps[0].settings).get("bits", 8) == 8 for steps in fast if steps)


def test_a_file_with_nothing_to_make_smaller_is_refused(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", values[:1], values[1:])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")
    with pytest.raises(
        InputError,
        match=r"^'model' net holds no product with float weights that a step could make smaller; is it quantized ",
    ):
        pipelines_of(FILE, tmp_path / "net.onnx", registry, asked=None, goal=Goal())
