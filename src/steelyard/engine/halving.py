"""Early stopping of hopeless candidates: what a training must have reached by when, from the trials that are finished.

Successive halving, asynchronous: a candidate is judged after epochs 2, 4, 8 and so on, by what is known when it begins,
and stopped where it can't matter for the answer any more, in whatever form:

- "front": something that is sure to cost no more in anything is better than it can become; or
- "goal": the goal is met already, the candidate will be far from it, and something that is sure to cost no more in what
  the goal asks for is better than it can become.

Everything else is trained to its end.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from steelyard.core.candidate import Candidate, FamilySpace
from steelyard.core.protocols import Metric
from steelyard.core.quantity import Quantity
from steelyard.core.trial import Measurement, Stopped, Trial
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.select.dearer import Measured
from steelyard.select.quality import loss
from steelyard.select.rungs import Errors, Learned, rungs

_REASONS = {"front": "become better than what costs no more", "goal": "come near the goal"}
FAR = 5.0
"""Permitted drops below the reference from which a candidate is far from the goal."""
NOISE = 0.5
"""Share of the half-width of its 95 % interval by which a quality is taken to be worse: about one standard error."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a training must have reached after an epoch to go on, and what for: `why` as in `Stopped`.

    `progress` is granted from there on, as a ratio of errors.
    """

    epoch: int
    quality: float
    progress: float
    why: str


@dataclass(frozen=True, slots=True)
class Halving:
    """The rule on one study."""

    plan: Plan
    problem: StudyProblem
    errors: Errors

    @classmethod
    def of(cls, plan: Plan, problem: StudyProblem) -> Self | None:
        """The rule of a plan; None where nothing is to be stopped."""
        if not plan.halving or plan.given is not None or plan.recipe.get("loop") or plan.monitor != plan.goal_metric:
            return None
        return cls(plan, problem, Errors(plan.metric, max(1, len(plan.task.valid))))

    def needs(self, candidate: Candidate, finished: Sequence[Trial]) -> tuple[Need, ...]:
        """What a candidate must have reached by when, by rising epochs; nothing for the references and what a user had.

        A training serves all forms of its model, so it must be hopeless for each of them. Depends on its arguments
        alone, so a resumed search decides as it would have.
        """
        model, space = candidate.uncompressed, self.plan.space
        if candidate in (*self.plan.firsts, *self.plan.earlier) or _is_trained(model, finished):
            return ()
        pairs = space.forms(space.family(model.family))
        forms = [replace(model, steps=steps, options=options) for steps, options in pairs]
        is_met = any(self._meets(each, finished) for each in finished)
        bounds = [self._bound(each, finished, is_met=is_met) for each in forms]
        if None in bounds:
            return ()
        quality, why = max((each for each in bounds if each is not None), key=lambda each: self._loss(each[0]))
        level = self.errors.of(quality)
        if not level:
            return ()
        worst = self.errors.of(0.0) if self.errors.metric.higher_is_better else np.inf
        found = [(rung, rung.needed(level)) for rung in rungs(self._learned(finished))]
        return tuple(
            Need(rung.epoch, self.errors.quality(error), rung.progress(error), why)
            for rung, error in found
            if worst is not None and error < worst
        )

    def _bound(self, candidate: Candidate, finished: Sequence[Trial], *, is_met: bool) -> tuple[float, str] | None:
        """The quality that a candidate must come to if it is to matter, and what for; None where any will do."""
        names = self.problem.objectives[1:]
        front = self._cheaper_quality(candidate, finished, names)
        if not is_met:
            return None if front is None else (front, "front")
        goal = self.plan.goal
        asked = {goal.cost_metric, *(limit.metric for limit in goal.limits)}
        cheaper = self._cheaper_quality(candidate, finished, sorted(asked))
        far = self.problem.below(FAR, finished)
        known = [] if front is None else [(front, "front")]
        if cheaper is not None and far is not None:
            known.append((max(cheaper, far, key=self._loss), "goal"))
        return min(known, key=lambda each: self._loss(each[0]), default=None)

    def stopped(self, needs: Sequence[Need], noted: Mapping[str, Any]) -> Stopped:
        """The end of a candidate that fell short, from what its training noted."""
        need = next(each for each in needs if each.epoch == noted["epoch"])
        error = self.errors.of(noted["quality"])
        reach = noted["quality"] if error is None else self.errors.quality(error * need.progress)
        return Stopped(
            need.epoch, self.plan.goal_metric, noted["quality"], need.quality, reach, need.why, noted["curve"]
        )

    def known_end(self, candidate: Candidate, needs: Sequence[Need], finished: Sequence[Trial]) -> Stopped | None:
        """How a candidate ends whose model was begun and stopped in another form, where that is known to fall short."""
        begun = [
            trial.outcome.curve
            for trial in finished
            if isinstance(trial.outcome, Stopped) and trial.candidate.uncompressed == candidate.uncompressed
        ]
        for curve in begun:
            reached = 0
            best = None
            for need in needs:
                while reached < len(curve["epoch"]) and curve["epoch"][reached] <= need.epoch:
                    quality = curve["valid_quality"][reached]
                    best = quality if best is None else min(best, quality, key=self._loss)
                    reached += 1
                if best is None or curve["epoch"][-1] < need.epoch:
                    break
                if self._loss(best) > self._loss(need.quality):
                    return self.stopped(needs, {"epoch": need.epoch, "quality": best, "curve": curve})
        return None

    def _loss(self, quality: float) -> float:
        return loss(self.plan.metric, quality)

    def _learned(self, finished: Sequence[Trial]) -> list[Learned]:
        """The trainings from scratch that went to their end, each model once."""
        found: dict[Candidate, Learned] = {}
        for trial in finished:
            notes = trial.outcome.notes if isinstance(trial.outcome, Measurement) else {}
            if "curve" not in notes or notes.get("taken_over") or "start" in notes:
                continue
            learned = Learned.of(
                notes["curve"],
                self.errors,
                keeps_last=self.plan.recipe.get("epochs") is not None,
                is_cut=notes.get("stopped") == "time limit",
            )
            if learned is not None:
                found[trial.candidate.uncompressed] = learned
        return list(found.values())

    def _meets(self, trial: Trial, finished: Sequence[Trial]) -> bool:
        if not isinstance(trial.outcome, Measurement) or not self.problem.is_good_enough(trial, finished):
            return False
        least = self.plan.goal.min_quality
        return least is None or self._loss(trial.outcome.metrics[self.plan.goal_metric].value) <= self._loss(least)

    def _cheaper_quality(self, candidate: Candidate, finished: Sequence[Trial], names: Sequence[str]) -> float | None:
        """The best quality, at the worse end of its interval, of what is sure to cost no more in any of these."""
        known = [
            (trial.candidate, trial.outcome.metrics)
            for trial in finished
            if isinstance(trial.outcome, Measurement) and all(name in trial.outcome.metrics for name in names)
        ]
        if not known:
            return None
        family = self.plan.space.family(candidate.family)
        forms = [_form(candidate)]
        settings, numbers = [], []
        for each, _ in known:
            form = _form(each)
            forms += [form] if form not in forms else []
            is_comparable = each.family == family.family and each in self.plan.space
            numbers.append(forms.index(form) if is_comparable else -1)
            settings.append(_places(each, family) if is_comparable else [0] * len(family.knobs))
        low, high = (
            np.array([[_end(metrics[name], upper=upper) for name in names] for _, metrics in known])
            for upper in (False, True)
        )
        measured = Measured(np.array(settings).reshape(len(known), -1), np.array(numbers), low, high)
        mask = measured.no_dearer(np.array(_places(candidate, family), dtype=np.int64), 0)
        metric = self.plan.metric
        ends = [
            _worse(metrics[self.plan.goal_metric], metric)
            for (_, metrics), cheaper in zip(known, mask, strict=True)
            if cheaper
        ]
        return min(ends, key=self._loss, default=None)


def _is_trained(model: Candidate, finished: Sequence[Trial]) -> bool:
    return any(isinstance(each.outcome, Measurement) and each.candidate.uncompressed == model for each in finished)


def _form(candidate: Candidate) -> tuple[Any, ...]:
    """What two candidates must share to be compared by size: all but their numbers. Texts have no order."""
    texts = tuple((name, value) for name, value in candidate.scale.settings if isinstance(value, str | bool))
    return candidate.steps, candidate.options, texts


def _places(candidate: Candidate, family: FamilySpace) -> list[int]:
    return [knob.choices.index(candidate.scale[knob.name]) for knob in family.knobs]


def _worse(quantity: Quantity, metric: Metric) -> float:
    """A quality as bad as noise may make it."""
    return quantity.value + NOISE * (_end(quantity, upper=not metric.higher_is_better) - quantity.value)


def _end(quantity: Quantity, *, upper: bool) -> float:
    """An end of a figure's interval; the figure where it has none."""
    found = quantity.high if upper else quantity.low
    return float(quantity.value if found is None else found)


def stopped_trials(trials: Sequence[Trial]) -> Iterator[tuple[Trial, Stopped]]:
    """The trials that were stopped early, with their ends."""
    for trial in trials:
        if isinstance(trial.outcome, Stopped):
            yield trial, trial.outcome


def told(trials: Sequence[Trial], plan: Plan) -> tuple[str, ...]:
    """Sentences on what was stopped early, and on what of it could matter for a goal that was not the one then."""
    ends = [end for _, end in stopped_trials(trials)]
    if not ends:
        return ()
    epochs = [end.epoch for end in ends]
    usual = sorted(each for trial in trials for each in _lengths(trial))
    span = f"{min(epochs)}" if min(epochs) == max(epochs) else f"{min(epochs)} to {max(epochs)}"
    reasons = Counter(end.why for end in ends)
    text = f"{len(ends)} candidate{'s were' if len(ends) > 1 else ' was'} stopped early, after {span} epochs"
    text += f" where others took {usual[len(usual) // 2]}" if usual else ""
    parts = [f"{reasons[why]} could not {what}" for why, what in _REASONS.items() if reasons[why]]
    sentences = [f"{text}: {', '.join(parts)}"]
    doubtful = sum(_may_matter(end, plan, trials) for end in ends)
    if doubtful:
        sentences.append(
            f"{doubtful} of them were stopped for another goal and might matter for this one: search anew with "
            "another --out to have them"
        )
    return tuple(sentences)


def _lengths(trial: Trial) -> Iterator[int]:
    curve = trial.outcome.notes.get("curve") if isinstance(trial.outcome, Measurement) and trial.trained else None
    if curve and curve.get("epoch"):
        yield int(curve["epoch"][-1])


def _may_matter(end: Stopped, plan: Plan, trials: Sequence[Trial]) -> bool:
    """Whether a candidate that was stopped for one goal could be near another, or is judged by another metric now."""
    if end.metric != plan.goal_metric:
        return True
    far = StudyProblem(plan.goal, plan.metric, plan.seed).below(FAR, trials)
    return end.why == "goal" and far is not None and loss(plan.metric, end.reach) < loss(plan.metric, far)
