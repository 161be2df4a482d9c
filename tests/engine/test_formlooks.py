"""Looks at forms in a worker: cut from shared weights, compressed without training, judged and timed."""

import json

import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, StepSetting
from steelyard.core.explored import Explored
from steelyard.engine.clock import Clock
from steelyard.engine.elastic import SharedWeights
from steelyard.engine.formlooks import look_at_forms
from steelyard.engine.forms import INT8
from steelyard.engine.messages import Exploration, FormLooks
from steelyard.tasks.metrics import METRICS
from steelyard.testing.fakes import FakeTask
from steelyard.training.recipe import Recipe

TASK = FakeTask.image()
SPACE = FamilySpace("cnn", (Knob("depth", (1, 2)), Knob("width", (2, 8)), Knob("resolution", (8,))))
CHAINS = (StepSetting("quantize", (("chains", True),)),)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elastic(tmp_path_factory) -> SharedWeights:
    metric = METRICS["accuracy"]
    families = {"cnn": registry.get("family", "cnn")}
    service = SharedWeights(TASK, families, Recipe(epochs=3), metric, metric, 0, tmp_path_factory.mktemp("f"), registry)
    service.explore(Exploration(SPACE, "onnxruntime", 60.0, 600.0, SPACE.size, forced=True), Clock(lambda _: None))
    return service


def look(elastic, *steps, options=((),), runtime="onnxruntime", scale=SPACE.largest, limit_s=60.0, batch=1):
    forms = tuple(Candidate("cnn", scale, each, runtime, option) for each in steps for option in options)
    made = look_at_forms(elastic, FormLooks(SPACE, forms, limit_s, batch=batch), Clock(lambda _: None))
    return [Explored.from_json(each) for each in made.notes["explored"]], made


def test_each_form_is_judged_timed_and_weighed(elastic):
    steps = ((INT8,), CHAINS, (StepSetting("quantize", (("bits", 4), ("mode", "weights"), ("packed", False))),))
    found, made = look(elastic, *steps)
    assert [each.candidate.steps for each in found] == list(steps)
    assert all(0 <= each.quality <= 1 and each.latency_s > 0 for each in found)
    assert len({each.size_bytes for each in found}) == len(steps)
    assert (made.notes["refused"], made.trained, set(made.seconds)) == ({}, False, {"look"})


def test_zeros_and_codebooks_are_looked_at_before_they_have_recovered(elastic):
    half, most = (StepSetting("sparsify", (("ratio", ratio),)) for ratio in (0.5, 0.8))
    encode = StepSetting("encode")
    found, made = look(elastic, (), (encode,), (half, encode), (most, encode), (most, StepSetting("share"), encode))
    assert made.notes["refused"] == {}
    sizes = [each.size_bytes for each in found[1:]]
    assert sizes == sorted(sizes, reverse=True)
    assert found[1].quality == found[0].quality


def test_options_change_the_time_alone(elastic):
    found, _ = look(elastic, (INT8,), options=((), (("arena", False),)))
    assert found[0].quality == found[1].quality
    assert found[0].size_bytes == found[1].size_bytes
    assert all(each.latency_s > 0 for each in found)


def test_a_form_that_can_not_be_made_is_told_and_the_others_are_looked_at(elastic):
    twice = (INT8, INT8)
    found, made = look(elastic, twice, (INT8,))
    assert [each.candidate.steps for each in found] == [(INT8,)]
    assert list(made.notes["refused"]) == ["quantize ×2"]
    assert made.notes["barred"] == [Candidate("cnn", SPACE.largest, twice).to_json()]


def test_one_form_is_always_looked_at_however_short_the_time(elastic):
    found, _ = look(elastic, (INT8,), CHAINS, limit_s=0.0)
    assert len(found) == 1


def test_looks_tell_the_same_of_the_same_form(elastic):
    scale = Scale.of(depth=2, width=2, resolution=8)
    first, again = (look(elastic, (INT8,), scale=scale)[0][0] for _ in range(2))
    assert (first.quality, first.size_bytes) == (again.quality, again.size_bytes)


def test_openvino_reads_the_cut_file(elastic):
    pytest.importorskip("openvino")
    found, made = look(elastic, (INT8,), runtime="openvino", options=((), (("shape", "fixed"),)), batch=4)
    assert made.notes["refused"] == {}
    assert all(each.latency_s > 0 and each.candidate.runtime == "openvino" for each in found)


def test_messages_survive_the_wire():
    asked = FormLooks(SPACE, (Candidate("cnn", SPACE.largest, (INT8,)),), 3.0, batch=2, threads=2)
    assert FormLooks.from_json(json.loads(json.dumps(asked.to_json()))) == asked
