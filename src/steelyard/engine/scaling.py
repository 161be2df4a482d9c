"""What a study's points tell of how depth, width and resolution should grow together."""

from collections.abc import Mapping, Sequence

from steelyard.core.quantity import Quantity
from steelyard.core.scaling import Scaling
from steelyard.core.trial import Trial
from steelyard.engine.plan import Plan
from steelyard.select.compound import Sized, scaling_of, why_untold
from steelyard.select.quality import loss

COSTS = ("macs", "latency_p50_s")
"""What may double: products, as published, and the latency that is measured."""
ERRORS_IN_INTERVAL = 2 * 1.959964
"""Standard errors that a normal 95 % interval spans."""

Figures = Mapping[str, Mapping[str, Quantity]]


def scalings(plan: Plan, figures: Figures, confirmed: Sequence[Trial]) -> tuple[tuple[Scaling, ...], tuple[str, ...]]:
    """How each family should grow whose points can tell; and where a ladder was asked for, sentences why one can't.

    Args:
        plan: the question.
        figures: of each confirmed candidate by its key.
        confirmed: the trials; those without compression and options count.
    """
    if plan.given is not None:
        return (), ()
    found, notices = [], []
    for family in plan.space.families:
        plain = [each for each in confirmed if each.candidate.family == family.family and each.candidate.is_plain]
        rows = [_sized(plan, each, figures[each.key]) for each in plain]
        reason = why_untold(rows)
        if reason is None:
            better = plan.metric.higher_is_better
            found.append(scaling_of(family.family, rows, higher_is_better=better, seed=plan.seed))
        elif plan.scale == "compound":
            notices.append(f"{family.family}: {reason}")
    return tuple(found), tuple(notices)


def _sized(plan: Plan, trial: Trial, metrics: Mapping[str, Quantity]) -> Sized:
    quality = metrics[plan.goal_metric]
    known = quality.low is not None and quality.high is not None
    error = (float(quality.high or 0) - float(quality.low or 0)) / ERRORS_IN_INTERVAL if known else None
    return Sized(
        key=trial.key,
        settings=dict(trial.candidate.scale.settings),
        loss=loss(plan.metric, quality.value),
        error=error,
        costs={name: metrics[name].value for name in COSTS if name in metrics},
    )
