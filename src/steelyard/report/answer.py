"""The answer in sentences: what was chosen, what it gains, what is proved, what is missed. Pure; text only."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from steelyard.core.outcome import Deciding, Outcome, Point
from steelyard.core.quantity import Quantity
from steelyard.report.formatting import (
    UNKNOWN,
    cleaned,
    format_confidence,
    format_figure,
    format_share,
    format_times,
)

Mark = Literal["chosen", "reference", "baseline", "front"]

BASELINE_FAMILY = "baseline"
"""The family of the majority-class or mean baseline."""

_LOWER_IS_BETTER = frozenset(
    {
        "rmse",
        "mse",
        "mae",
        "loss",
        "log_loss",
        "perplexity",
        "bits_per_token",
        "output_error",
        "davies_bouldin",
        "wer",
        "cer",
        "eer",
    }
)
_METHODS = {
    "trinomial": "paired trinomial test",
    "paired trinomial, exact unconditional": "paired trinomial test",
    "disagreement": "Clopper-Pearson bound on disagreements",
    "mean": "studentised paired bootstrap",
    "bootstrap": "paired BCa bootstrap",
}
_GAINS = (
    ("size_bytes", "smaller", "larger"),
    ("latency_p50_s", "faster", "slower"),
    ("peak_memory_bytes", "less memory", "more memory"),
    ("parameters", "fewer parameters", "more parameters"),
    ("macs", "fewer MACs", "more MACs"),
    ("energy_j", "less energy", "more energy"),
    ("train_s", "faster to train", "slower to train"),
)
STATUS_MEANING = {
    "certified": "proved on test rows that the search never saw",
    "estimated": "chosen on validation, not proved",
    "infeasible": "nothing found meets the goal; this is the nearest",
}
"""What each status says, in a few words."""


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times better the chosen point is than the reference in one cost.

    `ratio` is reference over chosen: above 1 the chosen point is better. `is_clear` is False where their 95 %
    intervals overlap, so the ratio may be noise.
    """

    metric: str
    ratio: float
    word: str
    is_clear: bool

    def __str__(self) -> str:
        """For people: `4.2 times smaller`."""
        if not self.is_clear:
            return f"{self.metric_name}: no clear difference"
        times = max(self.ratio, 1 / self.ratio)
        # "1.0 times slower" would say nothing; below a tenth the share does.
        return f"{100 * (times - 1):.0f} % {self.word}" if times < 1.1 else f"{format_times(times)} times {self.word}"

    @property
    def metric_name(self) -> str:
        """The cost in words."""
        return metric_title(self.metric)


TIE = 0.02
"""Latencies within 2 % of each other are a tie whatever their interval says."""


def metric_title(name: str) -> str:
    """A metric's name for people."""
    titles = {
        "latency_p50_s": "latency p50",
        "latency_p95_s": "latency p95",
        "latency_p99_s": "latency p99",
        "latency_floor_s": "latency floor",
        "throughput_per_s": "throughput",
        "size_bytes": "size",
        "peak_memory_bytes": "peak memory",
        "memory_load_bytes": "memory to load",
        "memory_run_bytes": "memory to run",
        "load_s": "load time",
        "train_s": "training time",
        "energy_j": "energy",
        "macs": "MACs",
    }
    return titles.get(name, cleaned(name).replace("_", " "))


def all_points(outcome: Outcome) -> tuple[Point, ...]:
    """Every confirmed point once, by rising minimised cost; the chosen and the reference carry their test quality."""
    once = {point.candidate: point for point in (*outcome.points, *outcome.front, outcome.reference, outcome.chosen)}

    def order(point: Point) -> tuple[bool, float, str]:
        cost = point.metrics.get(outcome.goal.cost_metric)
        return (cost is None, 0.0 if cost is None else cost.value, str(point.candidate))

    return tuple(sorted(once.values(), key=order))


def marks(outcome: Outcome, point: Point) -> tuple[Mark, ...]:
    """What a point is besides a point, the most telling first."""
    claims: tuple[tuple[Mark, bool], ...] = (
        ("chosen", point.candidate == outcome.chosen.candidate),
        ("reference", point.candidate == outcome.reference.candidate),
        ("baseline", point.family == BASELINE_FAMILY),
        ("front", any(point.candidate == other.candidate for other in outcome.front)),
    )
    return tuple(mark for mark, holds in claims if holds)


def is_higher_better(outcome: Outcome) -> bool:
    """Whether a higher quality is better: read from the sign of the drop, else from the metric's name."""
    name = f"{outcome.drop.metric}_test"
    chosen, reference = outcome.chosen.metrics.get(name), outcome.reference.metrics.get(name)
    if outcome.drop.value and chosen and reference and chosen.value != reference.value:
        return (reference.value > chosen.value) == (outcome.drop.value > 0)
    return outcome.drop.metric not in _LOWER_IS_BETTER


def validation_drop(outcome: Outcome, point: Point) -> float | None:
    """The loss of validation quality against the reference, positive is worse; a share of it where relative."""
    told = point.notes.get("valid_drop")
    if isinstance(told, int | float):
        # Certifying knows the least divisor of a relative drop; here it could only be guessed.
        return float(told)
    ours, theirs = point.metrics.get(outcome.drop.metric), outcome.reference.metrics.get(outcome.drop.metric)
    if ours is None or theirs is None:
        return None
    loss = theirs.value - ours.value if is_higher_better(outcome) else ours.value - theirs.value
    if not outcome.drop.relative:
        return loss
    return None if theirs.value == 0 else loss / abs(theirs.value)


def gains(outcome: Outcome) -> tuple[Gain, ...]:
    """The chosen point against the reference, cost by cost; empty where they are the same point."""
    if outcome.chosen.key == outcome.reference.key:
        return ()
    found = []
    for metric, better, worse in _GAINS:
        ours, theirs = outcome.chosen.metrics.get(metric), outcome.reference.metrics.get(metric)
        if ours is None or theirs is None or ours.value <= 0 or theirs.value <= 0:
            continue
        ratio, is_clear = theirs.value / ours.value, not overlap(ours, theirs)
        paired = outcome.chosen.notes.get("times_faster")
        if metric == "latency_p50_s" and isinstance(paired, Mapping):
            # Measured in pairs within one round: far narrower than what two separate intervals allow.
            ratio, is_clear = paired["value"], not paired["low"] <= 1 <= paired["high"] and abs(ratio - 1) >= TIE
        found.append(Gain(metric, ratio, better if ratio >= 1 else worse, is_clear=is_clear))
    return tuple(found)


def overlap(a: Quantity, b: Quantity) -> bool:
    """Whether two figures can't be told apart: their 95 % intervals overlap, or they are equal."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return a.value == b.value
    return a.low <= b.high and b.low <= a.high


def headline(outcome: Outcome) -> str:
    """The answer in one sentence."""
    name = point_name(outcome.chosen)
    if outcome.status == "infeasible":
        return f"Nothing found meets the goal; the nearest is {name}."
    if outcome.chosen.key == outcome.reference.key:
        return f"The right size is the reference itself, {name}: nothing cheaper was good enough."
    told = [gain for gain in gains(outcome) if gain.metric in ("size_bytes", "latency_p50_s")]
    clear = [str(gain) for gain in told if gain.is_clear]
    noise = ["as fast as the reference within the noise" for gain in told if not gain.is_clear and "lat" in gain.metric]
    same = ["the same size" for gain in told if not gain.is_clear and gain.metric == "size_bytes"]
    than = " than the reference" if clear else ""
    parts = [part for part in (_joined(clear) + than, *noise, *same) if part]
    return f"The right size is {name}" + (f": {', '.join(parts)}." if parts else ".")


def point_name(point: Point) -> str:
    """A point's name for people, safe for one line of a terminal."""
    return cleaned(str(point.candidate))


def proof_sentence(outcome: Outcome) -> str:
    """What is proved about the drop of quality, or why nothing is."""
    drop = outcome.drop
    metric = cleaned(drop.metric)
    allowed = f"{format_share(drop.epsilon)}{' (relative)' if drop.relative else ''} worse in {metric}"
    basis = f"{drop.n:,} {_units(outcome)}, {method_phrase(outcome)}"
    level = format_confidence(drop.confidence)
    seen = UNKNOWN if drop.value is None else format_share(drop.value)
    if outcome.status == "certified" and outcome.chosen.key == outcome.reference.key:
        return f"certified: it is the reference itself, which loses nothing; {allowed} would be permitted."
    if outcome.status == "certified":
        bound = "" if drop.high is None else f" (at most {format_share(drop.high)}, seen {seen})"
        return f"certified: at {level} confidence at most {allowed} than the reference{bound}, {basis}."
    bound = "" if drop.high is None else f", at most {format_share(drop.high)} at {level} confidence"
    start = "estimated, not proved" if outcome.status == "estimated" else "infeasible"
    if outcome.status == "estimated" and any(not miss.is_judged for miss in outcome.misses):
        start = "estimated, because a limit was not judged"
    if drop.value is None:
        return f"{start}: the drop in {metric} was not judged on test rows; permitted {format_share(drop.epsilon)}."
    permitted = f"permitted {format_share(drop.epsilon)}{' (relative)' if drop.relative else ''}"
    return f"{start}: the drop in {metric} was {seen}{bound}; {permitted}; {basis}."


def proof_remarks(outcome: Outcome) -> tuple[str, ...]:
    """What else the reader of a proof should know: rows needed, certificates already issued, exactness."""
    drop = outcome.drop
    remarks = []
    if outcome.status != "certified":
        if drop.samples_needed is None:
            remarks.append(
                "No number of test rows is expected to be enough: "
                "the drop on validation is not below the permitted one."
            )
        elif drop.samples_needed > drop.n:
            remarks.append(f"About {drop.samples_needed:,} test rows are expected to be enough for a proof.")
    if drop.looks > 1:
        joint = max(0.0, 1 - drop.looks * (1 - drop.confidence))
        remarks.append(
            f"{drop.looks} certificates were issued on these test rows; all hold together with a confidence of "
            f"at least {format_confidence(joint)}."
        )
    if outcome.status == "certified" and not drop.exact:
        remarks.append("The method is asymptotic: the confidence is approximate at this number of rows.")
    return (*remarks, *seed_remarks(outcome), *deciding_remarks(outcome))


def seed_remarks(outcome: Outcome) -> tuple[str, ...]:
    """How much of the finalists' quality is the luck of a start, where they were trained with other seeds too."""
    name = outcome.drop.metric
    told = []
    for point in {each.key: each for each in (outcome.chosen, outcome.reference)}.values():
        mean, sd = (point.metrics.get(f"{name}_seed_{figure}") for figure in ("mean", "sd"))
        if mean is not None and sd is not None:
            figures = (format_figure(each.value, name, each.unit) for each in (mean, sd))
            told.append(f"{' ± '.join(figures)} over {mean.n} seeds ({point_name(point)})")
    return (f"{as_sentence(cleaned(name))} on validation rows, mean ± sd: {'; '.join(told)}.",) if told else ()


def deciding_remarks(outcome: Outcome) -> tuple[str, ...]:
    """What the choice hung on, where limits or a scenario were asked for."""
    if not (outcome.scenario or outcome.goal.limits or outcome.goal.min_quality is not None):
        return ()
    start = f"Scenario {cleaned(outcome.scenario)}: " if outcome.scenario else ""
    told = [_deciding(each, is_met=outcome.status != "infeasible") for each in outcome.decided]
    if not told and outcome.status == "infeasible":
        return (f"{start}no single limit stood in the way; every candidate misses two or more.",)
    return (start + ("; ".join(told) if told else "no limit decided; nothing cheaper was found.").rstrip(".") + ".",)


def _deciding(each: Deciding, *, is_met: bool) -> str:
    if each.limit == "proof":
        what = f"the proof at {format_confidence(each.asked)} decided"
    else:
        what = f"{each.limit.replace('_', '-')} of {format_figure(each.asked, each.limit, each.unit)} decided"
    if not is_met:
        return f"{what}: {cleaned(each.name)} meets everything else"
    gain = f"would be {format_times(each.times)} times cheaper" if each.times else "would be cheaper"
    return f"{what}: without it {cleaned(each.name)} {gain}"


def method_phrase(outcome: Outcome) -> str:
    """The test behind the claim, `exact` said where it is."""
    method = cleaned(_METHODS.get(outcome.drop.method, outcome.drop.method))
    return f"exact {method}" if outcome.drop.exact and "exact" not in method.lower() else method


def as_sentence(text: str) -> str:
    """The text with a capital at its start."""
    return text[:1].upper() + text[1:]


def miss_sentences(outcome: Outcome) -> tuple[str, ...]:
    """Each limit that the returned point misses, asked and got."""
    sentences = []
    for miss in outcome.misses:
        name = cleaned(miss.limit).replace("_", "-")
        asked = format_figure(miss.asked, miss.limit, miss.unit)
        if not miss.is_judged:
            sentences.append(f"{name} of {asked} was not judged: nothing measured there says whether it is met.")
            continue
        got = "unknown" if miss.got is None else format_figure(miss.got, miss.limit, miss.unit)
        sentences.append(f"misses {name}: asked {asked}, got {got}.")
    return tuple(sentences)


def next_command(outcome: Outcome) -> str:
    """The command that uses what was found."""
    return f"steelyard predict {shell_bundle(outcome)} --data FILE"


def shell_bundle(outcome: Outcome) -> str:
    """The bundle's path as a shell word."""
    return shlex.quote(cleaned(str(outcome.bundle)))


def quoted_bundle(outcome: Outcome) -> str:
    """The bundle's path as a Python string."""
    return json.dumps(cleaned(str(outcome.bundle)), ensure_ascii=False)


def report_path(outcome: Outcome) -> str:
    """Where the HTML report of the bundle lies."""
    return cleaned(str(outcome.bundle / "report.html"))


def _units(outcome: Outcome) -> str:
    return "test rows" if outcome.splits.get("test") == outcome.drop.n else "independent groups of test rows"


def _joined(parts: Iterable[str]) -> str:
    return " and ".join(parts)
