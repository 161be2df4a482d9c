"""A model that was there already: what the gate drops is not chosen, and where nothing is cheaper it stays as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.core.candidate import Candidate, FamilySpace, Scale, Space, StepSetting
from steelyard.core.goal import Budget, Goal
from steelyard.core.port import Port
from steelyard.core.quantity import Quantity
from steelyard.core.task import ClassOutput, Rows, TensorInput, structured
from steelyard.core.trial import Measurement, Trial
from steelyard.engine.certify import Certifier, Verdict
from steelyard.engine.given import GivenModel
from steelyard.engine.plan import Plan
from steelyard.measure.latency import LatencyRound
from steelyard.strategies.shrink import SHRINK
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.metrics import METRICS

PORT = Port("row", "float32", ("n", 1))
QUANTIZE, PRUNE = StepSetting("quantize"), StepSetting("prune", (("keep", 0.5),))
N = 600


def rows(split: int) -> Rows:
    """Rows that hold their own index; every class is as common as the other."""
    index = np.arange(split * N, (split + 1) * N)
    return Rows(structured({"row": index[:, None].astype(np.float32)}), index % 2)


@dataclass
class Memory:
    """The facts of a study, and the names of its files."""

    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def artifacts(self) -> "Memory":
        return self

    def get(self, name: str, default: Any = None) -> Any:
        return self.facts.get(name, default)

    def put(self, name: str, value: Any) -> None:
        self.facts[name] = value

    def path(self, digest: str, suffix: str) -> Path:
        return Path(digest + suffix)


@dataclass
class Bench:
    """A measuring lane and its runtime: a file's name says how many of its decisions are wrong, of each hundred."""

    trials: Mapping[str, Trial]
    suffix: str = ".onnx"

    @property
    def runtime(self) -> "Bench":
        return self

    def load(self, path: Path, **_: Any) -> Any:
        wrong = int(path.stem)

        @dataclass
        class Session:
            def run(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
                index = feed["row"][:, 0].astype(int)
                decided = np.where(index % 100 < wrong, 1 - index % 2, index % 2)
                return np.eye(2, dtype=np.float32)[decided]

        return Session()

    def subject(self, candidate: Candidate, path: Path) -> str:
        del path
        return candidate.key

    def latency(self, subjects: Sequence[str]) -> LatencyRound:
        costs = {key: self.trials[key].outcome.metrics for key in subjects}  # type: ignore[union-attr]
        return LatencyRound({key: {"latency_p50_s": each["latency_p50_s"]} for key, each in costs.items()}, {}, {}, {})


def trial(*steps: StepSetting, latency: float, size: float, wrong: int = 0) -> Trial:
    metrics = {
        "accuracy": Quantity(1 - wrong / 100, "1", n=N),
        "latency_p50_s": Quantity(latency, "s", latency * 0.99, latency * 1.01),
        "size_bytes": Quantity.exact(size, "B"),
        "peak_memory_bytes": Quantity(1e6, "B"),
        "parameters": Quantity.exact(size / 4),
    }
    return Trial(0, Candidate("net", Scale(), steps), Measurement(metrics, str(wrong)))


def certified(*trials: Trial, **goal: Any) -> Verdict:
    """The verdict on trials of a model that was there already."""
    train, valid, test = (rows(number) for number in range(3))
    task = PreparedTask(
        name="classification",
        kind="classification",
        input=TensorInput((PORT,)),
        output=ClassOutput(("even", "odd")),
        train=train,
        valid=valid,
        test=test,
        split_how="as given",
        data_hash="0",
        facts=(),
        metric="accuracy",
        defaults={},
    )
    plan = Plan(
        task=task,
        space=Space((FamilySpace("net"),), ((), (QUANTIZE,), (PRUNE,))),
        goal=Goal(**{"max_drop": 0.05, **goal}),
        budget=Budget(),
        strategy=SHRINK,
        recipe={},
        metrics={"accuracy": METRICS["accuracy"]},
        metric_addresses=("accuracy",),
        monitor="accuracy",
        goal_metric="accuracy",
        out=Path("out"),
        given=GivenModel("net", "net.onnx", None, None, (PORT,)),
    )
    bench = Bench({each.key: each for each in trials})
    certifier = Certifier(plan, Memory(), bench, 0.0)  # type: ignore[arg-type]
    return certifier.certify(trials)


GIVEN = trial(latency=1e-3, size=1e5)


def test_the_cheapest_proved_is_chosen_and_its_flips_are_counted() -> None:
    found = certified(GIVEN, trial(PRUNE, latency=5e-4, size=5e4, wrong=1))
    assert (found.status, found.chosen.candidate.steps) == ("certified", (PRUNE,))
    assert [passage.passed for passage in found.gate] == [True]
    assert found.flips is not None
    assert (found.flips["changed"], found.flips["harmed"], found.flips["helped"]) == (6, 6, 0)
    assert found.flips["rows"] == [0, 100, 200, 300, 400, 500]
    assert found.flips["by_class"] == [{"from": "even", "to": "odd", "n": 6, "helped": 0, "harmed": 6}]


def test_what_the_gate_drops_is_no_candidate() -> None:
    found = certified(GIVEN, trial(QUANTIZE, latency=1e-3, size=1e5))
    assert [passage.passed for passage in found.gate] == [False]
    assert found.chosen is GIVEN
    assert found.status == "certified"
    assert (found.drop.value, found.drop.high, found.drop.n) == (0.0, 0.0, N)
    assert found.notices == (
        "the model given is the right size already: no step that keeps it good enough lowers its latency",
    )


def test_where_all_that_is_proved_is_dearer_the_model_given_is_chosen() -> None:
    slower = trial(QUANTIZE, latency=2e-3, size=2e4)
    found = certified(GIVEN, slower)
    assert found.gate[0].passed
    assert (found.status, found.chosen, found.order) == ("certified", GIVEN, (slower.key,))
    assert found.proofs[GIVEN.key]["proved"]
    assert certified(GIVEN, slower, minimize="size").chosen is slower


def test_a_tie_with_the_model_given_goes_to_what_is_smaller() -> None:
    alike = trial(QUANTIZE, latency=1.005e-3, size=2e4)
    assert certified(GIVEN, alike).chosen is alike


def test_limits_that_the_model_given_misses_rule_it_out() -> None:
    slower = trial(QUANTIZE, latency=2e-3, size=2e4)
    found = certified(GIVEN, slower, max_size_bytes=5e4)
    assert (found.status, found.chosen) == ("certified", slower)


@pytest.mark.parametrize("wrong", [20, 50])
def test_what_is_not_good_enough_is_not_excused_by_its_cost(wrong: int) -> None:
    found = certified(GIVEN, trial(PRUNE, latency=1e-4, size=1e4, wrong=wrong))
    assert found.status == "infeasible"
    assert found.drop.value == wrong / 100
