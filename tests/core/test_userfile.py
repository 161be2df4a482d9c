from pathlib import Path

import pytest

from steelyard.core.errors import InputError
from steelyard.core.userfile import absolute_address, is_user_address, load_function


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("calls = []\ndef double(x):\n    return 2 * x\nnumber = 3\n", encoding="utf-8")
    return path


def sentence(address):
    with pytest.raises(InputError) as caught:
        load_function(address, field="metric")
    assert caught.value.field == "metric"
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("mine.py:double", True),
        ("a/b.py:f", True),
        ("C:/x.py:f", True),
        ("mine.py", False),
        ("mine.py:", False),
        ("mine.py:a b", False),
        ("mine:double", False),
        ("mlp", False),
    ],
)
def test_an_address_is_a_python_file_and_a_name(text, verdict):
    assert is_user_address(text) is verdict


def test_the_function_runs(user_file):
    assert load_function(f"{user_file}:double", field="metric")(4) == 8


def test_a_file_is_run_once_however_many_functions_it_gives(user_file):
    first = load_function(f"{user_file}:double", field="metric")
    assert load_function(f"{user_file}:double", field="loss") is first


def test_an_absolute_address_works_from_any_folder(user_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    address = absolute_address("mine.py:double")
    assert address == f"{user_file.resolve()}:double"
    monkeypatch.chdir(Path("/"))
    assert load_function(address, field="metric")(1) == 2


def test_what_can_not_be_used_is_refused_in_one_sentence(user_file):
    assert sentence("double") == "'metric' must be file.py:function, got 'double'."
    assert sentence("nowhere.py:f") == "'metric' names 'nowhere.py', which is no file; check the path."
    name = str(user_file)
    assert sentence(f"{name}:triple") == f"{name!r} has no function 'triple'; check the name after the colon."
    assert sentence(f"{name}:number") == f"{name!r} has no function 'number'; check the name after the colon."


def test_a_file_that_fails_says_how_and_may_be_mended(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n", encoding="utf-8")
    assert sentence(f"{path}:f") == f"{str(path)!r} failed when imported: ZeroDivisionError: division by zero"
    path.write_text("def f():\n    return 1\n", encoding="utf-8")
    assert load_function(f"{path}:f", field="metric")() == 1


def test_only_the_first_line_of_a_failure_is_shown(tmp_path):
    path = tmp_path / "talks.py"
    path.write_text("raise ValueError('one\\ntwo')\n", encoding="utf-8")
    assert sentence(f"{path}:f") == f"{str(path)!r} failed when imported: ValueError: one"


def test_a_file_that_leaves_is_no_way_out(tmp_path):
    path = tmp_path / "leaves.py"
    path.write_text("import sys\nsys.exit(3)\n", encoding="utf-8")
    assert sentence(f"{path}:f") == f"{str(path)!r} failed when imported: SystemExit: 3"
