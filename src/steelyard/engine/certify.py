"""Certify: freeze the order, measure again, open the test split, prove, choose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard.core.errors import StudyError
from steelyard.core.goal import Goal
from steelyard.core.outcome import Drop, Miss, Passage, Status
from steelyard.core.quantity import Quantity
from steelyard.core.task import Rows
from steelyard.core.trial import Measurement, Trial
from steelyard.core.wire import Plain, canonical
from steelyard.engine.explaining import flips_of
from steelyard.engine.gate import dropped, gated, paired_ratio
from steelyard.engine.lane import Lane
from steelyard.engine.outputs import Outputs
from steelyard.engine.plan import Plan
from steelyard.engine.registries import recovery_steps
from steelyard.measure.latency import LatencyRound
from steelyard.select.choose import Estimated, Option, choose, estimate, is_same_cost
from steelyard.select.limits import misses, nearest
from steelyard.select.order import Certified, Entry, fixed_sequence, smoothed, testing_order
from steelyard.select.proof import Proof, prove, prove_quality
from steelyard.select.quality import drop, drop_error, loss, quality_interval
from steelyard.select.samples import discordance, samples_needed
from steelyard.store.study import Study

CERTIFICATES = "certificates"
"""The fact of the study that holds what was proved on its test rows so far."""
LAST_COSTS = "last_costs"
"""The fact of the study that holds the latencies of last rounds, and their paired ratios."""
SLACK = 0.25
"""The share of the permitted drop that compressed forms of one model may differ by chance on the validation rows."""
Metrics = Mapping[str, Quantity]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What certifying found. `metrics` are each point's figures, costs of tested ones from the last round.

    `gate` and `flips` are of a model that was there already: what its steps were worth, and which test rows the chosen
    point decides otherwise than the reference.
    """

    status: Status
    reference: Trial
    chosen: Trial
    drop: Drop
    misses: tuple[Miss, ...]
    metrics: Mapping[str, Metrics]
    proofs: Mapping[str, Plain]
    order: tuple[str, ...]
    valid_drops: Mapping[str, float]
    certified: Certified | None = None
    ratio: Quantity | None = None
    notices: tuple[str, ...] = ()
    gate: tuple[Passage, ...] = ()
    flips: Plain | None = None


@dataclass(slots=True)
class Certifier:
    """Certifies one goal on the confirmed trials of a study."""

    plan: Plan
    study: Study
    lane: Lane
    floor: float
    _outputs: Outputs = field(init=False)
    _trials: dict[str, Trial] = field(init=False, default_factory=dict)
    _metrics: dict[str, dict[str, Quantity]] = field(init=False, default_factory=dict)
    _drops: dict[str, float] = field(init=False, default_factory=dict)
    _reference: Trial = field(init=False)
    _gate: tuple[Passage, ...] = ()

    def __post_init__(self) -> None:
        """Prepare to compute outputs."""
        self._outputs = Outputs(self.study.artifacts, self.lane.runtime, self.plan.threads, self.plan.task.environment)

    def certify(self, trials: Sequence[Trial]) -> Verdict:
        """The verdict on the goal.

        Raises:
            StudyError: if no trial was confirmed.
        """
        confirmed = [trial for trial in trials if isinstance(trial.outcome, Measurement)]
        self._trials = {trial.key: trial for trial in confirmed}
        self._metrics = {trial.key: dict(_figures(trial)) for trial in confirmed}
        self._reference = reference_of(confirmed, self.plan)
        self._drops = {trial.key: self._valid_drop(trial) for trial in confirmed}
        candidates = [trial for trial in confirmed if trial.key != self._reference.key]
        if self.plan.given is not None:
            candidates = self._through_the_gate(candidates)
        if not candidates:
            raise StudyError(
                "no candidate but the reference could be confirmed; mend what failed and run again.", field="model"
            )
        return self._judge(self._record(candidates), candidates)

    def _through_the_gate(self, candidates: Sequence[Trial]) -> list[Trial]:
        """The candidates whose last steps are worth it; the model given, where no step is."""
        trials = list(self._trials.values())
        recovers = recovery_steps(self.plan.registry, self.plan.plugins, trials)
        minimize = self.plan.goal.minimize
        self._gate = gated(trials, minimize=minimize, recovers=recovers, ratio=paired_ratio(trials))
        stopped = dropped(self._gate)
        return [trial for trial in candidates if trial.key not in stopped] or [self._reference]

    def _record(self, candidates: Sequence[Trial]) -> Plain:
        """The certificate that answers this goal: an earlier one where it does, else a new look at the test rows."""
        for record in reversed(self.study.get(CERTIFICATES, [])):
            if self._answers(record, len(candidates)):
                for key, costs in record["costs"].items():
                    self._metrics[key] |= _costs(costs)
                return record
        order = self._order(candidates)
        # From here on the order is fixed; only now are test outputs computed.
        self.study.put("order", list(order))
        self._measure_again(order or (self._nearest(candidates),))
        kept = [key for key in order if not self._misses_costs(key)]
        certified = fixed_sequence(kept, self._prove, self._prove_quality if self._wants_quality else None)
        record = {
            **self._question(),
            "candidates": len(candidates),
            "limits": canonical([[limit.metric, limit.at_most] for limit in self.plan.goal.limits]),
            "order": kept,
            "proofs": {key: _proof_json(proof) for key, proof in certified.proofs.items()},
            "qualities": {key: _proof_json(proof) for key, proof in certified.quality.items()},
            "rejected": list(certified.rejected),
            "costs": {key: _costs_json(self._metrics[key]) for key in (self._reference.key, *order)},
        }
        self.study.put(CERTIFICATES, [*self.study.get(CERTIFICATES, []), record])
        return record

    def _question(self) -> dict[str, Plain]:
        """What a certificate is about, costs aside."""
        goal = self.plan.goal
        return {
            "metric": self.plan.goal_metric,
            "epsilon": goal.max_drop,
            "relative": self._relative,
            "confidence": goal.confidence,
            "min_quality": goal.min_quality,
            "minimize": goal.minimize,
            "reference": self._reference.key,
        }

    def _answers(self, record: Plain, candidates: int) -> bool:
        """Whether an earlier certificate answers this goal without a new look.

        It does for the same question and candidates, and the same limits or a proved candidate that meets the new ones.
        """
        if any(record[name] != value for name, value in self._question().items()):
            return False
        if record["candidates"] != candidates:
            return False
        limits = canonical([[limit.metric, limit.at_most] for limit in self.plan.goal.limits])
        if record["limits"] == limits:
            return True
        costs = {
            key: {name: Quantity.from_json(q) for name, q in each.items()} for key, each in record["costs"].items()
        }
        return any(not misses(self.plan.goal, {**self._metrics[key], **costs[key]}) for key in record["rejected"])

    @property
    def _relative(self) -> bool:
        return self.plan.goal.is_relative(metric_in_unit_range=self.plan.metric.in_unit_range)

    @property
    def _wants_quality(self) -> bool:
        return self.plan.goal.min_quality is not None

    @property
    def _test(self) -> Rows:
        return self.plan.task.test

    def _valid_drop(self, trial: Trial) -> float:
        name, metric = self.plan.goal_metric, self.plan.metric
        reference = self._metrics[self._reference.key][name].value
        return drop(metric, reference, self._metrics[trial.key][name].value, relative=self._relative, floor=self.floor)

    def _order(self, candidates: Sequence[Trial]) -> tuple[str, ...]:
        entries = [
            Entry(
                trial.key,
                self._drops[trial.key],
                self._metrics[trial.key][self.plan.goal.cost_metric].value,
                self._metrics[trial.key],
            )
            for trial in candidates
            if self.plan.goal.cost_metric in self._metrics[trial.key]
        ]
        if self.plan.given is not None:
            entries = list(smoothed(entries, SLACK * self.plan.goal.max_drop))
        return testing_order(entries, self.plan.goal.limits, epsilon=self.plan.goal.max_drop)

    def _nearest(self, candidates: Sequence[Trial]) -> str:
        """The candidate that misses the goal least, by validation quality and the costs known."""
        metric, name = self.plan.metric, self.plan.goal_metric
        return nearest(
            {
                trial.key: misses(
                    self.plan.goal,
                    self._metrics[trial.key],
                    drop=self._drops[trial.key],
                    quality=self._metrics[trial.key][name].value,
                    higher_is_better=metric.higher_is_better,
                )
                for trial in candidates
            }
        )

    def _measure_again(self, keys: Sequence[str]) -> None:
        """One fresh interleaved round of the candidates and the reference, kept with the study.

        The lowest of many noisy figures is too low, so only these count from here on. What an earlier goal had
        measured again is not measured a third time: it was not picked by those figures.
        """
        known: Plain = self.study.get(LAST_COSTS, {"costs": {}, "ratios": {}})
        ordered = [self._reference.key, *keys]
        missing = [key for key in ordered if key not in known["costs"]]
        if missing:
            beside = [self._reference.key] if self._reference.key not in missing else []
            found = self.lane.latency(
                [self.lane.subject(self._trials[key].candidate, self._path(key)) for key in (*beside, *missing)]
            )
            known = {
                "costs": known["costs"]
                | {key: _costs_json(found.metrics[key]) for key in missing if key in found.metrics},
                "ratios": known["ratios"] | _ratios(found),
            }
            self.study.put(LAST_COSTS, known)
        for key in ordered:
            self._metrics[key] |= _costs(known["costs"].get(key, {}))

    def _path(self, key: str) -> Any:
        return self.study.artifacts.path(_artifact(self._trials[key]), self.lane.runtime.suffix)

    def _misses_costs(self, key: str) -> bool:
        return bool(misses(self.plan.goal, self._metrics[key]))

    def _test_outputs(self, key: str) -> Any:
        return self._outputs.of(self._trials[key], "test", self._test)

    def _prove(self, key: str) -> Proof:
        goal = self.plan.goal
        return prove(
            self.plan.metric,
            self._test_outputs(self._reference.key),
            self._test_outputs(key),
            self._test.y,
            epsilon=goal.max_drop,
            relative=self._relative,
            confidence=goal.confidence,
            groups=self._test.groups,
            seed=self.plan.seed,
            floor=self.floor,
        )

    def _prove_quality(self, key: str) -> Proof:
        goal = self.plan.goal
        return prove_quality(
            self.plan.metric,
            self._test_outputs(key),
            self._test.y,
            at_least=float(goal.min_quality or 0.0),
            confidence=goal.confidence,
            groups=self._test.groups,
            seed=self.plan.seed,
        )

    def _judge(self, record: Plain, candidates: Sequence[Trial]) -> Verdict:
        ratio = self._ratio if self.plan.goal.minimize == "latency" else None
        proved = [key for key in record["rejected"] if not self._misses_costs(key)]
        status: Status
        if proved:
            status, key = "certified", choose([self._option(key) for key in proved], ratio)
        else:
            feasible = [trial.key for trial in candidates if not self._misses_costs(trial.key)]
            picked = estimate(
                [Estimated(self._option(key), self._drops[key], self._valid_error(key)) for key in feasible],
                epsilon=self.plan.goal.max_drop,
                test_drop=lambda _: 0.0,
                ratio=ratio,
            )
            key = picked if picked is not None else self._nearest(candidates)
            stands = picked is not None and self._test_drop(key) <= self.plan.goal.max_drop and self._has_quality(key)
            status = "estimated" if stands else "infeasible"
        if self._is_right_already([*proved, *([key] if status == "estimated" else [])]):
            status, key = "certified", self._reference.key
        for each in {self._reference.key, key, *record["proofs"]}:
            self._add_test_quality(each)
        # A drop may be proved and the quality asked for not: "proved" is the whole claim.
        proofs = {each: proof | {"proved": each in record["rejected"]} for each, proof in record["proofs"].items()}
        if status == "certified" and key == self._reference.key and not self._wants_quality:
            proofs[key] = _proof_json(SAME_FILE) | {"n": len(self._test), "proved": True}
        if key not in proofs:
            proofs[key] = _proof_json(self._prove(key)) | {"rejected": False, "proved": False}
        return Verdict(
            status=status,
            reference=self._reference,
            chosen=self._trials[key],
            drop=self._drop(key, proofs[key]),
            misses=() if status != "infeasible" else self._misses(key),
            metrics=self._metrics,
            proofs=proofs,
            order=tuple(record["order"]),
            valid_drops=self._drops,
            certified=_certified_of(record) if record["order"] else None,
            ratio=self._ratio(self._reference.key, key),
            notices=self._notices(status, key, record),
            gate=self._gate,
            flips=self._flips(key),
        )

    def _is_right_already(self, good: Sequence[str]) -> bool:
        """Whether the reference meets all limits and is cheaper, beyond doubt, than each candidate good enough.

        It may be so of a model given, and of clusters: the number found right is an answer, not only what others are
        held against, so there it may be the only one that is good enough. It loses nothing against itself. A least
        quality is proved of candidates alone, so with one this never holds.
        """
        goal, own = self.plan.goal, self._reference.key
        is_clustering = self.plan.task.kind == "clustering"
        if (self.plan.given is None or not good) and not is_clustering:
            return False
        if self._wants_quality or self._misses_costs(own):
            return False
        ratio = self._ratio if goal.minimize == "latency" else None
        first, others = self._option(own), [self._option(each) for each in good if each != own]
        return all(each.cost.value > first.cost.value and not is_same_cost(each, first, ratio) for each in others)

    def _flips(self, key: str) -> Plain | None:
        """Which test rows the chosen point decides otherwise than the model given; their outputs are at hand."""
        if self.plan.given is None:
            return None
        reference, own = (self._test_outputs(each) for each in (self._reference.key, key))
        task = self.plan.task
        return flips_of(reference, own, task.test.y, task.output, has_labels=task.kind != "label-free")

    def _ratio(self, first: str, second: str) -> Quantity | None:
        """The paired ratio of p50 of two models in a last round; None where they were not measured together."""
        plain = self.study.get(LAST_COSTS, {"ratios": {}})["ratios"].get(f"{first}/{second}")
        return Quantity.from_json(plain) if plain is not None else None

    def _option(self, key: str) -> Option:
        metrics = self._metrics[key]
        return Option(
            key, metrics[self.plan.goal.cost_metric], metrics["size_bytes"].value, metrics["parameters"].value
        )

    def _valid_error(self, key: str) -> float:
        valid = self.plan.task.valid
        reference, own = (self._outputs.of(self._trials[each], "valid", valid) for each in (self._reference.key, key))
        return drop_error(self.plan.metric, reference, own, valid.y, relative=self._relative, floor=self.floor)

    def _test_drop(self, key: str) -> float:
        values = [self.plan.metric(self._test_outputs(each), self._test.y) for each in (self._reference.key, key)]
        return drop(self.plan.metric, *values, relative=self._relative, floor=self.floor)

    def _has_quality(self, key: str) -> bool:
        if self.plan.goal.min_quality is None:
            return True
        value = self.plan.metric(self._test_outputs(key), self._test.y)
        return loss(self.plan.metric, value) <= loss(self.plan.metric, self.plan.goal.min_quality)

    def _add_test_quality(self, key: str) -> None:
        """NAME_test of every metric; the goal's with its interval."""
        outputs = self._test_outputs(key)
        for name, metric in self.plan.metrics.items():
            figure = (
                quality_interval(metric, outputs, self._test.y, seed=self.plan.seed)
                if name == self.plan.goal_metric or metric.proof == "trinomial"
                else Quantity(metric(outputs, self._test.y), metric.unit, n=len(self._test))
            )
            self._metrics[key][f"{name}_test"] = figure

    def _misses(self, key: str) -> tuple[Miss, ...]:
        name, metric = self.plan.goal_metric, self.plan.metric
        return misses(
            self.plan.goal,
            self._metrics[key],
            drop=max(self._drops[key], self._test_drop(key)),
            quality=self._metrics[key][f"{name}_test"].value,
            higher_is_better=metric.higher_is_better,
        )

    def _drop(self, key: str, proof: Plain) -> Drop:
        goal = self.plan.goal
        return Drop(
            metric=self.plan.goal_metric,
            value=proof["value"],
            high=proof["high"],
            epsilon=goal.max_drop,
            relative=self._relative,
            confidence=goal.confidence,
            method=proof["method"],
            exact=proof["exact"],
            n=proof["n"],
            samples_needed=self._samples_needed(key),
            looks=sum(bool(record["proofs"]) for record in self.study.get(CERTIFICATES, [])),
        )

    def _samples_needed(self, key: str) -> int | None:
        """Rows that would prove an absolute drop of accuracy, from the validation rows; None for other claims."""
        if self.plan.metric.proof != "trinomial" or self._relative:
            return None
        valid = self.plan.task.valid
        outputs = [self._outputs.of(self._trials[each], "valid", valid) for each in (self._reference.key, key)]
        differs, lost = discordance(outputs[0], outputs[1], valid.y)
        return samples_needed(self.plan.goal.max_drop, self.plan.goal.confidence, differs, lost)

    def _notices(self, status: Status, key: str, record: Plain) -> tuple[str, ...]:
        notices = cost_notices(self.plan.goal, status, self._metrics[key], self._metrics[self._reference.key])
        if self.plan.given is not None and status == "certified" and key == self._reference.key:
            notices = (RIGHT_ALREADY.format(cost=self.plan.goal.minimize),)
        blocked = {proof["why"] for proof in record["proofs"].values() if not proof["applicable"]}
        return (*notices, *sorted(blocked))


RIGHT_ALREADY = "the model given is the right size already: no step that keeps it good enough lowers its {cost}"
SAME_FILE = Proof(0.0, 0.0, 0.0, rejected=True, applicable=True, method="the same file", exact=True, n=0, why="")
"""That a file loses nothing against itself needs no test."""
REFERENCE_IS_ENOUGH = "no candidate is good enough; the reference itself meets every limit and is in the bundle"
REFERENCE_IS_CHEAPER = "the reference itself has the lower {cost}; it is in the bundle too"


def cost_notices(goal: Goal, status: Status, chosen: Metrics, reference: Metrics) -> tuple[str, ...]:
    """What the reader should know of the reference's own costs."""
    if misses(goal, reference):
        return ()
    if status == "infeasible":
        return (REFERENCE_IS_ENOUGH,)
    ours, theirs = chosen.get(goal.cost_metric), reference.get(goal.cost_metric)
    is_dearer = ours is not None and theirs is not None and ours.value > theirs.value
    return (REFERENCE_IS_CHEAPER.format(cost=goal.minimize),) if is_dearer else ()


def reference_of(confirmed: Sequence[Trial], plan: Plan) -> Trial:
    """The uncompressed point without options of the best validation quality; of equals the one trained first.

    Raises:
        StudyError: if no such point was confirmed.
    """
    plain = [trial for trial in confirmed if trial.candidate.is_plain]
    if not plain:
        raise StudyError("no uncompressed model could be confirmed; mend what failed and run again.", field="model")
    return min(plain, key=lambda trial: (loss(plan.metric, _figures(trial)[plan.goal_metric].value), trial.number))


def _figures(trial: Trial) -> Metrics:
    return trial.outcome.metrics if isinstance(trial.outcome, Measurement) else {}


def _artifact(trial: Trial) -> str:
    return trial.outcome.artifact if isinstance(trial.outcome, Measurement) else ""


def _ratios(found: LatencyRound) -> Plain:
    """The paired ratios of p50 of every two models of a round, both ways round, by `first/second`."""
    keys = sorted(found.times)
    return {f"{a}/{b}": found.ratio(a, b).quantity.to_json() for a in keys for b in keys if a != b}


def _proof_json(proof: Proof) -> Plain:
    return {name: getattr(proof, name) for name in proof.__dataclass_fields__}


def _costs_json(metrics: Metrics) -> Plain:
    names = [name for name in metrics if name.startswith(("latency_", "throughput_"))]
    return {name: metrics[name].to_json() for name in names}


def _costs(plain: Plain) -> dict[str, Quantity]:
    return {name: Quantity.from_json(quantity) for name, quantity in plain.items()}


def _certified_of(record: Plain) -> Certified:
    """What a stored certificate proved."""
    proofs = {key: Proof(**plain) for key, plain in record["proofs"].items()}
    rejected = tuple(record["rejected"])
    return Certified(
        order=tuple(record["order"]),
        proofs=proofs,
        rejected=rejected,
        stopped_at=next((key for key in proofs if key not in rejected), None),
        quality={key: Proof(**plain) for key, plain in record["qualities"].items()},
    )
