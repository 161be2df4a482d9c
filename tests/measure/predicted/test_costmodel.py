"""The cost model on made-up machines whose laws are known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelyard.measure.predicted.composition import Record
from steelyard.measure.predicted.costmodel import CostModel, adjust, fit_cost_model, tuned_of, unfamiliar
from steelyard.measure.predicted.saving import load_model, save_model

PROFILER_S = 2.4e-6
PRODUCT, RELU = "product/Product:stored", "elements/Relu"


def record(rng: np.random.Generator, style: str = "products", largest: int = 512, noise: float = 0.03) -> Record:
    """A stack of products and activations on a machine of 50 products a nanosecond."""
    kernels, total = [], 4e-6
    for _ in range(int(rng.integers(2, 9))):
        rows, inner, columns = (int(np.exp(rng.uniform(0, np.log(largest)))) for _ in range(3))
        for kind, numbers, seconds in (
            (PRODUCT, (1.0, rows, inner, columns, 1.0, 0.0, 0.0, 0.0), 5e-7 + rows * inner * columns / 50e9),
            (RELU, (rows * columns, 1.0, rows * columns, 1.0), 4e-7 + rows * columns / 4e9),
        ):
            took = seconds * math.exp(noise * rng.standard_normal())
            kernels.append((kind, numbers, took + PROFILER_S))
            total += took
    return Record(style, total, 1e5, 1e5, kernels)


def records(count: int, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    return [record(rng) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> CostModel:
    return fit_cost_model(records(240))


def errors(model: CostModel, judged: Sequence[Record]) -> np.ndarray:
    return np.array([abs(model.predict(each).seconds / each.seconds - 1) for each in judged])


def test_new_models_are_estimated_within_ten_percent(model: CostModel) -> None:
    assert np.quantile(errors(model, records(100, seed=1)), 0.75) < 0.1


def test_the_interval_holds_as_often_as_it_says(model: CostModel) -> None:
    judged = records(400, seed=2)
    inside = [low <= each.seconds <= high for each in judged for low, high in [model.predict(each).intervals[0.9]]]
    # The calibration has 60 models: its own quantile is known to about 4 percent.
    assert 0.8 <= np.mean(inside) <= 0.99


def test_kernels_add_up_to_less_than_the_call(model: CostModel) -> None:
    each = records(1, seed=3)[0]
    found = model.predict(each)
    assert len(found.kernels) == len(each.kernels)
    assert np.nansum(found.kernels) < found.seconds * 1.2


def test_the_interval_widens_outside_and_the_kernel_is_named(model: CostModel) -> None:
    usual = records(1, seed=4)[0]
    far = replace(usual, kernels=[*usual.kernels, (PRODUCT, (1.0, 4096.0, 4096.0, 4096.0, 1.0, 0.0, 0.0, 0.0), None)])
    widths = [high / low for each in (usual, far) for low, high in [model.predict(each).intervals[0.9]]]
    assert widths[1] > widths[0] ** 2
    names = [f"kernel {place}" for place in range(len(far.kernels))]
    assert unfamiliar(model.predict(far), names) == (names[-1],)
    assert unfamiliar(model.predict(usual), names[:-1]) == ()


def test_an_operator_that_was_never_seen_is_named_and_widens(model: CostModel) -> None:
    usual = records(1, seed=5)[0]
    strange = replace(usual, kernels=[*usual.kernels, ("elements/Strange", (10.0, 1.0, 10.0, 1.0), None)])
    found = model.predict(strange)
    low, high = found.intervals[0.9]
    assert high / low > 5 * model.predict(usual).intervals[0.9][1] / model.predict(usual).intervals[0.9][0]
    assert unfamiliar(found, [*["known"] * len(usual.kernels), "Strange 10"]) == ("Strange 10",)


def test_nothing_known_is_no_number(model: CostModel) -> None:
    found = model.predict(Record("", 1.0, 0.0, 0.0, [("Loop", (), None)]))
    assert math.isnan(found.seconds)
    assert not found.intervals


def test_a_file_gives_the_same_estimates(model: CostModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.npz")
    again = load_model(tmp_path / "model.npz")
    assert again is not None
    for each in records(5, seed=6):
        assert again.predict(each).seconds == model.predict(each).seconds
        assert again.predict(each).intervals == model.predict(each).intervals


def test_no_file_and_a_file_of_another_schema_are_no_model(
    model: CostModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_model(tmp_path / "model.npz") is None
    monkeypatch.setattr("steelyard.measure.predicted.saving.SCHEMA", 0)
    save_model(model, tmp_path / "model.npz")
    monkeypatch.undo()
    assert load_model(tmp_path / "model.npz") is None


def test_measured_models_move_the_estimates(model: CostModel) -> None:
    slower = [replace(each, seconds=each.seconds * 1.3, style="observed") for each in records(40, seed=7)]
    moved = adjust(model, slower)
    assert moved.drift == pytest.approx(math.log(1.3) * 40 / 44, abs=0.04)
    assert len(moved.calibration.scores) == len(model.calibration.scores) + 40
    assert adjust(model, []) is model


def test_a_fit_with_known_scales_is_the_fit(model: CostModel) -> None:
    again = fit_cost_model(records(240), tuned_of(model))
    each = records(1, seed=8)[0]
    assert again.predict(each).seconds == pytest.approx(model.predict(each).seconds, rel=1e-6)


def test_a_handful_of_models_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'records' must be at least 60 models, got 5\."):
        fit_cost_model(records(5))
