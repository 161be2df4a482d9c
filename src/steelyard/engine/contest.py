"""Whether trees beat every network on a table: what a user who thinks of networks must hear."""

from collections.abc import Mapping, Sequence

from steelyard.core.protocols import Metric
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Trial
from steelyard.select.quality import loss

TREES, BASELINE = "trees", "baseline"
"""Names of the family of boosted trees, and of the one that learns nothing."""


def contest(metric: Metric, figures: Mapping[str, Mapping[str, Quantity]], confirmed: Sequence[Trial]) -> str | None:
    """One sentence where the best trees have a better validation quality than the best network; else None.

    The two are compared on the same rows, and by their intervals: where these overlap, the sentence says so.

    Args:
        metric: of the goal.
        figures: of each confirmed candidate by its key.
        confirmed: the trials, all with a measurement.
    """

    def quality(trial: Trial) -> Quantity:
        return figures[trial.key][metric.name]

    def best(trials: Sequence[Trial]) -> Trial | None:
        return min(trials, key=lambda each: loss(metric, quality(each).value), default=None)

    trees = best([each for each in confirmed if each.candidate.family == TREES])
    network = best([each for each in confirmed if each.candidate.family not in (TREES, BASELINE)])
    if trees is None or network is None:
        return None
    ours, theirs = quality(trees), quality(network)
    if loss(metric, ours.value) >= loss(metric, theirs.value):
        return None
    doubt = "" if _is_apart(ours, theirs) else ", which their intervals don't tell apart"
    return (
        f"on this table gradient-boosted trees beat every network on validation: {metric.name} {ours.value:.4g} of "
        f"{trees.candidate} against {theirs.value:.4g} of {network.candidate}{doubt}"
    )


def _is_apart(one: Quantity, other: Quantity) -> bool:
    """Whether two 95 % intervals have nothing in common; unknown ones count as touching."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high or other.low > one.high
