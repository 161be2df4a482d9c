"""Transfer against training from scratch on small samples, and what changing the rows is worth there.

    python benchmarks/transfer.py [--seeds 6] [--json benchmarks/results/transfer.json]

A network learns five classes of CIFAR-10 (aeroplane to deer). Another task is the other five (dog to truck), of which
it never saw one: a few rows drawn with each seed, of which `find` makes its splits (60 % learn, 15 % end the learning).
Every scale is then made by the workshop of `find`: from scratch; from the weights of the largest network trained alone;
from weights that all scales shared when they were trained (all of it learning, or the head alone); and from scratch
with changed rows. It is judged on rows that no one learned from: those of the five classes in the test split of the
data. Differences are paired by seed, which draws the rows and the start; intervals are Student's over seeds. They are
about these pretrained networks.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import command_line, write_result

from steelyard.builtin import registry
from steelyard.core.candidate import Candidate, FamilySpace, Knob
from steelyard.core.explored import Explored
from steelyard.core.task import Rows
from steelyard.engine.clock import Clock
from steelyard.engine.elastic import SharedWeights
from steelyard.engine.evaluating import outputs_of
from steelyard.engine.making import Workshop
from steelyard.engine.messages import WEIGHTS, Assignment, Exploration
from steelyard.engine.plan import Start
from steelyard.engine.pretrained import Builder, Pretrained, starts_of
from steelyard.runtimes.onnxruntime.run import RUNTIME
from steelyard.statistics.spread import spread
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.metrics import METRICS
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.training.modules import use_one_thread
from steelyard.training.recipe import Recipe

LIMIT_S = 600.0
CLASSES = 5
"""Classes that are learned first; the others are another task."""
WAYS: Mapping[str, tuple[str, dict[str, str]]] = {
    "scratch": ("", {}),
    "alone, tune all": ("alone", {"tune": "all"}),
    "shared, tune all": ("shared", {"tune": "all"}),
    "shared, tune head": ("shared", {"tune": "head"}),
    "scratch, shift and flip": ("", {"augment": "shift,flip"}),
}
"""How a model is made: the weights it starts from, and fields of its recipe."""


@dataclass(frozen=True)
class Case:
    """A pair of tasks: what is learned first, what of few rows, and what that is judged on."""

    family: str
    space: FamilySpace
    first: Callable[[], PreparedTask]
    second: Callable[[int], tuple[PreparedTask, Rows]]


def workshop(builder: Builder, fits: Path, recipe: Mapping[str, Any], starts: Sequence[Start] = ()) -> Workshop:
    """The workshop of `find` for one way of training."""
    how = Recipe.from_json(recipe)
    by_family = {each.family: each for each in starts}
    return Workshop(
        task=builder.task,
        registry=registry,
        families=builder.families,
        recipe=how,
        metrics={"accuracy": METRICS["accuracy"]},
        monitor="accuracy",
        goal_metric="accuracy",
        seed=builder.seed,
        fits=fits,
        pretrained=Pretrained(builder, by_family, how.tune) if "tune" in recipe else None,
    )


def pretrained(case: Case, builder: Builder, epochs: int, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """The largest scale trained alone, and the weights that all scales share; how well the largest does by each."""
    recipe = Recipe(epochs=epochs)
    alone = workshop(builder, folder / "alone", {"epochs": epochs}).make(
        Assignment(Candidate(case.family, case.space.largest), LIMIT_S), lambda _: None
    )
    metric = METRICS["accuracy"]
    sharing = SharedWeights(builder.task, builder.families, recipe, metric, metric, 0, folder / "shared", registry)
    asked = Exploration(case.space, "onnxruntime", LIMIT_S, LIMIT_S, case.space.size, forced=True)
    shared = sharing.explore(asked, Clock(lambda _: None))
    qualities = [Explored.from_json(each) for each in shared.notes["explored"]]
    largest = next(each.quality for each in qualities if each.candidate.scale == case.space.largest)
    files = {"alone": Path(alone.path).with_name(WEIGHTS), "shared": Path(shared.path)}
    return files, {"alone": alone.metrics["accuracy"]["value"], "shared": largest}


def compared(case: Case, epochs: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Accuracies by scale, way and seed, and the paired differences from scratch."""
    families = {case.family: registry.get("family", case.family)}
    files, firsts = pretrained(case, Builder(families, case.first(), 0), epochs, folder)
    found: dict[str, dict[str, list[float]]] = {str(scale): {way: [] for way in WAYS} for scale in case.space.scales()}
    for seed in range(seeds):
        task, judged = case.second(seed)
        builder = Builder(families, task, seed)
        starts = {name: starts_of(path, [case.space], builder) for name, path in files.items()}
        for at, (way, (source, recipe)) in enumerate(WAYS.items()):
            shop = workshop(builder, folder / f"{seed}-{at}", recipe, starts.get(source, ()))
            for scale in case.space.scales():
                path = shop.make(Assignment(Candidate(case.family, scale), LIMIT_S), lambda _: None).path
                outputs = outputs_of(RUNTIME.load(Path(path)).run, judged)
                found[str(scale)][way].append(float(METRICS["accuracy"](outputs, judged.y)))
                print(seed, way, scale, found[str(scale)][way][-1], flush=True)
    return {
        "first_accuracy": firsts,
        "rows": {name: len(getattr(task, name)) for name in ("train", "valid")},
        "judged": len(judged),
        "taken_over": starts["shared"][0].share,
        "accuracy": found,
        "gain": {scale: _gains(by_way) for scale, by_way in found.items()},
    }


def _gains(by_way: Mapping[str, list[float]]) -> dict[str, Any]:
    """The mean gain of each way over training from scratch, with its 95 % interval."""
    gains = {}
    for way in by_way:
        if way != "scratch":
            one = spread([a - b for a, b in zip(by_way[way], by_way["scratch"], strict=True)])
            gains[way] = {"value": one.mean, "low": one.mean_low, "high": one.mean_high, "n": one.n}
    return gains


def pictures(data: Path, rows: int) -> Case:
    """Classes 0 to 4 of ten, then 5 to 9."""
    whole = from_data(data, "image-classification")
    x, y = (np.concatenate([getattr(each, name) for each in (whole.train, whole.valid)]) for name in "xy")

    def first() -> PreparedTask:
        low = y < CLASSES
        return from_arrays(x[low], y[low], "image-classification", seed=0)

    def second(seed: int) -> tuple[PreparedTask, Rows]:
        some = np.random.default_rng(seed).choice(np.flatnonzero(y >= CLASSES), rows, replace=False)
        high = whole.test.y >= CLASSES
        judged = Rows(whole.test.x[high], whole.test.y[high] - CLASSES)
        return from_arrays(x[some], y[some], "image-classification", seed=seed), judged

    knobs = (Knob("depth", (3,)), Knob("width", (8, 16)), Knob("kernel", (3,)), Knob("resolution", (32,)))
    return Case("cnn", FamilySpace("cnn", knobs), first, second)


def main() -> None:
    """Compare, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    use_one_thread()
    with tempfile.TemporaryDirectory() as folder:
        case = pictures(asked.shared / "cifar10_12k.zip", asked.rows)
        figures = {"cifar10": compared(case, asked.epochs, asked.seeds, Path(folder))}
    write_result(asked.json, command_line(), figures)


if __name__ == "__main__":
    main()
