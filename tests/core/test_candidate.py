import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale, Space, StepSetting, loading_of, steps_text
from steelyard.core.errors import InputError, UnknownNameError

names = st.text(alphabet="abcdefgh_", min_size=1, max_size=6)
settings = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=5) | st.booleans()
tables = st.dictionaries(names, settings, max_size=4)
scales = tables.map(Scale.from_json)
steps = st.builds(
    lambda name, table: StepSetting.from_json({**table, "name": name}), names, tables.filter(lambda t: "name" not in t)
)
options = tables.map(lambda table: tuple(table.items()))
candidates = st.builds(Candidate, names, scales, st.lists(steps, max_size=3).map(tuple), names, options)


PIPELINES = ((), (StepSetting("quantize"),))


def mlp_space(pipelines=PIPELINES):
    mlp = FamilySpace("mlp", (Knob("depth", (1, 2)), Knob("width", (8, 16, 32))))
    return Space((mlp, FamilySpace("linear")), pipelines)


def through_json(value):
    return json.loads(json.dumps(value))


@given(candidates)
def test_a_candidate_comes_back_from_json_with_its_key(candidate):
    back = Candidate.from_json(through_json(candidate.to_json()))
    assert back == candidate
    assert back.key == candidate.key


@given(scales)
def test_a_scale_comes_back_from_json(scale):
    assert Scale.from_json(through_json(scale.to_json())) == scale


@given(steps)
def test_a_step_comes_back_from_json(step):
    assert StepSetting.from_json(through_json(step.to_json())) == step


@given(candidates, candidates)
def test_keys_are_equal_exactly_where_the_json_is(one, other):
    same = json.dumps(one.to_json(), sort_keys=True) == json.dumps(other.to_json(), sort_keys=True)
    assert (one.key == other.key) == same


def test_keys_are_stable():
    """A change of either would orphan every study on every disk."""
    assert Candidate("mlp", Scale.of(width=32, depth=2)).key == "92ea694c0c15"
    quantized = Candidate("cnn", Scale.of(width=8, depth=1, kernel=3, resolution=4), (StepSetting("quantize"),))
    assert quantized.key == "553ae7ca7559"


def test_settings_are_sorted_so_their_order_does_not_matter():
    assert Scale((("width", 8), ("depth", 2))) == Scale.of(depth=2, width=8)


def test_a_scale_gives_its_settings_by_name():
    scale = Scale.of(width=8, name="a")
    assert scale["width"] == 8
    assert scale.integer("width", 1) == 8
    assert scale.integer("depth", 3) == 3
    with pytest.raises(KeyError):
        scale["depth"]


def test_candidates_read_well():
    plain = Candidate("mlp", Scale.of(width=32, depth=1))
    assert str(plain) == "mlp (depth 1, width 32)"
    assert str(Candidate("mlp", plain.scale, (StepSetting("quantize"),))) == "mlp (depth 1, width 32), quantize"
    assert str(Candidate("baseline", Scale())) == "baseline"


def test_the_uncompressed_form_differs_in_the_steps_alone():
    quantized = Candidate("mlp", Scale.of(width=32), (StepSetting("quantize"),), "other")
    assert not quantized.is_plain
    assert quantized.uncompressed == Candidate("mlp", Scale.of(width=32), (), "other")
    assert quantized.uncompressed.is_plain


@pytest.mark.parametrize("choices", [(), (1, 1), (2, 3, 2)])
def test_a_knob_without_choices_or_with_one_twice_is_refused(choices):
    with pytest.raises(InputError) as caught:
        Knob("width", choices)
    assert str(caught.value) == f"'width' must be a knob of at least one choice, each once, got {choices!r}."


def test_a_space_lists_each_of_its_candidates_once():
    space = mlp_space()
    everything = list(space.candidates())
    assert len(everything) == len({each.key for each in everything}) == space.size == (2 * 3 + 1) * 2
    assert all(each in space for each in everything)


def test_a_space_goes_from_the_first_knob_slowest_and_small_to_large():
    scales = [(scale["depth"], scale["width"]) for scale in mlp_space().families[0].scales()]
    assert scales == [(1, 8), (1, 16), (1, 32), (2, 8), (2, 16), (2, 32)]


@pytest.mark.parametrize(
    "stranger",
    [
        Candidate("cnn", Scale.of(width=8)),
        Candidate("mlp", Scale.of(width=8)),
        Candidate("mlp", Scale.of(width=9, depth=1)),
        Candidate("mlp", Scale.of(width=8, depth=1, kernel=3)),
        Candidate("mlp", Scale.of(width=8, depth=1), (StepSetting("prune"),)),
        Candidate("mlp", Scale.of(width=8, depth=1), (), "litert"),
    ],
)
def test_a_space_does_not_hold_strangers(stranger):
    assert stranger not in mlp_space()


def test_references_are_the_largest_uncompressed_of_each_family():
    assert mlp_space().references() == (
        Candidate("mlp", Scale.of(depth=2, width=32)),
        Candidate("linear", Scale()),
    )
    assert mlp_space().families[0].smallest == Scale.of(depth=1, width=8)


def test_a_space_must_hold_a_family_and_the_empty_pipeline():
    with pytest.raises(InputError) as caught:
        Space(())
    assert str(caught.value) == "'families' must name at least one family, got none."
    with pytest.raises(InputError) as caught:
        mlp_space(pipelines=((StepSetting("quantize"),),))
    assert str(caught.value) == "'pipelines' must hold the empty one, because the reference is uncompressed."


def test_an_unknown_family_of_a_space_names_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        mlp_space().family("mpl")
    assert str(caught.value) == "family 'mpl' is not known; did you mean 'mlp'?"


def test_a_spaces_json_is_plain_and_whole():
    assert through_json(mlp_space().to_json()) == {
        "families": [
            {
                "family": "mlp",
                "knobs": [{"name": "depth", "choices": [1, 2]}, {"name": "width", "choices": [8, 16, 32]}],
            },
            {"family": "linear", "knobs": []},
        ],
        "pipelines": [[], [{"name": "quantize"}]],
        "runtime": "onnxruntime",
    }


THREADS = ((), (("threads", 2),))


def test_without_options_the_json_is_that_of_older_studies():
    assert "options" not in Candidate("mlp", Scale()).to_json()
    assert "options" not in mlp_space().to_json()


def test_the_order_of_options_does_not_matter():
    one = Candidate("mlp", Scale(), options=(("threads", 2), ("arena", True)))
    other = Candidate("mlp", Scale(), options=(("arena", True), ("threads", 2)))
    assert one == other
    assert one.key == other.key != Candidate("mlp", Scale()).key


def test_a_candidate_says_its_options_last():
    candidate = Candidate("mlp", Scale.of(width=32), (StepSetting("quantize"),), options=(("threads", 2),))
    assert str(candidate) == "mlp (width 32), quantize, threads 2"


def test_training_and_the_file_know_nothing_of_options():
    quantized = Candidate("mlp", Scale(), (StepSetting("quantize"),))
    loaded = Candidate("mlp", Scale(), (StepSetting("quantize"),), options=(("threads", 2),))
    assert loaded.file == quantized.file == quantized
    assert loaded.uncompressed == quantized.uncompressed == Candidate("mlp", Scale())
    assert not Candidate("mlp", Scale(), options=(("threads", 2),)).is_plain


def test_threads_are_told_apart_from_the_other_options():
    assert loading_of(()) == (None, {})
    assert loading_of((("arena", False),)) == (None, {"arena": False})
    assert loading_of((("threads", 2), ("arena", False))) == (2, {"arena": False})


def test_a_space_says_which_threads_it_names():
    assert mlp_space().threads == ()
    assert Space(mlp_space().families, options=((), (("threads", 2),), (("arena", False), ("threads", 2)))).threads == (
        2,
    )


def test_options_multiply_the_space():
    plain, space = mlp_space(), Space(mlp_space().families, PIPELINES, options=THREADS)
    listed = list(space.candidates())
    assert space.size == len(listed) == len({each.key for each in listed}) == 2 * plain.size
    assert all(each in space for each in listed)
    assert sum(each in plain for each in listed) == plain.size
    assert [each.options for each in listed[:2]] == list(THREADS)
    assert space.to_json()["options"] == [{}, {"threads": 2}]


def test_the_reference_runs_by_the_defaults():
    space = Space(mlp_space().families, PIPELINES, options=THREADS)
    assert space.references() == mlp_space().references()


def test_a_space_without_the_defaults_is_refused():
    with pytest.raises(InputError, match="'options' must hold the empty choice"):
        Space(mlp_space().families, options=((("threads", 2),),))


def test_equal_steps_are_told_once_with_their_number():
    prune, distill = StepSetting("prune", (("keep", 0.6),)), StepSetting("distill")
    quantize = StepSetting("quantize", (("mode", "dynamic"),))
    half = StepSetting("prune", (("keep", 0.775),))
    steps = (prune, distill) * 3 + (quantize,)
    assert steps_text(steps) == "prune ×3 (keep 0.6), distill ×3, quantize (mode dynamic)"
    assert steps_text((prune, distill, half, distill)) == "prune (keep 0.6), distill ×2, prune (keep 0.775)"
    assert steps_text(()) == ""
    assert str(Candidate("net", Scale(), (prune, distill, distill))) == "net, prune (keep 0.6), distill ×2"
    assert str(half) == "prune (keep 0.775)"
    assert str(StepSetting("quantize", (("chains", True), ("packed", False)))) == "quantize (chains, no packed)"
