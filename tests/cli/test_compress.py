"""`steelyard compress`: what it refuses, and what it answers, packs and predicts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from steelyard.core.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
"""
Refused = Callable[..., tuple[str, str, str | None]]


def schema(name: str) -> Any:
    path = ROOT / "docs" / "reference" / "schemas" / f"{name}.schema.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained module of the digits: its code, its weights, its ONNX file, and rows."""
    import torch
    from safetensors.torch import save_file
    from sklearn.datasets import load_digits

    from steelyard.runtimes.onnxruntime.export import export

    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.py").write_text(MODULE, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(MODULE, names)  # noqa: S102  the test's own text
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x, y = (digits.images[order] / 16).astype(np.float32), digits.target[order]
    module = names["build"]()
    optimiser = torch.optim.Adam(module.parameters(), 3e-3)
    inputs, targets = torch.from_numpy(x[:900]), torch.from_numpy(y[:900])
    for _ in range(120):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs), targets).backward()
        optimiser.step()
    save_file(module.state_dict(), folder / "net.safetensors")
    export(module, {"pixels": x[:2]}, folder / "net.onnx")
    rows = {"x_train": x[:900], "y_train": y[:900], "x_valid": x[900:1200], "y_valid": y[900:1200]}
    np.savez(folder / "digits.npz", **rows, x_test=x[1200:], y_test=y[1200:])
    np.savez(folder / "unlabelled.npz", x=x[900:])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path) -> Path:
    """The folder in which `ask` runs, with what was trained in it."""
    for path in trained.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_model_must_be_named(refused: Refused) -> None:
    assert refused("compress") == (
        "input",
        "'model' must be named, such as model.onnx or file.py:function.",
        "model",
    )


def test_rows_must_be_named(refused: Refused) -> None:
    assert refused("compress", "model.onnx") == (
        "input",
        "'data' must name rows that the model never saw, such as --data rows.npz.",
        "data",
    )


def test_an_unknown_step_names_the_nearest(refused: Refused) -> None:
    kind, message, field = refused("compress", "model.onnx", "--data", "rows.npz", "--steps", "quantise")
    assert (kind, message, field) == ("unknown-name", "step 'quantise' is not known; did you mean 'quantize'?", "steps")


def test_no_step_at_all_is_refused(refused: Refused) -> None:
    assert refused("compress", "model.onnx", "--data", "rows.npz", "--steps", ",")[1] == (
        "'steps' must name at least one step, got none."
    )


def test_an_unknown_kind_is_refused(refused: Refused) -> None:
    message = refused("compress", "model.onnx", "--data", "rows.npz", "--task", "clasification")[1]
    assert message == "task 'clasification' is not known; did you mean 'classification'?"


def test_what_can_run_code_needs_trust(here: Path, refused: Refused) -> None:
    (here / "model.pt2").write_bytes(b"PK")
    assert refused("compress", "model.pt2", "--data", "digits.npz")[1] == (
        "model.pt2 is a torch.export archive, which can run code when it is opened; give --trust if you know who made "
        "it."
    )


def test_files_of_other_runtimes_are_refused(here: Path, refused: Refused) -> None:
    (here / "model.tflite").write_bytes(b"TFL3")
    assert refused("compress", "model.tflite", "--data", "digits.npz")[1] == (
        "'model' must be an .onnx file, a Keras file or file.py:function to be compressed, got model.tflite; files "
        "made for other runtimes can be profiled only."
    )


@pytest.mark.slow
def test_weights_that_do_not_fit_name_their_keys(here: Path, refused: Refused) -> None:
    from safetensors.numpy import load_file, save_file

    weights = load_file(here / "net.safetensors")
    ask = ("compress", "net.py:build", "--data", "digits.npz", "--weights")
    save_file({name: each for name, each in weights.items() if name != "3.bias"}, here / "less.safetensors")
    assert refused(*ask, "less.safetensors")[1:] == (
        "'weights' less.safetensors lacks '3.bias'; is it of this model?",
        "weights",
    )
    save_file({**weights, "1.bias": weights["1.bias"][:5]}, here / "odd.safetensors")
    assert refused(*ask, "odd.safetensors")[1] == (
        "'weights' odd.safetensors has another shape for '1.bias'; is it of this model?"
    )
    assert refused("compress", "net.onnx", "--data", "digits.npz", "--weights", "net.safetensors")[1] == (
        "'weights' belong to a file.py:function, but the model is 'net.onnx'."
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", ["net.onnx", "net.py:build"])
def test_labels_that_do_not_fit_the_outputs_are_refused(here: Path, refused: Refused, model: str) -> None:
    arrays = dict(np.load(here / "digits.npz"))
    arrays |= {name: arrays[name] % 7 + 20 for name in arrays if name.startswith("y_")}
    np.savez(here / "other.npz", **arrays)
    assert refused("compress", model, "--data", "other.npz")[1:] == (
        "target 'y' of other.npz must fit the model's 10 outputs, got 7 classes (20 to 26).",
        "target",
    )


@pytest.mark.slow
def test_rows_that_do_not_fit_the_model_are_refused_in_one_sentence(here: Path, refused: Refused) -> None:
    np.savez(here / "wide.npz", x=np.zeros((40, 9, 9), dtype=np.float32))
    assert refused("compress", "net.onnx", "--data", "wide.npz")[1] == (
        "wide.npz must fit the input pixels float32 (n, 8, 8), got an array (40, 9, 9)."
    )
    kind, message, field = refused("compress", "net.py:build", "--data", "wide.npz")
    assert (kind, field) == ("input", "data")
    assert message.startswith("net.py:build can't be run with the data's x float32 (2, 9, 9): ")
    assert "mat1 and mat2 shapes cannot be multiplied" in message


@pytest.mark.slow
def test_steps_on_modules_do_not_fit_a_file(here: Path, refused: Refused) -> None:
    assert refused("compress", "net.onnx", "--data", "digits.npz", "--steps", "distill")[1] == (
        "'steps' distill can't be applied to an ONNX file; name others."
    )


@pytest.mark.slow
def test_a_dry_run_tells_the_steps_and_writes_nothing(here: Path, ask: Callable[..., Any]) -> None:
    told = ask("compress", "net.onnx", "--data", "digits.npz", "--steps", "quantize", "--dry-run")
    assert told.status == 0
    assert re.search(r"^steps: none \| quantize", told.out, re.MULTILINE)
    assert re.search(r"^reference: net$", told.out, re.MULTILINE)
    assert told.written == ()


@pytest.mark.slow
def test_a_dry_run_of_many_pipelines_says_how_many(here: Path, ask: Callable[..., Any]) -> None:
    told = ask("compress", "net.py:build", "--weights", "net.safetensors", "--data", "digits.npz", "--dry-run")
    assert told.status == 0
    assert re.search(r"^steps: \d+ pipelines of .*prune.*, up to \d+ steps long, and none$", told.out, re.MULTILINE)


@pytest.mark.slow
def test_compress_proves_packs_and_explains(here: Path, ask: Callable[..., Any]) -> None:
    goal = ("--max-drop", "0.03", "--minimize", "size", "--trials", "2", "--steps", "quantize")
    told = ask("compress", "net.onnx", "--data", "digits.npz", *goal, "--out", "small", "--json")
    assert told.status == 0, told.err
    found = told.json
    schema("find").validate(found)
    assert Outcome.from_json(found).to_json() == found
    assert found["status"] == "certified"
    assert [step["name"] for step in found["chosen"]["steps"]] == ["quantize"]
    assert [passage["passed"] for passage in found["gate"]] == [True]
    assert found["gate"][0]["against"] == found["reference"]["key"]
    whole, last = found["explanation"]["waterfall"]
    assert (whole["key"], last["key"]) == (found["reference"]["key"], found["chosen"]["key"])
    assert last["change"]["size_bytes"] == (
        found["chosen"]["metrics"]["size_bytes"]["value"] - found["reference"]["metrics"]["size_bytes"]["value"]
    )
    flips = found["explanation"]["flips"]
    assert flips["n"] == found["splits"]["test"]
    before, after = (found[name]["metrics"]["accuracy_test"]["value"] for name in ("reference", "chosen"))
    assert flips["harmed"] - flips["helped"] == round((before - after) * flips["n"])
    manifest = json.loads((here / "small" / "steelyard.json").read_text(encoding="utf-8"))
    schema("bundle").validate(manifest)
    assert manifest["inputs"] == [{"name": "pixels", "type": "float32", "shape": ["n", 8, 8]}]
    assert manifest["outputs"] == [{"name": "y", "type": "float32", "shape": ["n", 10]}]
    assert "What the steps did" in (here / "small" / "report.html").read_text(encoding="utf-8")
    _used(here, ask)


def _used(here: Path, ask: Callable[..., Any]) -> None:
    """The bundle predicts rows by `x` and by the input's name, is told again, and goes into a kit."""
    rows = np.load(here / "unlabelled.npz")["x"]
    np.savez(here / "named.npz", pixels=rows, other=rows[:1])
    by_x, by_name = (ask("predict", "small", "--data", each, "--json").json for each in ("unlabelled.npz", "named.npz"))
    schema("predict").validate(by_x)
    assert by_x == by_name
    assert by_x["n"] == len(rows)
    np.savez(here / "wrong.npz", image=rows, other=rows)
    assert ask("predict", "small", "--data", "wrong.npz").err == (
        "steelyard: wrong.npz must hold an array for the input 'pixels', got image, other.\n"
    )
    assert "What each step saved and cost" in ask("report", "small").out
    assert ask("kit", "small", "--out", "kit.zip", "--with-samples", "unlabelled.npz").status == 0
    profiled = ask("profile", "small", "--data", "unlabelled.npz", "--budget", "4s", "--batches", "1", "--json").json
    assert profiled["inputs"]["ports"][0]["name"] == "pixels"


@pytest.mark.slow
def test_a_model_that_is_quantized_already_is_refused_by_what_it_holds(here: Path, refused: Refused) -> None:
    from steelyard.steps.quantize import QUANTIZE

    rows = np.load(here / "digits.npz")["x_train"]
    QUANTIZE.apply(here / "net.onnx", here / "int8.onnx", iter([{"pixels": rows[:200]}]))
    message = refused("compress", "int8.onnx", "--data", "digits.npz", "--steps", "quantize")[1]
    assert message.startswith("'steps' quantize can't be applied to an ONNX file (the model is quantized already: ")


@pytest.mark.slow
def test_without_labels_a_model_is_judged_by_agreement_with_itself(here: Path, ask: Callable[..., Any]) -> None:
    goal = ("--max-drop", "0.05", "--minimize", "size", "--trials", "2", "--steps", "quantize")
    found = ask("compress", "net.onnx", "--data", "unlabelled.npz", *goal, "--json").json
    schema("find").validate(found)
    assert found["drop"]["metric"] == "agreement"
    flips = found["explanation"]["flips"]
    assert (flips["helped"], flips["harmed"]) == (None, None)
    assert flips["changed"] / flips["n"] == pytest.approx(found["drop"]["value"])
