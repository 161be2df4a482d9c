"""The published schemas describe what is really printed and written."""

import contextlib
import copy
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from steelyard.cli import config, main
from steelyard.core.generation import Generation
from steelyard.core.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
BUNDLE = Path("steelyard-out") / "digits-mlp"


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))


def check(name: str, plain: Any) -> None:
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    jsonschema.Draft202012Validator(found).validate(plain)


def printed(*argv: str) -> Any:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        main.run([*argv, "--json"])
    return json.loads(said.getvalue())


@pytest.fixture(scope="session")
def found(first_search: Path) -> Any:
    """What `find --json` printed."""
    return json.loads((first_search / "find.json").read_text(encoding="utf-8"))


def test_the_config_schema_is_the_one_that_configs_are_checked_by() -> None:
    assert schema("config") == config.schema()
    jsonschema.Draft202012Validator.check_schema(config.schema())


def test_bad_input_prints_an_error_of_the_schema() -> None:
    for argv in (("find", "digitz"), ("find",), ("predict", "nowhere", "--data", "none.npz"), ("frobnicate",)):
        check("error", printed(*argv))


def test_a_config_with_an_unknown_field_is_no_config() -> None:
    with pytest.raises(jsonschema.ValidationError):
        check("config", {"taks": "digits"})
    check("config", {"task": "digits", "max-drop": "1%", "knob": {"width": [10, 50]}})


@pytest.mark.slow
def test_find_prints_the_schema(found: Any) -> None:
    check("find", found)


@pytest.mark.slow
def test_generations_are_of_the_schema(found: Any) -> None:
    hall = ((found["chosen"]["key"], 0.5),)
    for each in (Generation(0, 8, 8, 8, 0, None, None, None), Generation(1, 8, 2, 0, 1, -1.0, 0.0, 0.5, hall)):
        check("find", {**found, "generations": [each.to_json()]})


@pytest.mark.slow
def test_report_prints_the_schema_of_find(first_search: Path) -> None:
    check("find", printed("report", str(first_search / BUNDLE)))


@pytest.mark.slow
def test_the_values_read_back_print_the_same(found: Any) -> None:
    assert Outcome.from_json(found).to_json() == found


@pytest.mark.slow
def test_the_manifest_is_of_the_schema(first_search: Path) -> None:
    check("bundle", json.loads((first_search / BUNDLE / "steelyard.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_a_packed_point_is_of_the_schema(first_search: Path, found: Any, tmp_path: Path) -> None:
    check(
        "find",
        printed("pack", str(first_search / BUNDLE), "--point", found["reference"]["key"], "--out", str(tmp_path / "p")),
    )
    check("bundle", json.loads((tmp_path / "p" / "steelyard.json").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_predict_prints_the_schema(first_search: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", x=np.zeros((2, 8, 8)))
    check("predict", printed("predict", str(first_search / BUNDLE), "--data", str(tmp_path / "new.npz")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        ("status",),
        ("drop", "samples_needed"),
        ("chosen", "reason"),
        ("chosen", "metrics", "size_bytes"),
        ("chosen", "metrics", "accuracy_test"),
        ("reference", "metrics", "latency_p50_s", "unit"),
        ("trials", "explored"),
        ("spent", "other_s"),
        ("environment", "processor"),
        ("bundle",),
    ],
)
def test_what_lacks_a_field_of_the_contract_is_refused(found: Any, path: tuple[str, ...]) -> None:
    lacking = copy.deepcopy(found)
    at = lacking
    for name in path[:-1]:
        at = at[name]
    del at[path[-1]]
    with pytest.raises(jsonschema.ValidationError):
        check("find", lacking)


@pytest.mark.slow
def test_a_unit_that_is_not_the_metrics_own_is_refused(found: Any) -> None:
    wrong = copy.deepcopy(found)
    wrong["chosen"]["metrics"]["latency_p50_s"]["unit"] = "B"
    with pytest.raises(jsonschema.ValidationError):
        check("find", wrong)
