"""The Python interface refuses what the command line can't even say."""

import pytest

import steelyard
from steelyard import Budget, Goal
from steelyard.builtin import registry
from steelyard.engine.request import Request, resolve
from steelyard.select.scenario import read_scenario, scenario_names

RULE = "'knobs' must map names to sequences of numbers or texts, such as {'width': (10, 50, 100)}, got "


def refusal(ask):
    with pytest.raises(steelyard.SteelyardError) as caught:
        ask()
    return caught.value.message, caught.value.field


@pytest.mark.parametrize(
    ("options", "message", "field"),
    [
        ({"modle": "mlp"}, "option 'modle' is not known; did you mean 'model'?", "modle"),
        ({"goal": 0.01}, "'goal' must be a Goal, got 0.01.", "goal"),
        ({"budget": "60s"}, "'budget' must be a Budget, got '60s'.", "budget"),
        ({"seed": 1.5}, "'seed' must be between 0 and 2147483647, got 1.5.", "seed"),
        ({"batch": True}, "'batch' must be a whole number from 1 to 65536, got True.", "batch"),
        ({"seeds": 0}, "'seeds' must be a whole number from 1 to 100, got 0.", "seeds"),
        ({"halving": "no"}, "'halving' must be True, False or None, got 'no'.", "halving"),
        ({"seeds": 1000}, "'seeds' must be a whole number from 1 to 100, got 1000.", "seeds"),
        ({"model": 3}, "'model' must be a name, or names, got 3.", "model"),
        ({"model": ["mlp", 3]}, "'model' must be a name, or names, got ('mlp', 3).", "model"),
        ({"out": 3}, "'out' must be a path, got 3.", "out"),
        ({"plugins": 3}, "'plugins' must be addresses module:function, got 3.", "plugins"),
        ({"steps": [3]}, "'steps' must be names of steps, got (3,).", "steps"),
        ({"steps": ()}, "'steps' must name at least one step, got none.", "steps"),
        ({"steps": "quantise"}, "step 'quantise' is not known; did you mean 'quantize'?", "steps"),
        (
            {"steps": "prune"},
            "'steps' prune makes a model smaller, which the search does by its scale; leave it out.",
            "steps",
        ),
        ({"learning_rate": "x"}, "'learning_rate' must be a number, got 'x'.", "learning_rate"),
        ({"loss": 3}, "'loss' must be a text that is not empty, got 3.", "loss"),
        ({"knobs": {"width": 10}}, f"{RULE}10 for 'width'.", "knobs"),
        ({"knobs": {"width": "10"}}, f"{RULE}'10' for 'width'.", "knobs"),
        ({"knobs": {"width": [[1]]}}, f"{RULE}[[1]] for 'width'.", "knobs"),
        ({"knobs": [("width", 10)]}, f"{RULE}[('width', 10)].", "knobs"),
    ],
)
def test_options_of_the_wrong_kind_are_refused(options, message, field):
    assert refusal(lambda: steelyard.find("digits", **options)) == (message, field)


def test_a_task_is_a_task_or_a_name():
    assert refusal(lambda: steelyard.resolve(3)) == ("'task' must be a task or the name of one, got 3.", "task")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_drop": "1%"}, "'max_drop' must be a finite number of at least 0, got '1%'."),
        ({"confidence": "0.9"}, "'confidence' must be at least 0.5 and below 1, got '0.9'."),
        ({"minimize": ["latency"]}, "'minimize' must be one of latency, size, memory, energy, got ['latency']."),
        ({"max_latency_s": "1"}, "'max_latency_s' must be a positive finite number, got '1'."),
        ({"min_quality": "x"}, "'min_quality' must be a finite number, got 'x'."),
        ({"metric": 3}, "'metric' must be a name, got 3."),
    ],
)
def test_a_goal_of_wrong_values_is_refused(fields, message):
    assert refusal(lambda: Goal(**fields)) == (message, next(iter(fields)))


@pytest.mark.parametrize(
    ("fields", "message", "field"),
    [
        ({"wall_s": "60s"}, "'budget' must be a positive duration, got '60s'.", "budget"),
        ({"trials": 1.5}, "'trials' must be at least 1, got 1.5.", "trials"),
        ({"wall_s": 1e9}, "'budget' must be at most a year (8760h), got 1e+09 s.", "budget"),
    ],
)
def test_a_budget_of_wrong_values_is_refused(fields, message, field):
    assert refusal(lambda: Budget(**fields)) == (message, field)


def test_choices_are_sorted_so_that_the_reference_is_the_largest():
    plan = resolve(Request("digits", knobs={"width": (100, 10, 50)}))
    (family,) = plan.space.families
    assert {knob.name: knob.choices for knob in family.knobs}["width"] == (10, 50, 100)
    assert plan.space.references()[0].scale["width"] == 100


OWN = """
import torch
def net(inputs, outputs, {arguments}):
    return torch.nn.Linear(inputs, outputs)
"""


def test_a_space_of_more_candidates_than_atoms_in_a_room_is_refused(tmp_path):
    names = "abcdefghij"
    path = tmp_path / "own.py"
    path.write_text(OWN.format(arguments=", ".join(f"{name}=1" for name in names)), encoding="utf-8")
    knobs = {name: tuple(range(1000)) for name in names}
    assert refusal(lambda: steelyard.resolve("digits", model=f"{path}:net", knobs=knobs)) == (
        "'knob' spans 2e+30 candidates, more than 1,000,000; give fewer choices.",
        "knob",
    )


def test_a_space_of_one_scale_and_fewer_trials_than_families_are_questions_like_any_other():
    plan = steelyard.resolve("digits", model="mlp", knobs={"depth": (1,), "width": (8,)}, runtime="torch")
    assert plan.space.size == 1
    plan = steelyard.resolve("digits", model="mlp,cnn,linear", budget=Budget(None, 1))
    assert len(plan.firsts) == 4


def test_steps_are_named_with_commas_or_as_a_list():
    asked = [
        steelyard.resolve("digits", model="mlp", steps=each).space.pipelines
        for each in ("quantize, encode", ["quantize", "encode"], ("encode", "quantize"))
    ]
    assert asked[0] == asked[1] == asked[2]
    assert ("quantize", "encode") in {tuple(step.name for step in each) for each in asked[0]}


def test_mixed_precision_is_added_where_estimates_are_cheap_and_changes_no_study():
    cheap, scratch = (steelyard.resolve("digits", model="mlp", strategy=each) for each in ("elastic", "random"))
    assert cheap.identity == scratch.identity
    assert cheap.size == scratch.size == scratch.space.size
    assert set(cheap.space.pipelines) - set(scratch.space.pipelines) == set(cheap.added)
    assert [each[0].settings for each in cheap.added] == [(("keep_float", 1),), (("keep_float", 2),)]


def test_steps_that_were_asked_for_are_another_study():
    plans = [steelyard.resolve("digits", model="mlp", steps=each) for each in (None, "quantize")]
    assert plans[0].identity["steps"] == [[], [{"name": "quantize"}]]
    assert plans[1].identity["steps"] != plans[0].identity["steps"]
    assert plans[1].added == ()


def test_an_encoded_file_is_of_no_use_to_a_runtime_with_files_of_its_own():
    pytest.importorskip("openvino")
    assert refusal(lambda: steelyard.resolve("digits", model="mlp", runtime="openvino", steps="encode")) == (
        "'steps' encode makes ONNX files smaller, but openvino has files of its own; leave encode out.",
        "steps",
    )


def test_a_runtime_that_reads_no_onnx_has_no_steps():
    assert refusal(lambda: steelyard.resolve("digits", model="mlp", runtime="torch", steps="quantize")) == (
        "'steps' can't be searched for torch, whose files are not made of ONNX files; leave it out.",
        "steps",
    )


def test_a_scenario_fills_in_what_is_not_given():
    plan = steelyard.resolve("digits", scenario="mobile", strategy="ga")
    assert (plan.scenario, plan.goal.max_size_bytes, plan.goal.max_latency_s) == ("mobile", 6e6, 0.1)
    assert plan.strategy.weight_speed == 0.3
    own = steelyard.resolve("digits", scenario="cloud", goal=Goal(max_drop=0.05), batch=2)
    assert (own.goal, own.batch) == (Goal(max_drop=0.05), 2)
    assert steelyard.resolve("digits", scenario="cloud").batch == 8


@pytest.mark.parametrize("name", scenario_names())
def test_families_that_a_scenario_starts_with_are_there(name):
    named = ",".join(read_scenario(name).families.values()).split(",")
    assert set(named) - {""} <= set(registry.names("family"))
