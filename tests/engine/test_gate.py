"""The gate drops steps that were not worth it, and says so by name."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.outcome import Passage
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.engine.gate import dropped, gated, paired_ratio

PRUNE = StepSetting("prune", (("keep", 0.6),))
DISTILL = StepSetting("distill")
QUANTIZE = StepSetting("quantize")


def trial(
    *steps: StepSetting,
    latency: float = 1e-3,
    size: float = 1e5,
    memory: float = 1e6,
    spread: float = 0.005,
    options: Mapping[str, int] | None = None,
    family: str = "net",
) -> Trial:
    """A confirmed trial; `spread` is half the width of the intervals of what is measured, as a share."""
    metrics = {
        "latency_p50_s": Quantity(latency, "s", latency * (1 - spread), latency * (1 + spread), 4000),
        "size_bytes": Quantity.exact(size, "B"),
        "peak_memory_bytes": Quantity(memory, "B", memory * (1 - spread), memory * (1 + spread), 8),
    }
    return Trial(0, Candidate(family, Scale(), steps, options=tuple((options or {}).items())), Measurement(metrics, ""))


def only(*trials: Trial, **settings: object) -> Passage:
    """The passage of the last of the trials."""
    return {each.key: each for each in gated(trials, minimize="latency", **settings)}[trials[-1].key]  # type: ignore[arg-type]


def test_a_step_that_made_nothing_smaller_or_faster_is_dropped_by_name() -> None:
    found = only(trial(), trial(QUANTIZE, latency=1.5e-3, size=1.2e5))
    assert not found.passed
    assert found.why == "quantize made it neither smaller nor faster than net"
    assert dropped([found]) == {found.key: found.why}


def test_a_smaller_file_passes_however_slow_it_is() -> None:
    found = only(trial(), trial(QUANTIZE, latency=1.5e-3, size=3e4))
    assert found.passed
    assert found.why == "quantize made it 3.3 times smaller and 1.5 times slower than net"
    assert not dropped([found])


def test_less_than_a_percent_of_the_file_is_no_smaller_file() -> None:
    assert not only(trial(), trial(QUANTIZE, size=99_100)).passed
    assert only(trial(), trial(QUANTIZE, size=99_000)).passed


def test_faster_counts_beyond_doubt_only() -> None:
    assert only(trial(), trial(PRUNE, latency=0.9e-3)).passed
    assert not only(trial(), trial(PRUNE, latency=0.9e-3, spread=0.2)).passed


def test_under_two_percent_is_a_tie_however_narrow_the_interval() -> None:
    assert not only(trial(spread=1e-6), trial(PRUNE, latency=0.985e-3, spread=1e-6)).passed
    assert only(trial(spread=1e-6), trial(PRUNE, latency=0.975e-3, spread=1e-6)).passed


def test_a_paired_ratio_stands_above_two_separate_intervals() -> None:
    before, after = trial(), trial(PRUNE, latency=0.9e-3, spread=0.2)
    asked: list[tuple[str, str]] = []

    def ratio(first: str, second: str) -> Quantity:
        asked.append((first, second))
        return Quantity(1.11, "1", 1.08, 1.14)

    found = only(before, after, ratio=ratio)
    assert found.passed
    assert found.faster == Quantity(1.11, "1", 1.08, 1.14)
    assert asked == [(before.key, after.key)]


def noted(each: Trial, **beside: Quantity) -> Trial:
    """The trial with ratios of its latency to others of its round."""
    assert isinstance(each.outcome, Measurement)
    notes = {"paired": {key.lstrip("_"): quantity.to_json() for key, quantity in beside.items()}}
    return replace(each, outcome=replace(each.outcome, notes=notes))


def test_rounds_are_compared_by_what_stood_beside() -> None:
    given_, first, second = trial(), trial(PRUNE), trial(PRUNE, PRUNE)
    first = noted(first, **{f"_{given_.key}": Quantity(0.8, "1", 0.79, 0.81)})
    second = noted(second, **{f"_{given_.key}": Quantity(0.4, "1", 0.39, 0.41)})
    ratio = paired_ratio((given_, first, second))
    assert ratio(first.key, given_.key) == Quantity(0.8, "1", 0.79, 0.81)
    assert ratio(given_.key, first.key) == Quantity(1 / 0.8, "1", 1 / 0.81, 1 / 0.79)
    assert ratio(first.key, second.key) == Quantity(0.8 / 0.4, "1", 0.79 / 0.41, 0.81 / 0.39)
    assert ratio(given_.key, trial(QUANTIZE).key) is None
    assert only(given_, first, second, ratio=ratio).faster == ratio(first.key, second.key)


def test_less_memory_counts_where_memory_is_minimised_alone() -> None:
    pair = (trial(), trial(QUANTIZE, memory=5e5))
    assert not gated(pair, minimize="latency")[0].passed
    found = gated(pair, minimize="memory")[0]
    assert found.passed
    assert found.why == "quantize made it no smaller and no faster and 2.0 times lighter in memory than net"
    heavy = gated((trial(), trial(QUANTIZE, memory=2e6)), minimize="memory")[0]
    assert heavy.why == "quantize made it none of smaller, faster, lighter in memory than net"


def test_the_longest_measured_beginning_is_the_parent() -> None:
    whole = (trial(), trial(PRUNE, size=9e4), trial(PRUNE, PRUNE, size=8e4), trial(PRUNE, PRUNE, QUANTIZE, size=2e4))
    found = only(*whole)
    assert (found.against, found.steps, found.smaller) == (whole[2].key, (QUANTIZE,), 4.0)
    found = only(whole[0], whole[1], whole[3])
    assert (found.against, found.steps) == (whole[1].key, (PRUNE, QUANTIZE))


def test_recovery_belongs_to_the_step_that_it_mends() -> None:
    """A model that learned once more is held against what the structure was before, not against itself."""
    whole = (trial(), trial(PRUNE, DISTILL, size=6e4), trial(PRUNE, DISTILL, DISTILL, size=6e4))
    found = only(*whole, recovers={"distill"})
    assert found.passed
    assert (found.against, found.steps) == (whole[0].key, (PRUNE, DISTILL, DISTILL))
    assert found.why.startswith("prune (keep 0.6), distill ×2 made it 1.7 times smaller")


def test_learning_alone_is_held_against_the_model_given() -> None:
    whole = (trial(), trial(DISTILL), trial(DISTILL, DISTILL), trial(DISTILL, QUANTIZE, size=3e4))
    passages = {each.key: each for each in gated(whole, minimize="latency", recovers={"distill"})}
    assert not passages[whole[1].key].passed
    assert passages[whole[2].key].against == whole[0].key
    assert passages[whole[3].key].against == whole[1].key
    assert passages[whole[3].key].passed


def test_other_families_and_options_are_no_parents() -> None:
    alone = trial(QUANTIZE, options={"threads": 2})
    assert gated((trial(), trial(family="other"), alone), minimize="latency") == ()


def test_what_failed_or_has_no_steps_passes_no_gate() -> None:
    failed = Trial(1, Candidate("net", Scale(), (QUANTIZE,)), Failure("compress", "no operator"))
    assert gated((trial(), failed), minimize="latency") == ()
    after = trial(QUANTIZE, PRUNE, size=5e4)
    assert [each.steps for each in gated((trial(), failed, after), minimize="latency")] == [(QUANTIZE, PRUNE)]


def test_a_passage_survives_json() -> None:
    found = only(trial(), trial(PRUNE, size=5e4))
    assert Passage.from_json(found.to_json()) == found
    assert found.to_json()["smaller"] == 2.0


@given(size=st.floats(0.2, 5), latency=st.floats(0.2, 5), spread=st.floats(0, 0.5))
def test_what_passes_is_smaller_or_faster_what_does_not_is_neither(size: float, latency: float, spread: float) -> None:
    low, high = latency * (1 + spread), 1 - spread
    # Whatever stands exactly on a boundary is decided by the last bit.
    assume(all(abs(a - b) > 1e-9 for a, b in ((size, 1 / 1.01), (latency, 1 / 1.02), (low, high))))
    found = only(trial(spread=spread), trial(QUANTIZE, size=1e5 * size, latency=1e-3 * latency, spread=spread))
    assert found.passed == (size < 1 / 1.01 or (latency < 1 / 1.02 and low < high))
