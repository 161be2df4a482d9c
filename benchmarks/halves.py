"""Certify on one half of the test rows, look on the other half: how often was the promise broken?

    python benchmarks/halves.py QUESTION.json … [--halvings 400] [--json FILE]

Each argument is a file that says how a study was asked for: {"out": its folder, "words": the command line}, as
any_data.py and language_model.py leave beside their studies. The study's own order of testing and its own model files
are used. The test rows are halved at random many times. On one half the candidates are tested in order and the
cheapest proved one is chosen, as shipped; on the other half the chosen one's drop is looked at. Two counts:

- `exceeds`: the drop on the second half is larger than epsilon. A candidate whose true drop is near epsilon does so
  often by the chance of the second half alone, so this share is no error rate; it says how the promise feels.
- `refuted`: an exact test on the second half rejects "the drop is at most epsilon" at 5 %. Of a certificate that is
  right this happens in at most 5 % of halvings, of one that is wrong more often: the share is a bound on neither, but
  with all certificates right and every drop well below epsilon it is near 0.

Halvings of one study share their rows and are not independent, so a share over halvings has no interval. One halving
of each data set (the first) is independent of the others': those get an interval by Clopper and Pearson.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import typer
from environment import command_line, write_result
from numpy.typing import NDArray
from scipy import stats

from steelyard import api
from steelyard.cli.main import app
from steelyard.cli.options import request_options
from steelyard.core.quantity import Quantity
from steelyard.core.task import Rows
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.certify import CERTIFICATES
from steelyard.engine.outputs import Outputs
from steelyard.engine.plan import Plan
from steelyard.engine.registries import extended_registry
from steelyard.select.evidence import MEAN_LEAST_N
from steelyard.select.means import agreeing, mean_form
from steelyard.select.order import fixed_sequence
from steelyard.select.proof import prove
from steelyard.select.quality import drop, right
from steelyard.statistics import binomial
from steelyard.statistics.bootstrap import StudentisedMean
from steelyard.store.artifacts import Artifacts
from steelyard.store.study import DB_NAME, STUDY_NAME

LEVEL = 0.05
GAMMA = 1e-5
"""Level of the nuisance's confidence set in `larger_drop_p`; it is added to p, so the test stays exact."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A finished study with a frozen order: its rows, and what each candidate in the order says of them."""

    plan: Plan
    record: dict[str, Any]
    outputs: dict[str, Floats]
    costs: dict[str, float]

    @property
    def rows(self) -> Rows:
        """The test rows."""
        return self.plan.task.test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path, nargs="+")
    parser.add_argument("--halvings", type=int, default=400)
    parser.add_argument("--study-s", type=float, default=120.0, help="seconds a study may take; it is cut off then")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    studies: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    # Where files lie is no part of the command that others can give.
    shown = " ".join(Path(word).name if word.endswith(".json") else word for word in command_line().split())
    for path in asked.questions:
        question = json.loads(path.read_text(encoding="utf-8"))
        name = f"{path.parent.name} {path.name.split('.')[0]}"
        found = opened(question["words"], Path(question["out"]))
        if isinstance(found, str):
            left_out[name] = found
            continue
        studies[name] = {"data": path.parent.name, **halved(found, asked.halvings, asked.study_s)}
        write_result(asked.json, shown, {"summary": summary(studies), "studies": studies, "left_out": left_out})


def opened(words: list[str], out: Path) -> Case | str:
    """The study, or why it says nothing here."""
    trials, facts = stored(out)
    records = [record for record in facts.get(CERTIFICATES, []) if record["order"]]
    if not records:
        return "no candidate was tested: none met the limits, or none passed the gate"
    plan = plan_of(words)
    record = records[-1]
    runtime = extended_registry(plan.registry, plan.plugins).get("runtime", plan.space.runtime)
    outputs = Outputs(Artifacts(out / "artifacts"), runtime, plan.threads)
    keys = (record["reference"], *record["order"])
    told = {key: outputs.of(trials[key], "test", plan.task.test) for key in keys}
    return Case(plan, record, told, {key: cost_of(trials[key], record, plan) for key in record["order"]})


def stored(out: Path) -> tuple[dict[str, Trial], dict[str, Any]]:
    """Confirmed trials by key and facts of a study, read without its lock."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    raw = optuna.load_study(storage=f"sqlite:///{out / DB_NAME}", study_name=STUDY_NAME)
    trials = [Trial.from_json(each.user_attrs["trial"]) for each in raw.get_trials() if "trial" in each.user_attrs]
    return {each.key: each for each in trials if isinstance(each.outcome, Measurement)}, raw.user_attrs


def plan_of(words: list[str]) -> Plan:
    """The plan that a command line asks for; nothing is written."""
    command = typer.main.get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    given = command.make_context(words[0], list(words[1:])).params
    given = {name: value for name, value in given.items() if value is not None and name not in ("json", "dry_run")}
    if isinstance(given.get("steps"), str):
        given["steps"] = tuple(given["steps"].split(","))
    given["plugin"] = tuple(given.get("plugin") or ())
    first = given.pop("model" if words[0] == "compress" else "task")
    return (api.resolve_compress if words[0] == "compress" else api.resolve)(first, **request_options(given))


def cost_of(trial: Trial, record: dict[str, Any], plan: Plan) -> float:
    """The minimised cost as the study knows it best: from the last round, else from the trial."""
    name = plan.goal.cost_metric
    again = record["costs"].get(trial.key, {}).get(name)
    return Quantity.from_json(again).value if again else trial.outcome.metrics[name].value  # type: ignore[union-attr]


def halved(case: Case, halvings: int, limit_s: float) -> dict[str, Any]:
    """Counts over halvings: certified on the one half, and of these broken on the other."""
    units = case.rows.groups if case.rows.groups is not None else np.arange(len(case.rows))
    names = np.unique(units)
    began, verdicts = time.perf_counter(), []
    for seed in range(halvings):
        chosen = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        first = np.isin(units, chosen)
        verdicts.append(verdict(case, np.flatnonzero(first), np.flatnonzero(~first)))
        if time.perf_counter() - began > limit_s:
            break
    told = [each for each in verdicts if each is not None]
    goal = case.plan.goal
    return {
        "metric": case.plan.goal_metric,
        "epsilon": goal.max_drop,
        "confidence": goal.confidence,
        "test_rows": len(case.rows),
        "candidates": len(case.record["order"]),
        "halvings": len(verdicts),
        "certified": len(told),
        "exceeds": sum(each["exceeds"] for each in told),
        "refuted": sum(each["refuted"] for each in told),
        "largest_drop": max((each["drop"] for each in told), default=None),
        "first": verdicts[0],
    }


def verdict(case: Case, one: NDArray[np.int64], other: NDArray[np.int64]) -> dict[str, Any] | None:
    """Certify on one half; None where nothing is proved. Else what the other half says of the choice."""
    plan, record = case.plan, case.record
    reference, y, groups = case.outputs[record["reference"]], case.rows.y, case.rows.groups
    how: dict[str, Any] = {"epsilon": record["epsilon"], "relative": record["relative"], "seed": plan.seed}
    certified = fixed_sequence(
        record["order"],
        lambda key: prove(
            plan.metric,
            reference[one],
            case.outputs[key][one],
            y[one],
            confidence=record["confidence"],
            groups=None if groups is None else groups[one],
            **how,
        ),
    )
    if not certified.rejected:
        return None
    key = min(certified.rejected, key=case.costs.__getitem__)
    outputs = reference[other], case.outputs[key][other]
    values = [plan.metric(each, y[other]) for each in outputs]
    seen = drop(plan.metric, *values, relative=record["relative"], floor=0.0)
    exceeds = seen > record["epsilon"]
    # A drop that does not exceed epsilon is no evidence that the true one does.
    p = larger_p(case, key, other) if exceeds else 1.0
    return {"chosen": key, "drop": seen, "exceeds": bool(exceeds), "refuted": bool(p <= LEVEL), "p": p}


def larger_p(case: Case, key: str, rows: NDArray[np.int64]) -> float:
    """The p-value of "the drop is at most epsilon" on some rows: small where it is proved larger."""
    plan, epsilon, relative = case.plan, case.record["epsilon"], case.record["relative"]
    reference, own, y = case.outputs[case.record["reference"]][rows], case.outputs[key][rows], case.rows.y[rows]
    groups = None if case.rows.groups is None else case.rows.groups[rows]
    if groups is None and plan.metric.proof == "disagreement":
        differ = int((~agreeing(reference, own)).sum())
        return binomial.p_at_least(differ, len(rows), epsilon)
    if groups is None and plan.metric.proof == "trinomial" and not relative:
        hits = right(reference, y), right(own, y)
        return larger_drop_p(int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum()), len(rows), epsilon)
    form = mean_form(plan.metric, reference, own, y, relative=relative, floor=0.0)
    if form is None or len(form.summed(groups).columns) < MEAN_LEAST_N:
        return 1.0
    form = form.summed(groups)
    scale = np.maximum(np.abs(form.columns).max(axis=0), np.finfo(float).tiny)
    weights = form.weights(epsilon) * scale
    test = StudentisedMean(form.columns / scale, np.random.default_rng(plan.seed))
    return test.p_value(-weights / np.abs(weights).max())


def larger_drop_p(b: int, c: int, n: int, epsilon: float) -> float:
    """The exact p-value of "accuracy drops by at most epsilon": small where the drop is proved larger.

    Outcomes are ordered by b − c, their probability is largest on the edge p10 = p01 + epsilon, and the nuisance p01
    is searched in its Clopper-Pearson set of level 1 − GAMMA, which is added.

    Args:
        b: rows that only the reference gets right.
        c: rows that only the candidate gets right.
        n: rows.
        epsilon: the drop permitted.

    References:
        Berger, Boos, Journal of the American Statistical Association, 1994.
    """
    low, high = (min(limit, (1 - epsilon) / 2) for limit in binomial.two_sided(c, n, 1 - GAMMA))
    q = np.linspace(np.sqrt(low), np.sqrt(high), 65)[:, None] ** 2
    gained = np.arange(n + 1)[None, :]
    mass = stats.binom.pmf(gained, n, q)
    # B given C = c' is binomial over the other rows; "at least" is the survival function one below.
    tail = stats.binom.sf(b - c + gained - 1, n - gained, np.minimum((q + epsilon) / (1 - q), 1.0))
    return float(min(1.0, (mass * tail).sum(axis=1).max() + GAMMA))


def summary(studies: dict[str, Any]) -> dict[str, Any]:
    """Over all studies: means of shares, and counts over one halving of each data set with intervals."""
    shares = {
        what: float(np.mean([each[what] / each["certified"] for each in studies.values() if each["certified"]] or [0]))
        for what in ("exceeds", "refuted")
    }
    first: dict[str, Any] = {}
    for each in studies.values():
        # One study a data set: those of one data set share their rows.
        if each["first"] is not None:
            first.setdefault(each["data"], each["first"])
    n = len(first)
    counts = {what: sum(bool(each[what]) for each in first.values()) for what in ("exceeds", "refuted")}
    return {
        "studies": len(studies),
        "halvings": sum(each["halvings"] for each in studies.values()),
        "certified_halvings": sum(each["certified"] for each in studies.values()),
        "mean_share_of_halvings": shares,
        "independent": {
            "data_sets": n,
            **{
                what: {"count": count, **dict(zip(("low", "high"), binomial.two_sided(count, n), strict=True))}
                for what, count in counts.items()
                if n
            },
        },
    }


if __name__ == "__main__":
    main()
