"""The user's own files: what is wrong with them is told as theirs, and what they print is no answer."""

import json

import pytest

MODEL = """
import torch

def net(inputs, outputs, width=4):
    print("hello from the model")
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, outputs))

def bare(inputs, outputs, width):
    return net(inputs, outputs)

def listed(inputs, outputs, width=[1]):
    return net(inputs, outputs)

def nothing(inputs, outputs):
    return None

def boom(inputs, outputs):
    raise RuntimeError("boom\\nand more")

def accuracy(outputs, targets):
    return 1.0

number = 3
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "own.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "raises.py").write_text("raise ValueError('bad\\nworse')\n", encoding="utf-8")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(0)\n", encoding="utf-8")
    (tmp_path / "syntax.py").write_text("def f(:\n", encoding="utf-8")
    return tmp_path


OWN = [
    ("model", "no.py:f", "'model' names 'no.py', which is no file; check the path."),
    ("model", "own.py", "'model' must be file.py:function, got 'own.py'; add the function's name after a colon."),
    ("model", "own.py:", "'model' must be file.py:function, got 'own.py:'; add the function's name after a colon."),
    ("model", "own.py:nope", "'own.py' has no function 'nope'; check the name after the colon."),
    ("model", "own.py:number", "'own.py' has no function 'number'; check the name after the colon."),
    ("model", "raises.py:f", "'raises.py' failed when imported: ValueError: bad"),
    ("model", "exits.py:f", "'exits.py' failed when imported: SystemExit: 0"),
    ("model", "syntax.py:f", "'syntax.py' failed when imported: SyntaxError: invalid syntax (syntax.py, line 1)"),
    ("model", "own.py:bare", "'width' of own.py:bare must have a default or a Literal annotation, got neither."),
    (
        "model",
        "own.py:listed",
        "'model' own.py:listed has arguments that can't be read as knobs (TypeError: unhashable type: 'list'); give "
        "them numbers or texts.",
    ),
    ("loss", "mse", "'loss' must be file.py:function, got 'mse'."),
    ("loss", "no.py:f", "'loss' names 'no.py', which is no file; check the path."),
    ("train", "raises.py:f", "'raises.py' failed when imported: ValueError: bad"),
    ("metric", "no.py:f", "'metric' names 'no.py', which is no file; check the path."),
    (
        "metric",
        "own.py:accuracy",
        "'metric' 'own.py:accuracy' must have a name of its own, but 'accuracy' is a figure of every point; rename it.",
    ),
    ("plugin", "nope", "'plugin' must be 'module:name', got 'nope'."),
    ("plugin", "nope_at_all:f", "module 'nope_at_all' of 'nope_at_all:f' can't be found; is it on the path?"),
    (
        "plugin",
        "os.path:sep",
        "'plugin' os.path:sep failed (TypeError: 'str' object is not callable); it must take a Registry and return "
        "one.",
    ),
    ("plugin", "builtins:repr", "'plugin' builtins:repr must return a Registry, got str."),
]


@pytest.mark.parametrize(("option", "address", "message"), OWN)
def test_own_code_that_can_not_be_used_is_refused(refused, files, option, address, message):
    assert refused("find", "digits", f"--{option}", address) == ("input", message, option)


def test_a_plugin_is_refused_by_list_too(refused):
    assert refused("list", "--plugin", "builtins:repr")[1] == "'plugin' builtins:repr must return a Registry, got str."


@pytest.mark.slow
def test_what_own_code_prints_is_no_part_of_the_answer(ask, files):
    answer = ask("find", "digits", "--model", "own.py:net", "--dry-run", "--json")
    assert answer.status == 0
    assert json.loads(answer.out)["candidates"] == 2
    assert "hello from the model" in answer.err
    assert answer.written == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boom", "'model' failed in a first try: RuntimeError: boom and more"),
        ("nothing", "own.py:nothing must return a torch.nn.Module, got NoneType."),
    ],
)
def test_a_dry_run_tells_what_the_model_raised(refused, files, name, message):
    assert refused("find", "digits", "--model", f"own.py:{name}", "--dry-run") == ("input", message, "model")
