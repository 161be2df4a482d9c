import pytest

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, Scale, StepSetting, steps_text
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.engine.forms import INT8, MIXED, PIPELINES, pipelines_asked


@pytest.mark.parametrize("asked", [("quantize",), ("encode",), ("sparsify", "share"), ("encode", "share", "quantize")])
def test_the_empty_pipeline_comes_first_and_none_comes_twice(asked):
    found = pipelines_asked(asked, registry)
    assert found[0] == ()
    assert len(set(found)) == len(found)
    assert [len(each) for each in found] == sorted(len(each) for each in found)
    assert {step.name for each in found for step in each} == set(asked)


def test_the_order_in_which_steps_are_named_is_of_no_account():
    assert pipelines_asked(("encode", "quantize"), registry) == pipelines_asked(("quantize", "encode"), registry)


def test_steps_on_modules_come_before_those_on_files_and_encode_is_last():
    order = ("sparsify", "share", "quantize", "encode")
    for each in pipelines_asked(order, registry):
        places = [order.index(step.name) for step in each]
        assert places == sorted(set(places))


def test_what_was_searched_before_has_the_key_that_it_had():
    assert ((), (StepSetting("quantize"),)) == PIPELINES
    assert (
        Candidate("cnn", Scale.of(width=8), (INT8,)).key
        == Candidate.from_json(
            {"family": "cnn", "scale": {"width": 8}, "steps": [{"name": "quantize"}], "runtime": "onnxruntime"}
        ).key
    )
    assert set(PIPELINES) | set(MIXED) <= set(pipelines_asked(("quantize",), registry))


def test_all_steps_together_are_few_enough_to_be_looked_at():
    found = pipelines_asked(("quantize", "sparsify", "share", "encode"), registry)
    assert [steps_text(each) for each in found] == [
        "",
        "sparsify (ratio 0.5)",
        "sparsify (ratio 0.8)",
        "share",
        "quantize",
        "quantize (keep_float 1)",
        "quantize (keep_float 2)",
        "quantize (keep_float 4)",
        "quantize (chains)",
        "quantize (chains, keep_float 1)",
        "quantize (mode dynamic)",
        "quantize (mode weights, no packed)",
        "quantize (bits 4, mode weights, no packed)",
        "encode",
        "sparsify (ratio 0.8), share",
        "sparsify (ratio 0.5), quantize",
        "sparsify (ratio 0.8), quantize",
        "sparsify (ratio 0.5), encode",
        "sparsify (ratio 0.8), encode",
        "share, encode",
        "quantize, encode",
        "quantize (mode weights, no packed), encode",
        "quantize (bits 4, mode weights, no packed), encode",
        "sparsify (ratio 0.8), share, encode",
        "sparsify (ratio 0.5), quantize, encode",
        "sparsify (ratio 0.8), quantize, encode",
    ]


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ((), InputError, "'steps' must name at least one step, got none."),
        (
            ("prune",),
            InputError,
            "'steps' prune makes a model smaller, which the search does by its scale; leave it out.",
        ),
        (
            ("distill",),
            InputError,
            "'steps' must be of quantize, sparsify, share, encode where models are trained, got 'distill'; "
            "leave it out.",
        ),
        (("quantise",), UnknownNameError, "step 'quantise' is not known; did you mean 'quantize'?"),
    ],
)
def test_steps_that_can_not_be_searched_are_refused(asked, error, message):
    with pytest.raises(error) as caught:
        pipelines_asked(asked, registry)
    assert caught.value.message == message
