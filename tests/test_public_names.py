import json
import subprocess
import sys

import pytest

import steelyard

HEAVY = ("torch", "optuna", "onnx", "onnxruntime", "sklearn", "polars")
"""What neither importing nor asking for help may load."""


def test_the_public_names_are_these():
    assert steelyard.__all__ == [
        "Budget",
        "Goal",
        "Outcome",
        "Predictor",
        "Profile",
        "Quantity",
        "SteelyardError",
        "__version__",
        "compress",
        "find",
        "kit",
        "load",
        "pack",
        "profile",
        "resolve",
    ]


def test_every_public_name_is_there_and_documented():
    for name in steelyard.__all__:
        thing = getattr(steelyard, name)
        assert name == "__version__" or thing.__doc__
    assert dir(steelyard) == sorted(steelyard.__all__)


def test_a_name_that_is_missing_is_missing():
    with pytest.raises(AttributeError, match=r"^module 'steelyard' has no attribute 'fnd'$"):
        steelyard.fnd  # noqa: B018


def loaded_after(code):
    """Which heavy libraries a fresh process has loaded after `code`."""
    names = (*HEAVY, "typer", "rich")
    ending = f"import sys, json\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{ending}"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_loads_no_library():
    assert loaded_after("import steelyard") == []


def test_contract_suites_and_what_ships_load_no_library():
    assert loaded_after("import steelyard.testing, steelyard.builtin") == []


@pytest.mark.slow
def test_asking_for_help_loads_no_heavy_library():
    code = (
        "import contextlib, io, sys\n"
        "from steelyard.cli.main import main\n"
        "sys.argv, out = ['steelyard', '--help'], io.StringIO()\n"
        "with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        "assert 'find' in out.getvalue(), out.getvalue()"
    )
    assert not set(loaded_after(code)) & set(HEAVY)
