"""Which ways of loading a search tries, and what of them it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cli.dryrun import describe_plan, plan_text
from steelyard.core.errors import InputError
from steelyard.engine.options import loading_knobs, options_of
from steelyard.engine.request import Request, resolve
from steelyard.runtimes.onnxruntime.run import RUNTIME

KNOWN = {"threads": (1, 2, 3, 4), "optimisation": ("all", "basic", "none"), "arena": (True, False)}
ASKED = st.fixed_dictionaries(
    {}, optional={name: st.lists(st.sampled_from(each), min_size=1, unique=True) for name, each in KNOWN.items()}
)


@given(ASKED)
def test_choices_are_distinct_hold_no_default_and_begin_with_none(asked):
    choices = options_of(asked, KNOWN)
    assert choices[0] == ()
    assert len(set(choices)) == len(choices)
    assert all(setting != KNOWN[name][0] for choice in choices for name, setting in choice)
    assert {name for choice in choices for name, _ in choice} <= asked.keys()


@given(ASKED)
def test_how_they_were_asked_for_does_not_matter(asked):
    turned = {name: asked[name][::-1] for name in reversed(asked)}
    assert options_of(turned, KNOWN) == options_of(asked, KNOWN)


def test_every_combination_is_tried():
    choices = options_of({"threads": (1, 2), "optimisation": ("none", "all")}, KNOWN)
    assert choices == (
        (),
        (("optimisation", "none"),),
        (("threads", 2),),
        (("threads", 2), ("optimisation", "none")),
    )


def test_the_defaults_are_tried_even_where_they_were_not_asked_for():
    assert options_of({"threads": (2,)}, KNOWN) == ((), (("threads", 2),))


def test_what_was_typed_is_a_truth_value_where_the_option_is_one():
    assert options_of({"arena": ("true", "False")}, KNOWN) == ((), (("arena", False),))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"optimisation": ("al",)}, "'knob' optimisation must be one of all, basic, none, got 'al'."),
        ({"arena": (0,)}, "'knob' arena must be one of true, false, got 0."),
        ({"threads": (0,)}, "'knob' threads must be whole numbers from 1 to 4, got 0."),
        ({"threads": (2.0,)}, "'knob' threads must be whole numbers from 1 to 4, got 2.0."),
        ({"threads": (True,)}, "'knob' threads must be whole numbers from 1 to 4, got True."),
        ({"threads": (2, 2)}, "'knob' threads must have at least one choice, each once, got 2, 2."),
        ({"threads": ()}, "'knob' threads must have at least one choice, each once, got none."),
    ],
)
def test_settings_that_an_option_lacks_are_refused(asked, message):
    with pytest.raises(InputError) as caught:
        options_of(asked, KNOWN)
    assert (caught.value.message, caught.value.field) == (message, "knob")


def test_threads_and_what_the_runtime_lists_can_be_knobs_the_defaults_first():
    known = loading_knobs(RUNTIME, 2)
    assert known["threads"][:2] == (2, 1)
    assert known.keys() == {"threads", *RUNTIME.options}


def resolved(**fields):
    return resolve(Request("digits", model="mlp", **fields))


def test_a_question_splits_its_knobs_into_scales_and_options():
    plan = resolved(knobs={"width": (8, 32), "threads": (1, 2), "arena": ("false",)})
    assert {knob.name: knob.choices for knob in plan.space.families[0].knobs}["width"] == (8, 32)
    assert plan.space.options == ((), (("arena", False),), (("arena", False), ("threads", 2)))
    assert plan.space.references()[0].options == ()


def test_the_default_of_threads_is_what_was_asked_for():
    assert resolved(threads=2, knobs={"threads": (1, 2)}).space.options == ((), (("threads", 1),))


def test_a_study_without_options_is_the_study_that_it_was():
    assert resolved(knobs={"threads": (1,)}).identity == resolved().identity


def test_the_familys_own_knob_of_that_name_comes_first(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "import torch\n\n\ndef net(inputs, outputs, threads=4):\n    return torch.nn.Linear(inputs, outputs)\n",
        encoding="utf-8",
    )
    space = resolve(Request("wine", model=f"{own}:net", knobs={"threads": (1, 2), "arena": (True, False)})).space
    assert {knob.name: knob.choices for knob in space.families[0].knobs} == {"threads": (1, 2)}
    assert space.options == ((), (("arena", False),))


def test_the_plan_for_people_names_the_ways_of_loading():
    plain = describe_plan(resolved(knobs={"depth": (1,), "width": (8,), "threads": (1, 2)}))
    assert plain["space"]["options"] == [{}, {"threads": 2}]
    lines = plan_text(plain).splitlines()
    assert "options: the defaults | threads 2" in lines
    assert "candidates: 4 in all" in lines
