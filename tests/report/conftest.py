"""Realistic outcomes for the tests of the report: families, int8 variants, failures, gaps and hostile names."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.core.candidate import Candidate, Scale, StepSetting
from steelyard.core.environment import Environment
from steelyard.core.goal import Goal
from steelyard.core.outcome import Drop, FailedTrial, Miss, Outcome, Passage, Point
from steelyard.core.quantity import Quantity
from steelyard.core.task import Fact
from steelyard.engine.explaining import explanation

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"' | `rm` [a](b) \x1b[31m\u202e{{7*7}}"
INT8 = (StepSetting("quantize"),)

ENVIRONMENT = Environment(
    processor="Example CPU @ 2.60 GHz",
    cores=2,
    memory_bytes=8_000_000_000,
    system="Linux 6.1",
    python="3.11.9",
    versions={"onnxruntime": "1.27.0", "torch": "2.13.0", "numpy": "2.4.1"},
    flags=("avx2", "avx512_vnni"),
)


def curve(epochs: int, ceiling: float, gap: float) -> Mapping[str, list[float]]:
    """A training curve that converges to `ceiling`."""
    steps = range(1, epochs + 1)
    return {
        "epoch": list(steps),
        "train_loss": [1.9 * math.exp(-step / 6) + 0.02 for step in steps],
        "valid_loss": [1.9 * math.exp(-step / 6) + 0.05 + gap * step / epochs for step in steps],
        "valid_quality": [ceiling * (1 - 0.8 * math.exp(-step / 4)) for step in steps],
    }


def point(
    family: str, settings: Mapping[str, int], quality: float, parameters: int, *, is_int8: bool = False, rows: int = 180
) -> Point:
    """A point whose costs follow from its parameters."""
    spread = 1.96 * math.sqrt(quality * (1 - quality) / rows)
    latency = 4e-6 + parameters * (1.1e-9 if is_int8 else 2.4e-9)
    size = parameters * (1 if is_int8 else 4) + 1900
    metrics = {
        "accuracy": Quantity(quality, "1", quality - spread, min(quality + spread, 1.0), rows),
        "accuracy_train": Quantity(min(quality + 0.015, 1.0), "1", None, None, 898),
        "latency_p50_s": Quantity(latency, "s", latency * 0.97, latency * 1.04, 4000),
        "latency_p95_s": Quantity(latency * 1.3, "s", latency * 1.25, latency * 1.42, 4000),
        "size_bytes": Quantity.exact(size, "B"),
        "peak_memory_bytes": Quantity(2_400_000 + size * 3, "B", 2_300_000 + size * 3, 2_500_000 + size * 3, 8),
        "parameters": Quantity.exact(parameters),
        "macs": Quantity.exact(parameters * 9),
        "train_s": Quantity(0.8 + parameters / 40_000, "s"),
    }
    return Point(
        candidate=Candidate(family, Scale.of(**settings), INT8 if is_int8 else ()),
        artifact=f"variants/{family}/model.onnx",
        metrics=metrics,
        reason="dominated: another point is at least as good, smaller and faster.",
        scores={"knee": 0.1 + quality / 3, "weighted": 0.5 - quality / 4, "E": (0.8 + latency) / parameters},
        notes={"curve": curve(24, quality, 0.02), "diagnosis": "under-fits" if quality < 0.9 else "fits"},
    )


def points() -> tuple[Point, ...]:
    """Two families, uncompressed and int8, and the baseline."""
    found = []
    for width in (4, 8, 16, 32, 64):
        for depth in (1, 2):
            quality = 0.985 - 0.5 / width - 0.02 / depth
            parameters = 1200 * width * depth
            settings = {"width": width, "depth": depth, "kernel": 3}
            found.append(point("cnn", settings, quality, parameters))
            found.append(point("cnn", settings, quality - 0.004, parameters, is_int8=True))
    for width in (10, 50, 100):
        found.append(point("mlp", {"width": width, "depth": 1}, 0.925 - 0.4 / width, 75 * width + 10))
    baseline = replace(
        point("baseline", {}, 0.104, 1),
        metrics={"accuracy": Quantity(0.104, "1", 0.06, 0.16, 180), "size_bytes": Quantity.exact(210, "B")},
        scores={},
        notes={},
        reason="the baseline: below the permitted drop.",
    )
    return (baseline, *found)


def with_test(point_: Point, quality: float, reason: str) -> Point:
    """The point with its test quality and its reason."""
    spread = 1.96 * math.sqrt(quality * (1 - quality) / 719)
    test = Quantity(quality, "1", quality - spread, min(quality + spread, 1.0), 719)
    return replace(point_, metrics={**point_.metrics, "accuracy_test": test}, reason=reason)


def build_certified(*, hostile: bool = False) -> Outcome:
    """A certified outcome on the digits."""
    every = list(points())
    by_name = {str(each.candidate): each for each in every}
    reference = with_test(by_name["cnn (depth 2, kernel 3, width 64)"], 0.9736, "the reference: the best uncompressed.")
    chosen = with_test(by_name["cnn (depth 2, kernel 3, width 16), quantize"], 0.9708, "chosen: the cheapest proved.")
    every = [{reference.key: reference, chosen.key: chosen}.get(each.key, each) for each in every]
    front = tuple(each for each in every if each.steps or each.family in ("baseline", "mlp"))
    text = HOSTILE if hostile else "ten classes, the rarest 174 of 1,797 rows"
    return Outcome(
        study="digits-cnn",
        task=HOSTILE if hostile else "digits",
        status="certified",
        goal=Goal(max_drop=0.02, metric="accuracy", relative=False),
        chosen=chosen,
        reference=reference,
        front=front,
        points=tuple(every),
        misses=(),
        drop=Drop(
            "accuracy", 0.0028, 0.0143, 0.02, False, 0.95, "paired trinomial, exact unconditional", True, 719, 402, 1
        ),
        counts={"explored": 26, "trained": 14, "measured": 24, "failed": 2},
        failures=(
            FailedTrial(
                "0f3c9a1b2c3d", "train", HOSTILE if hostile else "loss is not finite after 3 steps", "cnn (Größe 9)"
            ),
            FailedTrial("1a2b3c4d5e6f", "parity", "outputs differ by 0.3 from eager", "mlp (depth 4, width 100)"),
        ),
        splits={"train": 898, "valid": 180, "test": 719, "how": "stratified 50/10/40, seed 0"},
        spent={"train_s": 38.2, "export_s": 6.9, "measure_s": 21.4, "certify_s": 8.8, "other_s": 3.1, "wall_s": 59.4},
        wall_s=59.4,
        bundle=Path("/data/steelyard-out/digits cnn"),
        environment=ENVIRONMENT,
        facts=(
            Fact("kind", "image-classification", "images of 8 × 8 pixels, one channel"),
            Fact("classes", 10, text),
            Fact("rows", 1797, "1,797 rows"),
        ),
        notices=("With 719 test rows no drop below 0.0042 can be proved at 95 % confidence.",),
    )


def build_infeasible() -> Outcome:
    """An outcome that misses its limits and has almost no figures."""
    bare = Point(Candidate("mlp", Scale.of(width=10)), "", {"accuracy": Quantity(0.91)}, "the nearest")
    whole = build_certified()
    return replace(
        whole,
        status="infeasible",
        chosen=bare,
        reference=bare,
        front=(bare,),
        points=(bare,),
        misses=(Miss("max_size", 1000.0, 35_900.0, "B"), Miss("max_latency", 1e-6, None, "s")),
        drop=Drop("accuracy", None, None, 0.02, False, 0.95, "trinomial", True, 719, None, 2),
        failures=(),
        spent={},
        facts=(),
        notices=(),
    )


def build_estimated() -> Outcome:
    """An outcome without a proof, several certificates behind it."""
    whole = build_certified()
    return replace(whole, status="estimated", drop=replace(whole.drop, high=0.024, samples_needed=1359, looks=3))


def build_many(count: int) -> Outcome:
    """An outcome of `count` measured points."""
    whole = build_certified()
    more = tuple(
        point("cnn", {"width": 4 + number, "depth": number % 3}, 0.9 + 0.08 * (number % 97) / 97, 500 + 311 * number)
        for number in range(count - len(whole.points))
    )
    return replace(whole, points=(*whole.points, *more), front=(*whole.front, *more[:20]))


@pytest.fixture
def certified() -> Outcome:
    return build_certified()


@pytest.fixture
def hostile() -> Outcome:
    return build_certified(hostile=True)


@pytest.fixture
def estimated() -> Outcome:
    return build_estimated()


@pytest.fixture
def infeasible() -> Outcome:
    return build_infeasible()


@pytest.fixture
def five_hundred() -> Outcome:
    return build_many(500)


WORTHLESS = "distill made it neither smaller nor faster than net"
PRUNE, DISTILL = StepSetting("prune", (("keep", 0.6),)), StepSetting("distill")
QUANTIZE = StepSetting("quantize", (("mode", "dynamic"),))


def step_point(*steps: StepSetting, quality: float, latency: float, size: float, reason: str) -> Point:
    """A point of a model that was there already, after some steps."""
    metrics = {
        "accuracy": Quantity(quality, "1", quality - 0.01, min(quality + 0.01, 1.0), 300),
        "latency_p50_s": Quantity(latency, "s", latency * 0.99, latency * 1.01, 4000),
        "size_bytes": Quantity.exact(size, "B"),
        "peak_memory_bytes": Quantity(size * 9, "B", size * 8.9, size * 9.1, 8),
        "parameters": Quantity.exact(size / 4),
        "train_s": Quantity.exact(4.2 * len(steps), "s"),
    }
    reports = [
        {"name": "prune", "groups": {"conv1": [32, 20], "conv2": [64, 40]}},
        {"name": "quantize", "layers": [{"name": "conv2", "error": 0.012}, {"name": "fc", "error": 0.2}]},
    ]
    notes = {"steps": [each for each in reports if any(each["name"] == step.name for step in steps)]}
    return Point(Candidate("net", Scale(), steps), "", metrics, reason, notes=notes)


def build_compressed(*, keeps_given: bool = False) -> Outcome:
    """What `compress` answers: pruned twice and quantized, or nothing at all where steps were not worth it."""
    given = with_test(step_point(quality=0.98, latency=1.2e-4, size=1.2e5, reason=""), 0.979, "the reference.")
    once = step_point(PRUNE, DISTILL, quality=0.983, latency=8e-5, size=8e4, reason="proved too.")
    twice = step_point(*(PRUNE, DISTILL) * 2, quality=0.976, latency=5.2e-5, size=5e4, reason="proved too.")
    last = step_point(*(PRUNE, DISTILL) * 2, QUANTIZE, quality=0.974, latency=5.6e-5, size=1.6e4, reason="chosen.")
    alone = step_point(DISTILL, quality=0.985, latency=1.2e-4, size=1.2e5, reason="dropped by the gate.")
    chosen = given if keeps_given else with_test(last, 0.971, "chosen: the cheapest proved.")
    points = (given, once, twice, chosen if not keeps_given else last, alone)
    passages = (
        Passage(twice.key, (PRUNE, DISTILL), once.key, True, 1.6, Quantity(1.54, "1", 1.5, 1.6), "it got faster"),
        Passage(
            alone.key, (DISTILL,), given.key, False, 1.0, None, "distill made it neither smaller nor faster than net"
        ),
    )
    flips = {
        "n": 797,
        "changed": 12,
        "helped": 3,
        "harmed": 8,
        "by_class": [
            {"from": "3", "to": "8", "n": 9, "helped": 2, "harmed": 7},
            {"from": HOSTILE, "to": "1", "n": 3, "helped": 1, "harmed": 1},
        ],
        "rows": [4, 17, 90],
    }
    found = explanation(points, chosen, metric="accuracy", flips=flips)
    whole = build_certified()
    return replace(
        whole,
        task="classification",
        chosen=chosen,
        reference=given,
        front=points[:4],
        points=points,
        gate=passages,
        explanation=found,
        failures=(),
    )


@pytest.fixture
def compressed() -> Outcome:
    """What `compress` answers."""
    return build_compressed()


@pytest.fixture
def kept_as_given() -> Outcome:
    """What `compress` answers where no step was worth it."""
    return build_compressed(keeps_given=True)
