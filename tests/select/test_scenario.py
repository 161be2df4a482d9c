"""Scenarios: what ships can be used and says where it comes from; what a user writes is checked."""

import pytest

from steelyard.core.errors import InputError
from steelyard.select.scenario import read_scenario, scenario_names

ASKED_FOR = (
    *("driving", "medical-imaging", "speech", "language", "recognition", "recommendation", "mobile", "embedded"),
    *("microcontroller", "edge", "cloud", "realtime"),
)


def test_those_that_people_ask_for_are_there():
    assert set(ASKED_FOR) <= set(scenario_names())


@pytest.mark.parametrize("name", scenario_names())
def test_every_figure_has_a_source_and_every_scenario_a_sentence(name):
    scenario = read_scenario(name)
    assert scenario.about.endswith(".")
    figures = {option.replace("_", "-") for option in (*scenario.asked, *scenario.options)} - {"minimize"}
    assert figures == set(scenario.sources)
    assert scenario.weights["quality"] > 0
    assert sum(scenario.weights.values()) == pytest.approx(1)
    assert scenario.goal.limits or scenario.options.get("batch", 1) > 1


def test_limits_are_kept_in_si_units_and_as_they_stand():
    scenario = read_scenario("mobile")
    assert (scenario.goal.max_size_bytes, scenario.goal.max_latency_s) == (6e6, 0.1)
    assert scenario.asked["max_size_mb"] == 6
    assert read_scenario("cloud").options == {"batch": 8}


def test_weights_count_for_the_genetic_algorithm_alone():
    scenario = read_scenario("mobile")
    assert scenario.options_for(strategy="elastic") == {}
    assert scenario.options_for(strategy="ga") == {
        "strategy_options": {"weight_quality": 0.5, "weight_speed": 0.3, "weight_size": 0.2}
    }


def test_a_file_of_ones_own_works_the_same_way(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text("max-drop: 1%\nmax-latency-ms: 40\nthreads: 2\nfamilies: {image-classification: cnn}\n")
    scenario = read_scenario(str(path))
    assert (scenario.name, scenario.goal.max_drop, scenario.goal.max_latency_s) == ("shop", 0.01, 0.04)
    assert (scenario.options, scenario.families_for("image-classification")) == ({"threads": 2}, "cnn")
    assert scenario.families_for("clustering") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max-latncy-ms: 3", "has the unknown field 'max-latncy-ms'; did you mean 'max-latency-ms'?"),
        ("- 3", "must hold fields such as `max-size-mb: 0.5`, got a list."),
        ("max-size-mb: -1", "can't be used: 'max_size_bytes' must be a positive finite number, got -1000000.0."),
        ("threads: many", "can't be used (Expected `int | null`, got `str` - at `$.threads`); mend it there."),
    ],
)
def test_what_can_not_be_used_is_told_in_one_sentence(text, message, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_scenario(str(path))
    assert str(caught.value) == f"'scenario' {path} {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{quality: 0}", "weight 'quality' of {} must be above 0: smallness alone ends at the smallest model."),
        ("{speed: -1}", "weight 'speed' of {} must be at least 0, got -1.0."),
    ],
)
def test_weights_that_mean_nothing_are_refused(text, message, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"weights: {text}")
    with pytest.raises(InputError) as caught:
        read_scenario(str(path))
    assert str(caught.value) == message.format(f"'scenario' {path}")


def test_unknown_names_and_missing_files_are_told(tmp_path):
    with pytest.raises(InputError) as caught:
        read_scenario("mobil")
    assert str(caught.value) == "scenario 'mobil' is not known; did you mean 'mobile'?"
    with pytest.raises(InputError) as caught:
        read_scenario(str(tmp_path / "none.yaml"))
    assert str(caught.value).endswith("none.yaml can't be read (No such file or directory); check the path.")
