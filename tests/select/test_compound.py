"""From measured scales to factors, gains and lines, or one sentence why they can't tell."""

import itertools
import math

import numpy as np
import pytest

from steelyard.core.scaling import COMPOUND, Scaling
from steelyard.select.compound import Sized, growing, scaling_of, why_untold


def sized(noise=0.0, *, depths=(1, 2, 3), widths=(4, 8, 16, 32), heights=(14, 20, 28), kernels=(3,), rows=5000):
    """Scales whose error is made of a power law of each knob, and whose products follow the published rule."""
    rng = np.random.default_rng(0)
    found = []
    for depth, width, height, kernel in itertools.product(depths, widths, heights, kernels):
        error = 0.005 * math.exp(0.7 / depth + 4 / width + 4 * height**-0.6 - 0.2 * (kernel == 5))
        error *= math.exp(noise * rng.normal())
        spread = math.sqrt(error * (1 - error) / rows)
        settings = {"depth": depth, "width": width, "resolution": height, "kernel": kernel}
        costs = {"macs": 9.0 * depth * width**2 * height**2, "latency_p50_s": 1e-9 * depth * width * height**2}
        found.append(Sized(f"{depth}-{width}-{height}-{kernel}", settings, error - 1, spread, costs))
    return found


@pytest.fixture(scope="module")
def told() -> Scaling:
    return scaling_of("cnn", sized(0.03, kernels=(3, 5)), higher_is_better=True)


def test_every_cost_and_base_has_factors_that_keep_its_constraint(told):
    assert [(each.cost, *each.base.values()) for each in told.growths] == [
        (cost, *(pytest.approx(value) for value in base))
        for cost in ("published", "macs", "latency_p50_s")
        for base in ((1, 4, 14), (2, 8, 20))
    ]
    for growth in told.growths:
        product = math.prod(growth.factors[knob].value ** power for knob, power in growth.exponents.items())
        assert product == pytest.approx(2.0)
        assert all(each.low <= each.value <= each.high and each.value >= 1 for each in growth.factors.values())


def test_growing_together_gains_no_less_than_any_knob_alone(told):
    for growth in told.growths:
        assert growth.gain.value >= max(each.value for each in growth.alone.values()) - 1e-12


def test_published_and_counted_products_agree_where_they_follow_the_rule(told):
    published, counted = told.growths[1], told.growths[3]
    assert counted.exponents == pytest.approx(published.exponents, abs=1e-6)
    assert counted.factors["width"].value == pytest.approx(published.factors["width"].value, abs=1e-4)


def test_a_cost_that_no_knob_moves_is_not_told_and_a_free_knob_costs_half_a_doubling():
    rows = [
        Sized(each.key, each.settings, each.loss, each.error, {"flat": 1e-5, "deep": 1e-5 * each.settings["depth"]})
        for each in sized()
    ]
    growths = scaling_of("cnn", rows, higher_is_better=True).growths
    assert [each.cost for each in growths] == ["published", "published", "deep", "deep"]
    assert growths[2].exponents == pytest.approx({"depth": 1.0, "width": 0.5, "resolution": 0.5})


def test_lines_pass_through_the_base_and_hold_the_points_on_them(told):
    assert told.base == {"depth": 2, "width": 8, "resolution": 20, "kernel": 3}
    by_name = {line.name: line for line in told.lines if line.cost == "macs"}
    assert list(by_name) == [COMPOUND, "depth", "width", "resolution"]
    assert by_name["width"].points == ("2-4-20-3", "2-8-20-3", "2-16-20-3", "2-32-20-3")
    assert by_name["depth"].points == ("1-8-20-3", "2-8-20-3", "3-8-20-3")
    assert {"1-4-14-3", "2-8-20-3", "3-32-28-3"} <= set(by_name[COMPOUND].points)
    base = 9.0 * 2 * 8**2 * 20**2
    for line in by_name.values():
        costs, qualities = zip(*line.curve, strict=True)
        assert min(abs(cost / base - 1) for cost in costs) < 1e-9
        assert list(costs) == sorted(costs)
        assert list(qualities) == sorted(qualities)


def test_it_reads_back_from_its_json(told):
    assert Scaling.from_json(told.to_json()) == told


def test_an_error_grows_as_the_share_that_is_right_and_falls():
    right = [Sized(each.key, each.settings, each.loss, None, each.costs) for each in sized()]
    wrong = [Sized(each.key, each.settings, each.loss + 1, None, each.costs) for each in right]
    one = scaling_of("cnn", right, higher_is_better=True).growths[1]
    other = scaling_of("cnn", wrong, higher_is_better=False).growths[1]
    assert other.gain.value == pytest.approx(-one.gain.value)
    for knob, factor in one.factors.items():
        assert other.factors[knob].value == pytest.approx(factor.value)


def test_two_knobs_have_a_constraint_of_their_own():
    rows = [
        Sized(each.key, {name: each.settings[name] for name in ("depth", "width")}, each.loss, each.error, each.costs)
        for each in sized(heights=(20,))
    ]
    growth = scaling_of("mlp", rows, higher_is_better=True).growths[1]
    assert growth.exponents == {"depth": 1.0, "width": 2.0}
    assert growth.factors["depth"].value * growth.factors["width"].value ** 2 == pytest.approx(2.0)


def test_knobs_that_do_not_vary_or_are_no_numbers_do_not_grow():
    rows = [
        Sized(str(place), {"depth": "deep", "width": width, "resolution": 8}, -0.5, None, {})
        for place, width in enumerate((1, 2))
    ]
    assert growing(rows) == ("width",)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (
            sized(depths=(1,), heights=(14,)),
            "growing together takes two of depth, width, resolution with two settings or more, got 1",
        ),
        (
            sized(widths=(4, 8), heights=(14,)),
            "a fit of how knobs should grow together needs 8 measured scales, got 6",
        ),
        (
            [
                Sized(str(n), {"depth": n, "width": n, "resolution": 8}, -1 + 1 / (n + 1), None, {"macs": 1.0})
                for n in range(1, 10)
            ],
            "the measured scales move depth and width in step, so that what each one does can't be told",
        ),
        (
            [Sized(each.key, each.settings, -1 - each.loss, None, each.costs) for each in sized()],
            "none of depth, width, resolution improves the quality of the measured scales, so nothing says how to grow",
        ),
        (sized(), None),
    ],
    ids=["one knob", "few scales", "in step", "no gain", "enough"],
)
def test_one_sentence_says_why_scales_can_not_tell(rows, why):
    assert why_untold(rows) == why
