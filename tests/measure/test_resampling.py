"""The pure statistics, on made-up times: nothing here looks at a clock."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steelyard.core.quantity import Quantity
from steelyard.measure.resampling import (
    ProcessTimes,
    Ratio,
    expanded_level,
    inverse,
    median_quantity,
    midmean,
    order_statistic,
    percentile_quantity,
    ratio_of,
    raw_median_s,
    signed_rank_p,
    student_quantile,
)

NOMINAL = 1e-4


def made_up(
    seed: int,
    *,
    base_s: float = 1e-5,
    processes: int = 8,
    blocks: int = 16,
    calls: int = 20,
    between: float = 0.03,
    within: float = 0.02,
    speed: np.ndarray | None = None,
) -> list[ProcessTimes]:
    """Times of one model: a factor of the machine's speed, one of the process, one of the block, and a tail."""
    random = np.random.default_rng(seed)
    speeds = np.ones(processes) if speed is None else speed
    result = []
    for number in range(processes):
        level = base_s * speeds[number] * math.exp(random.normal(0, between))
        drift = np.exp(random.normal(0, within, blocks))
        times = [level * each * (1 + random.gamma(1.0, 0.05, calls)) for each in drift]
        yardstick = NOMINAL * speeds[number] * np.exp(random.normal(0, 0.005, blocks))
        result.append(ProcessTimes(tuple(times), yardstick))
    return result


@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
@settings(max_examples=15, deadline=None)
def test_the_scaled_median_does_not_know_the_speed_of_the_machine(seed, factor) -> None:
    calm = made_up(seed)
    fast = [ProcessTimes(tuple(b * factor for b in p.blocks), p.yardstick * factor) for p in calm]
    one, other = median_quantity(calm, NOMINAL), median_quantity(fast, NOMINAL)
    assert one.value == pytest.approx(other.value)
    assert one.low == pytest.approx(other.low)
    assert raw_median_s(fast) == pytest.approx(factor * raw_median_s(calm))


@given(seed=st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_percentiles_are_ordered_and_within_their_intervals(seed) -> None:
    processes = made_up(seed)
    figures = [median_quantity(processes, NOMINAL)]
    figures += [percentile_quantity(processes, quantile, NOMINAL) for quantile in (0.95, 0.99)]
    for figure in figures:
        assert figure.low <= figure.value <= figure.high
        assert figure.n == 8 * 16 * 20
    assert figures[0].value < figures[1].value <= figures[2].value


@given(
    values=st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=60),
    quantile=st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_an_order_statistic_is_the_smallest_value_that_enough_do_not_exceed(values, quantile) -> None:
    ordered = np.sort(np.array(values))
    candidates = [value for value in values if sum(v <= value for v in values) >= quantile * len(values) - 1e-9]
    assert order_statistic(ordered, quantile) == min(candidates)


def test_the_pooled_percentile_is_numpys_inverted_cdf() -> None:
    processes = made_up(3)
    scaled = np.concatenate([np.concatenate(p.blocks) * NOMINAL / np.median(p.yardstick) for p in processes])
    expected = np.quantile(scaled, 0.95, method="inverted_cdf")
    assert percentile_quantity(processes, 0.95, NOMINAL).value == pytest.approx(expected)


@pytest.mark.parametrize(("quantile", "least"), [(0.90, 64), (0.95, 130), (0.99, 662)])
def test_a_percentile_is_refused_below_its_least_calls(quantile, least) -> None:
    times = np.linspace(1e-5, 2e-5, least)
    enough = [ProcessTimes((times[: least // 2], times[least // 2 :]), np.full(2, NOMINAL))]
    one_short = [ProcessTimes((times[: least // 2], times[least // 2 : -1]), np.full(2, NOMINAL))]
    assert percentile_quantity(enough, quantile, NOMINAL) is not None
    assert percentile_quantity(one_short, quantile, NOMINAL) is None


def test_one_process_gives_a_figure_without_an_interval() -> None:
    quantity = median_quantity(made_up(0, processes=1), NOMINAL)
    assert (quantity.low, quantity.high) == (None, None)
    assert not ratio_of(made_up(0, processes=1), made_up(0, processes=1, base_s=1e-4)).is_different


@pytest.mark.slow
def test_a_model_is_never_told_apart_from_itself() -> None:
    different = 0
    for seed in range(200):
        speed = np.exp(np.random.default_rng(seed).normal(0, 0.15, 8))
        first = made_up(2 * seed, speed=speed, between=0.01)
        second = made_up(2 * seed + 1, speed=speed, between=0.01)
        different += ratio_of(first, second, seed).is_different
    # The interval alone would err in about 1 of 20; the 2 % that count as a tie leave next to nothing.
    assert different <= 4


def test_the_signed_ranks_of_a_few_differences_are_those_of_the_tables() -> None:
    """Wilcoxon's exact two-sided p: 2/256 where all of eight agree, 4/256 where the smallest disagrees."""
    assert signed_rank_p(np.array([1.0, 2, 3, 4, 5, 6, 7, 8])) == 2 / 256
    assert signed_rank_p(np.array([-1.0, 2, 3, 4, 5, 6, 7, 8])) == 4 / 256
    assert signed_rank_p(np.array([-1.0, 2, -3, 4, -5, 6])) > 0.5


@pytest.mark.parametrize("count", [8, 12, 13, 30])
def test_the_signed_rank_test_errs_no_more_often_than_its_level(count) -> None:
    random = np.random.default_rng(count)
    wild = [signed_rank_p(random.standard_t(2, count), seed) < 0.05 for seed in range(300)]
    assert np.mean(wild) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_a_proof_needs_both_a_small_p_and_two_percent() -> None:
    assert Ratio(Quantity(1.05), is_different=True, p=0.005).is_proved
    assert not Ratio(Quantity(1.05), is_different=True, p=0.02).is_proved
    assert not Ratio(Quantity(1.015), is_different=True, p=0.001).is_proved


def test_a_tenth_is_told_apart_whatever_the_speed_of_the_machine() -> None:
    for seed in range(20):
        speed = np.exp(np.random.default_rng(seed).normal(0, 0.15, 8))
        slow = made_up(2 * seed, speed=speed, between=0.01, base_s=1.1e-5)
        ratio = ratio_of(slow, made_up(2 * seed + 1, speed=speed, between=0.01), seed)
        assert ratio.is_different
        assert ratio.quantity.value == pytest.approx(1.1, rel=0.03)


def test_a_difference_below_two_percent_is_a_tie_however_certain() -> None:
    exact = [ProcessTimes((np.full(20, 1e-5),) * 4, np.full(4, NOMINAL)) for _ in range(8)]
    hair = [ProcessTimes((np.full(20, 1.015e-5),) * 4, np.full(4, NOMINAL)) for _ in range(8)]
    assert not ratio_of(hair, exact).is_different
    assert ratio_of(hair, exact).quantity.low == pytest.approx(1.015)


@given(seed=st.integers(0, 300))
@settings(max_examples=15, deadline=None)
def test_ratios_the_other_way_round_are_inverse(seed) -> None:
    first, second = made_up(seed), made_up(seed + 1, base_s=2e-5)
    there, back = ratio_of(first, second).quantity, ratio_of(second, first).quantity
    assert there.value * back.value == pytest.approx(1.0)
    assert there.low * back.high == pytest.approx(1.0, rel=0.02)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = 1e-5 * np.quantile(1 + stats.gamma(1.0, scale=0.05).rvs(100_000, random_state=1), 0.5)
    hits = 0
    for seed in range(200):
        quantity = median_quantity(made_up(seed), NOMINAL, seed)
        hits += quantity.low <= truth <= quantity.high
    # 190 of 200 expected at 95 %; below 176 would be a coverage under .95 with certainty above .999.
    assert hits >= 180


def test_one_disturbed_process_of_eight_moves_the_median_little() -> None:
    calm = made_up(5)
    hit = [*calm[:-1], ProcessTimes(tuple(3 * block for block in calm[-1].blocks), calm[-1].yardstick)]
    assert median_quantity(hit, NOMINAL).value == pytest.approx(median_quantity(calm, NOMINAL).value, rel=0.05)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 7, 15, 40])
def test_students_quantile_is_scipys(freedom) -> None:
    assert student_quantile(freedom) == pytest.approx(stats.t(freedom).ppf(0.975), rel=1.5e-3)


def test_the_expanded_level_of_eight_processes_is_hesterbergs() -> None:
    expected = stats.norm.cdf(-math.sqrt(8 / 7) * stats.t(7).ppf(0.975))
    assert expanded_level(8) == pytest.approx(expected, rel=0.01)


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=30))
def test_the_midmean_is_scipys_trimmed_mean(values) -> None:
    assert midmean(np.array(values)) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-9)


def test_few_processes_fall_back_to_the_median() -> None:
    assert midmean(np.array([1.0, 2.0, 9.0])) == 2.0


def test_throughput_turns_the_interval_round() -> None:
    assert inverse(Quantity(0.5, "s", 0.25, 1.0, 9), 4, "1/s") == Quantity(8.0, "1/s", 4.0, 16.0, 9)
    assert inverse(Quantity(0.5, "s"), 1, "1/s") == Quantity(2.0, "1/s")


def test_the_speed_of_neighbouring_processes_cancels_by_their_yardsticks() -> None:
    slow = made_up(1, base_s=2e-5, between=0.0, speed=np.full(8, 1.5))
    fast = made_up(2, base_s=1e-5, between=0.0, speed=np.full(8, 0.8))
    found = ratio_of(slow, fast)
    assert found.quantity.value == pytest.approx(2.0, rel=0.02)
    assert found.quantity.low <= found.quantity.value <= found.quantity.high
    assert found.is_different


def test_within_a_process_the_yardstick_adds_no_noise() -> None:
    yardsticks = [process.yardstick for process in made_up(3)]
    slow = [ProcessTimes(p.blocks, y) for p, y in zip(made_up(4, base_s=2e-5), yardsticks, strict=True)]
    fast = [ProcessTimes(p.blocks, y) for p, y in zip(made_up(5), yardsticks, strict=True)]
    rough = [each * 3 for each in yardsticks]
    again = [[ProcessTimes(p.blocks, y) for p, y in zip(model, rough, strict=True)] for model in (slow, fast)]
    assert ratio_of(slow, fast) == ratio_of(*again)
