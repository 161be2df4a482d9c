"""Families that learn by themselves, in a question."""

from dataclasses import replace

import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Space, StepSetting
from steelyard.core.errors import InputError
from steelyard.core.protocols import FittedFamily
from steelyard.engine.alone import Question, default_families
from steelyard.engine.request import Request, resolve
from steelyard.strategies.uniform import random_order
from steelyard.testing.fakes import FakeTask

TABLE = replace(FakeTask.table(), defaults={"families": ["mlp", "trees"]})


def test_trees_and_k_means_learn_by_themselves_and_networks_do_not():
    alone = {name for name in registry.names("family") if isinstance(registry.get("family", name), FittedFamily)}
    assert {"trees", "kmeans"} <= alone
    assert not alone & {"mlp", "cnn", "resnet", "linear", "baseline"}


def test_trees_compete_on_tables_unless_the_question_is_about_networks():
    assert default_families(Question("onnxruntime"), registry, TABLE) == ("mlp", "trees")
    for question in (
        Question("openvino"),
        Question("onnxruntime", is_ladder=True),
        Question("onnxruntime", lessons=("epochs",)),
    ):
        assert default_families(question, registry, TABLE) == ("mlp",)


def refused(**asked):
    with pytest.raises(InputError) as caught:
        resolve(Request("wine", **asked))
    return caught.value.message


def test_what_trees_cannot_do_is_said_in_one_sentence():
    assert refused(model="trees", epochs=3) == (
        "'epochs' says how networks are trained, but 'trees' learns by itself; leave it out or name another model."
    )
    assert refused(model="mlp,trees", runtime="executorch") == (
        "'runtime' executorch makes its files of torch modules, but 'trees' writes ONNX files; use onnxruntime or name "
        "another model."
    )
    assert refused(model="kmeans") == (
        "'model' 'kmeans' can't learn 'wine': it puts rows of a table into clusters; the task must be clustering."
    )


def test_a_space_tries_no_steps_on_what_learns_by_itself():
    knobs = (Knob("width", (1, 2)),)
    quantize = StepSetting("quantize")
    space = Space((FamilySpace("net", knobs), FamilySpace("trees", knobs, is_module=False)), ((), (quantize,)))
    listed = list(space.candidates())
    assert len(listed) == len(set(listed)) == space.size == 6
    assert all(each in space for each in listed)
    assert set(random_order(space, 0)) == set(listed)
    assert Candidate("trees", space.families[1].largest, (quantize,)) not in space
