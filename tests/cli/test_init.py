"""`steelyard init` writes files that hold as they stand; `steelyard check` says what fails in a user's own."""

import pytest

from steelyard.cli.config import read_config


@pytest.mark.parametrize("what", ["model", "task", "family"])
def test_what_is_started_holds(ask, what):
    told = ask("init", what, "--json").json
    assert told["next"] == f"steelyard check {what}.py"
    found = ask("check", f"{what}.py", "--json")
    assert (found.status, found.json["holds"]) == (0, True)
    assert {each["role"] for each in found.json["findings"]} == {"plugin", "family"} if what == "family" else {what}


def test_a_config_is_started_that_can_be_read(ask, tmp_path):
    written = ask("init")
    assert written.out == "wrote steelyard.yaml\nnext: steelyard find --config steelyard.yaml --dry-run\n"
    assert read_config(tmp_path / "steelyard.yaml") == {
        "task": "digits",
        "max_drop": "1%",
        "minimize": "latency",
        "budget": "60s",
    }


def test_a_task_of_ones_own_is_searched_by_its_address(ask):
    ask("init", "task")
    told = ask("find", "task.py:task", "--dry-run", "--json").json
    assert (told["splits"]["train"], told["goal"]["metric"]) == (720, "accuracy")


def test_nothing_is_overwritten(refused, tmp_path):
    (tmp_path / "model.py").write_text("mine")
    assert refused("init", "model") == (
        "input",
        "'out' model.py is there already; name another file, or remove it.",
        "out",
    )
    assert refused("init", "model", "--out", "m.txt")[1] == "'out' must end in .py for a model, got 'm.txt'."
    assert refused("init", "modle")[1] == "start 'modle' is not known; did you mean 'model'?"


def refused(*argv):
    return refused(*argv)


OWN = """
import numpy as np
from torch import nn

from steelyard.tasks.reading import from_arrays


def wide(inputs, outputs, width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs + 1))


def pictures(shape, outputs, width=4):
    conv = nn.Conv2d(shape[0], width, 3)
    return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs))


def wrong(outputs, targets):
    return float("nan")


def right(outputs, targets):
    return float((outputs.argmax(1) == targets).mean()) if outputs.shape[1] > 1 else 0.0


def extend(registry):
    return 3


def unfinished(seed):
    return 3


def restless(seed):
    x = np.random.default_rng().normal(size=(90, 3))
    return from_arrays(x, (x[:, 0] > 0).astype(int), "tabular-classification", seed=seed)


def helper(a, b):
    return a
"""


def test_what_fails_is_said_in_a_sentence_and_what_holds_too(ask, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    answer = ask("check", "own.py", "--json")
    found = {each["name"].partition(":")[2]: each for each in answer.json["findings"]}
    assert (answer.status, answer.json["holds"]) == (2, False)
    assert set(found) == {"wide", "pictures", "wrong", "right", "extend", "unfinished", "restless"}
    assert found["wide"]["why"] == (
        "on grey images of 8 × 8: outputs of wide (width 4) must have shape (7, 3), got (7, 4)."
    )
    assert found["pictures"]["holds"]
    assert [each.partition(":")[0] for each in found["pictures"]["remarks"]] == [
        "is not for a table with two classes",
        "is not for a table with values",
    ]
    assert found["right"]["holds"]
    assert found["wrong"]["why"] == "the metric of perfect outputs must be finite, got -inf."
    assert found["extend"]["why"] == "a plugin must return a Registry, got int."
    assert found["unfinished"]["why"] == "unfinished(0) must return a task, got int."
    assert found["restless"]["why"] == "restless(0) must give the same rows each time: seed whatever is drawn."
    one = ask("check", "own.py:right")
    assert (one.status, one.out) == (0, "own.py:right, metric: holds\n")


def test_what_can_not_be_checked_is_refused(refused, tmp_path):
    (tmp_path / "none.py").write_text("def helper(a, b):\n    return a\n")
    assert refused("check", "none.py")[1] == (
        "'address' 'none.py' holds no function whose arguments say what it is: "
        "`inputs, outputs` a model, `seed` a task, `registry` a plugin, `outputs, targets` a metric."
    )
    assert refused("check", "nowhere.py")[1] == "'address' names 'nowhere.py', which is no file; check the path."
    assert refused("check", "own.txt")[1] == "'address' must be file.py or file.py:function, got 'own.txt'."


def test_a_task_that_is_none_is_refused(refused, tmp_path):
    (tmp_path / "bad.py").write_text("def task(seed):\n    return 3\n\n\ndef fails(seed):\n    return 1 / 0\n")
    assert refused("find", "bad.py:task") == (
        "input",
        "'task' bad.py:task must return a task, such as from_arrays of steelyard.tasks.reading makes, got int.",
        "task",
    )
    assert refused("find", "bad.py:fails")[1] == "'task' bad.py:fails failed: ZeroDivisionError: division by zero"
