"""The gate: a step that made a model neither smaller nor faster, by measurement, is dropped. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from steelyard.core.candidate import StepSetting, steps_text
from steelyard.core.goal import Cost
from steelyard.core.outcome import Passage
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.lane import PAIRED

SMALLER = 1.01
"""A file counts as smaller from 1 % on: below that its alignment and names say as much as its weights."""
FASTER = 1.02
"""Costs that are measured and lie within 2 % of each other are a tie, as in choosing."""
Ratio = Callable[[str, str], Quantity | None]
"""The latency of the first over the latency of the second, measured in pairs; None where it was not."""
_Verdict = Literal["better", "worse", "same"]


def gated(
    trials: Sequence[Trial],
    *,
    minimize: Cost,
    recovers: Collection[str] = (),
    ratio: Ratio | None = None,
) -> tuple[Passage, ...]:
    """What the gate says of every confirmed trial with steps, in the order of the trials; O(trials × steps).

    A trial is compared with the confirmed trial of the same family, scale and options whose steps are the longest
    proper beginning of its own that leaves a step to judge: recovery belongs to the step that it mends.

    Args:
        trials: of a study, failed ones among them.
        minimize: the cost that is minimised; less memory counts where it is that one.
        recovers: names of steps that only learn, which change no size by themselves.
        ratio: measured ratios of latencies; without one, the ratio of the far ends of two intervals, which is wider.
    """
    confirmed = [trial for trial in trials if isinstance(trial.outcome, Measurement)]
    known = {_place(trial, trial.candidate.steps): trial for trial in confirmed}
    found = []
    for trial in confirmed:
        parent = _parent(trial, known, recovers)
        if parent is not None:
            found.append(_judged(trial, parent, minimize, ratio))
    return tuple(found)


def paired_ratio(trials: Sequence[Trial]) -> Ratio:
    """Ratios of latencies as the rounds of trials have them, by their notes.

    Two models that were measured in different rounds are compared by what stood beside both, with the widest interval
    that the two ratios allow.
    """
    known = {
        trial.key: {key: Quantity.from_json(plain) for key, plain in trial.outcome.notes.get(PAIRED, {}).items()}
        for trial in trials
        if isinstance(trial.outcome, Measurement)
    }

    def ratio(first: str, second: str) -> Quantity | None:
        ours, theirs = known.get(first, {}), known.get(second, {})
        if second in ours:
            return ours[second]
        if first in theirs:
            return _quotient(Quantity(1.0, "1", 1.0, 1.0), theirs[first])
        beside = next((key for key in ours if key in theirs), None)
        return None if beside is None else _quotient(ours[beside], theirs[beside])

    return ratio


def dropped(passages: Sequence[Passage]) -> dict[str, str]:
    """Why a candidate was dropped, by the keys of those that were."""
    return {passage.key: passage.why for passage in passages if not passage.passed}


def _place(trial: Trial, steps: tuple[StepSetting, ...]) -> tuple[object, ...]:
    candidate = trial.candidate
    return candidate.family, candidate.scale, candidate.options, candidate.runtime, steps


def _parent(trial: Trial, known: Mapping[tuple[object, ...], Trial], recovers: Collection[str]) -> Trial | None:
    """What the last steps of a trial are held against; None without steps, or where nothing before was measured."""
    steps = trial.candidate.steps
    ends = [end for end in range(len(steps)) if any(step.name not in recovers for step in steps[end:])]
    # Steps that only learn, and nothing else, are held against the model as it was given.
    for end in reversed(ends or [0] * bool(steps)):
        parent = known.get(_place(trial, steps[:end]))
        if parent is not None:
            return parent
    return None


@dataclass(frozen=True, slots=True)
class _Change:
    """One cost before over after, and what it says."""

    verdict: _Verdict
    times: float


def _judged(trial: Trial, parent: Trial, minimize: Cost, ratio: Ratio | None) -> Passage:
    before, after = _figures(parent), _figures(trial)
    smaller = before["size_bytes"].value / max(after["size_bytes"].value, 1.0)
    faster = _quotient(before.get("latency_p50_s"), after.get("latency_p50_s"))
    paired = ratio(parent.key, trial.key) if ratio is not None else None
    faster = paired or faster
    changes = {
        "smaller": _Change(_size_verdict(smaller), smaller),
        "faster": _Change(_measured_verdict(faster), faster.value if faster else 1.0),
    }
    if minimize == "memory":
        lighter = _quotient(before.get("peak_memory_bytes"), after.get("peak_memory_bytes"))
        changes["lighter in memory"] = _Change(_measured_verdict(lighter), lighter.value if lighter else 1.0)
    steps = trial.candidate.steps[len(parent.candidate.steps) :]
    passed = any(change.verdict == "better" for change in changes.values())
    why = _sentence(steps_text(steps), str(parent.candidate), changes, passed=passed)
    return Passage(trial.key, steps, parent.key, passed, smaller, faster, why)


def _sentence(steps: str, parent: str, changes: Mapping[str, _Change], *, passed: bool) -> str:
    if not passed:
        words = list(changes)
        than = "neither " + " nor ".join(words) if len(words) == 2 else "none of " + ", ".join(words)
        return f"{steps} made it {than} than {parent}"
    told = [_told(word, change) for word, change in changes.items()]
    return f"{steps} made it {' and '.join(told)} than {parent}"


def _told(word: str, change: _Change) -> str:
    if change.verdict == "same":
        return f"no {word}"
    opposite = {"smaller": "larger", "faster": "slower"}.get(word, "heavier in memory")
    times = change.times if change.verdict == "better" else 1 / change.times
    shown = f"{100 * (times - 1):.0f} %" if times < 1.1 else f"{times:.1f} times"
    return f"{shown} {word if change.verdict == 'better' else opposite}"


def _size_verdict(smaller: float) -> _Verdict:
    return "better" if smaller >= SMALLER else "worse" if smaller <= 1 / SMALLER else "same"


def _measured_verdict(quotient: Quantity | None) -> _Verdict:
    """Better or worse beyond doubt: the interval excludes 1, and the figure is no tie."""
    if quotient is None:
        return "same"
    low = quotient.value if quotient.low is None else quotient.low
    high = quotient.value if quotient.high is None else quotient.high
    if low > 1 and quotient.value >= FASTER:
        return "better"
    return "worse" if high < 1 and quotient.value <= 1 / FASTER else "same"


def _quotient(before: Quantity | None, after: Quantity | None) -> Quantity | None:
    """Before over after, with the widest interval that the two intervals allow; None where either is not known."""
    if before is None or after is None:
        return None
    low, high = (before.value if each is None else each for each in (before.low, before.high))
    after_low, after_high = (after.value if each is None else each for each in (after.low, after.high))
    if min(low, after_low) <= 0:
        return None
    return Quantity(before.value / after.value, "1", low / after_high, high / after_low)


def _figures(trial: Trial) -> Mapping[str, Quantity]:
    return trial.outcome.metrics if isinstance(trial.outcome, Measurement) else {}
