"""`--config`: the field that is wrong is named, the command line wins, nothing in the file runs."""

import pytest

from steelyard.cli.config import read_config
from steelyard.cli.finding import merged, with_scenario

HINT = "docs/reference/config.md has every field."
BAD = [
    ("max-dorp: 1\n", "'config' c.yaml has the unknown field 'max-dorp'; did you mean 'max-drop'?", "max-dorp"),
    ("max_drop: 1\n", "'config' c.yaml has the unknown field 'max_drop'; did you mean 'max-drop'?", "max_drop"),
    ("zzz: 1\n", f"'config' c.yaml has the unknown field 'zzz'; {HINT}", "zzz"),
    ("1: 2\n", f"'config' c.yaml has the unknown field '1'; {HINT}", "1"),
    ("trials: many\n", "'trials' of 'config' c.yaml must be int, got str.", "trials"),
    ("knob:\n  width: 10\n", "'knob' of 'config' c.yaml must be array, got int.", "knob"),
    ("knob:\n  width: [true]\n", "'knob[0]' of 'config' c.yaml must be int or float or str, got bool.", "knob[0]"),
    ("strategy-option: 5\n", "'strategy-option' of 'config' c.yaml must be object, got int.", "strategy-option"),
    ("- a\n", "'config' c.yaml must hold fields such as `task: digits`, got a list.", "config"),
    ("hello", "'config' c.yaml must hold fields such as `task: digits`, got a str.", "config"),
]


@pytest.mark.parametrize(("text", "message", "field"), BAD)
def test_a_wrong_field_is_named(refused, tmp_path, text, message, field):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert refused("find", "digits", "--config", "c.yaml") == ("config", message, field)


@pytest.mark.parametrize("content", [b"a: [1\n : :", bytes(range(128, 256)), b"[" * 1200])
def test_what_is_no_yaml_is_refused(refused, tmp_path, content):
    (tmp_path / "c.yaml").write_bytes(content)
    kind, message, field = refused("find", "digits", "--config", "c.yaml")
    assert (kind, field) == ("config", "config")
    assert message.startswith("'config' c.yaml is no YAML (")


def test_a_config_that_is_not_there_is_refused(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    assert refused("find", "--config", "none.yaml")[1] == (
        "'config' none.yaml can't be read (No such file or directory); check the path."
    )
    assert refused("find", "--config", "folder")[1] == "'config' folder can't be read (Is a directory); check the path."


def test_a_config_runs_no_code(refused, tmp_path):
    (tmp_path / "c.yaml").write_text("task: !!python/object/apply:os.system ['touch pwned']\n", encoding="utf-8")
    assert refused("find", "--config", "c.yaml")[0] == "config"
    assert not (tmp_path / "pwned").exists()


def test_an_empty_config_asks_for_nothing(refused, tmp_path):
    (tmp_path / "c.yaml").write_text("", encoding="utf-8")
    assert read_config(tmp_path / "c.yaml") == {}
    assert refused("find", "--config", "c.yaml")[1].startswith("'task' must be named")


def test_values_of_a_config_are_checked_like_options(refused, tmp_path):
    for text, message in (
        (
            "strategy: ga\nstrategy-option:\n  elite: 0\n",
            "'elite' must be a whole number from 1 to 1000, got 0.",
        ),
        ("budget: 60\n", "'budget' must be a positive number with a unit (60s, 10m or 2h), got '60'."),
        ("confidence: .nan\n", "'confidence' must be at least 0.5 and below 1, got nan."),
        ("knob:\n  width: []\n", "'knob' width must have at least one choice, each once, got none."),
    ):
        (tmp_path / "c.yaml").write_text(f"task: digits\n{text}", encoding="utf-8")
        assert refused("find", "--config", "c.yaml")[1] == message


def test_the_command_line_wins():
    config = {"max_drop": "2%", "relative": True, "seed": 3}
    assert merged(config, {"max_drop": "0.03", "seed": None}) == {"max_drop": "0.03", "relative": True, "seed": 3}
    assert merged(config, {"absolute": True}) == {"max_drop": "2%", "absolute": True, "seed": 3}
    assert merged({"absolute": True}, {"relative": True}) == {"relative": True}


def test_the_scenario_comes_under_both(tmp_path):
    (tmp_path / "own.yaml").write_text("max-size-mb: 2\nmax-drop: 0.05\nmax-latency-ms: 40\n", encoding="utf-8")
    asked = with_scenario(merged({"scenario": str(tmp_path / "own.yaml"), "max_drop": "1%"}, {"max_size_mb": 3.0}))
    assert (asked["max_size_mb"], asked["max_drop"], asked["max_latency_ms"]) == (3.0, "1%", 40)
    assert with_scenario({"task": "digits"}) == {"task": "digits"}
