"""One sentence for every point: why it was chosen, or why not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.core.outcome import Miss, Status
from steelyard.select.order import Certified

_SCALES: Mapping[str, tuple[float, str]] = {"s": (1e3, "ms"), "B": (1e-6, "MB"), "J": (1e3, "mJ")}
"""Milliseconds, megabytes and millijoules are for people to read."""
_NAMES: Mapping[str, str] = {
    "max_latency": "p95 latency",
    "max_size": "size",
    "max_memory": "peak memory",
    "max_energy": "energy",
    "max_drop": "drop",
    "min_quality": "quality",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one point when the choice has been made; all plain values.

    `misses` are the limits it does not meet; `dominated_by` names a point that is better in everything; `drop` is its
    drop on the validation rows; `dearer_by` the share by which it costs more than the chosen one (negative: less);
    `stopped_by` what a gate had against its last steps.
    """

    key: str
    is_reference: bool = False
    is_baseline: bool = False
    misses: Sequence[Miss] = ()
    dominated_by: str | None = None
    drop: float | None = None
    dearer_by: float | None = None
    stopped_by: str | None = None


def reason(
    standing: Standing,
    *,
    chosen: str,
    status: Status,
    certified: Certified | None,
    epsilon: float,
    cost: str = "latency",
) -> str:
    """Why a point was or was not chosen, in one sentence; the first of the reasons that applies.

    Args:
        standing: the point.
        chosen: the key of the chosen point.
        status: of the whole answer.
        certified: what testing proved, None where nothing was tested.
        epsilon: the permitted drop.
        cost: what is minimised, as a word.
    """
    if standing.key == chosen:
        return _why_chosen(standing, status, certified, cost)
    reasons = (
        _role(standing),
        f"Dropped by the gate: {standing.stopped_by}." if standing.stopped_by else None,
        f"Not chosen: {' and '.join(map(_over, standing.misses))}." if standing.misses else None,
        _why_not_proved(standing.key, certified),
        _outbid(standing, certified, cost),
        _outclassed(standing, epsilon, cost),
    )
    return next((each for each in reasons if each is not None), "Not chosen: it was not among the candidates tested.")


def _role(standing: Standing) -> str | None:
    if standing.is_reference:
        return "It is the reference: every drop is measured against it."
    return "It is the baseline, there to compare with." if standing.is_baseline else None


def _outbid(standing: Standing, certified: Certified | None, cost: str) -> str | None:
    if certified is None or standing.key not in certified.rejected:
        return None
    return f"Proved too, but {_dearer(standing.dearer_by, cost)}."


def _outclassed(standing: Standing, epsilon: float, cost: str) -> str | None:
    if standing.dominated_by is not None:
        return f"Not chosen: {standing.dominated_by} is no worse in quality and {cost}, and better in one of them."
    if standing.drop is not None and standing.drop > epsilon:
        return f"Not chosen: it loses {standing.drop:.4g} on the validation rows; {epsilon:.4g} is permitted."
    if standing.dearer_by is not None and standing.dearer_by >= 0:
        return f"Not chosen: {_dearer(standing.dearer_by, cost)}."
    return None


def _why_chosen(standing: Standing, status: Status, certified: Certified | None, cost: str) -> str:
    if standing.is_reference and status == "certified":
        return f"Chosen: it is the model given, and nothing that is good enough lowers its {cost}."
    if status == "infeasible":
        return f"Nearest to the goal, which nothing meets: {' and '.join(map(_over, standing.misses)) or 'no proof'}."
    if status == "estimated" or certified is None:
        return f"Chosen by the validation rows: the lowest {cost} within the permitted drop; not proved."
    proof = certified.proofs.get(standing.key)
    shown = "" if proof is None else f" (p = {proof.p_value:.2g}, n = {proof.n})"
    others = len(certified.rejected) - 1
    among = f"the lowest {cost} of {others + 1} proved" if others > 0 else "the only one proved"
    return f"Chosen: {among} to lose less than permitted{shown}."


def _why_not_proved(key: str, certified: Certified | None) -> str | None:
    if certified is None or key in certified.rejected or key not in certified.order:
        return None
    if key != certified.stopped_at:
        return f"Not tested: it stands behind {certified.stopped_at}, the first that could not be proved."
    proof = certified.proofs[key]
    if not proof.applicable:
        return f"Not proved: {proof.why}"
    if proof.rejected:
        quality = certified.quality[key]
        return f"Not proved: its quality may lie beyond the one asked for (p = {quality.p_value:.2g})."
    return f"Not proved: its drop may be as large as permitted or larger (p = {proof.p_value:.2g}, n = {proof.n})."


def _dearer(share: float | None, cost: str) -> str:
    if share is None or share < 0:
        return f"its {cost} and size together rank behind the chosen one's"
    if share < 0.005:
        return f"its {cost} is the same and its file no smaller than the chosen one's"
    return f"its {cost} is {share:.0%} higher than the chosen one's"


def _over(miss: Miss) -> str:
    scale, unit = _SCALES.get(miss.unit, (1.0, ""))
    name = _NAMES.get(miss.limit, miss.limit)
    asked = f"{miss.asked * scale:.4g} {unit}".strip()
    if miss.got is None:
        return f"its {name} is unknown, where the limit is {asked}"
    return f"its {name} of {miss.got * scale:.4g} {unit}".strip() + f" misses the limit of {asked}"
