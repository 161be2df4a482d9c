"""Pack a bundle: the chosen model, the rest of the front, the evidence, the card and the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from steelyard.core.errors import BundleError, UnknownNameError
from steelyard.core.outcome import Miss, Outcome, Point, Status
from steelyard.core.protocols import Task
from steelyard.core.task import input_to_json, output_to_json
from steelyard.core.version import __version__
from steelyard.core.wire import Plain, write_text
from steelyard.store.artifacts import copy_file
from steelyard.store.bundle import check_empty, clear, read_manifest, verified_file, verify, write_manifest

MODEL = "model"
"""The name of every packed model file, before the suffix of its runtime."""
ABOUT = ("task", "kind", "input", "output", "inputs", "outputs", "labels", "own")
"""Fields of the manifest that say what the model is for, whichever point is packed."""
Render = Callable[[Outcome], Mapping[str, str]]
"""Makes the texts that a bundle carries, by file name: the card and the report."""


def located(outcome: Outcome, suffix: str) -> Outcome:
    """The outcome with the path of each packed artifact: the chosen one on top, the front and the reference below.

    Args:
        outcome: the answer.
        suffix: of the runtime's model files.
    """
    kept = {point.key for point in (*outcome.front, outcome.reference)}

    def place(point: Point) -> Point:
        if point.key == outcome.chosen.key:
            return replace(point, artifact=f"{MODEL}{suffix}")
        return replace(point, artifact=f"variants/{point.key}/{MODEL}{suffix}" if point.key in kept else "")

    return replace(
        outcome,
        chosen=place(outcome.chosen),
        reference=place(outcome.reference),
        front=tuple(place(point) for point in outcome.front),
        points=tuple(place(point) for point in outcome.points),
    )


def pack(
    outcome: Outcome,
    about: Mapping[str, Plain],
    sources: Mapping[str, Sequence[Path]],
    render: Render,
) -> None:
    """Write the bundle into `outcome.bundle`; the manifest last.

    Args:
        outcome: with the artifacts' paths, from `located`.
        about: what a bundle must know of its task and its makers: `task_manifest` and what of the user's own code
            it needs.
        sources: the files of each packed point's model by key, its companions behind it.
        render: makes the card and the report.
    """
    directory = outcome.bundle
    # Drawing takes seconds: an earlier bundle stays whole until everything new is at hand.
    texts = render(outcome)
    directory.mkdir(parents=True, exist_ok=True)
    clear(directory)
    files = []
    for point in {point.artifact: point for point in outcome.points if point.artifact}.values():
        for source in sources[point.key]:
            name = str(Path(point.artifact).with_suffix(source.suffix))
            copy_file(source, directory / name)
            files.append(name)
    for name, text in texts.items():
        write_text(directory / name, text)
        files.append(name)
    manifest = {
        **about,
        "model": outcome.chosen.artifact,
        "runtime": outcome.chosen.candidate.runtime,
        "point": outcome.chosen.key,
        "metrics": outcome.chosen.to_json()["metrics"],
        "versions": {"steelyard": __version__, **outcome.environment.versions},
        "evidence": outcome.to_json(),
    }
    write_manifest(directory, manifest, tuple(files))


def repack(source: Path, key: str, target: Path, render: Render) -> Outcome:
    """Pack another point of a bundle's front into a directory of its own.

    Args:
        source: the bundle.
        key: of the point, or the first characters of it.
        target: a new or empty directory.
        render: makes the card and the report.

    Raises:
        BundleError: if the source is no bundle or was changed.
        UnknownNameError: if it holds no such point.
        StudyError: if the target is not empty or can't be written.
    """
    manifest = read_manifest(source)
    verify(source, manifest)
    try:
        old = Outcome.from_json(manifest["evidence"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {source} lacks its evidence or was changed; restore it or pack anew.", field="bundle"
        ) from error
    packed = {point.key: point for point in (*old.front, old.chosen, old.reference)}
    found = [point for point in packed.values() if key and point.key.startswith(key)]
    if len(found) != 1:
        raise UnknownNameError("point", key, packed, field="point")
    check_empty(target)
    chosen = found[0]
    suffix = Path(chosen.artifact).suffix
    outcome = located(replace(rechosen(old, chosen), bundle=target.resolve()), suffix)
    about = {name: manifest[name] for name in ABOUT if name in manifest}
    sources = {
        point.key: [verified_file(source, manifest, name) for name in _files_of(point, manifest)]
        for point in packed.values()
        if point.artifact
    }
    pack(outcome, about, sources, render)
    return outcome


def _files_of(point: Point, manifest: Plain) -> list[str]:
    """A packed model file and the files that belong to it: those of the same name beside it."""
    main = Path(point.artifact)
    listed = (Path(name) for name in manifest["sha256"])
    beside = [str(each) for each in listed if each.parent == main.parent and each.stem == main.stem and each != main]
    return [point.artifact, *sorted(beside)]


def rechosen(old: Outcome, chosen: Point) -> Outcome:
    """The same evidence with another point chosen: certified only if its own test said so."""
    proof = chosen.notes.get("proof") or {}
    drop = replace(
        old.drop,
        value=proof.get("value"),
        high=proof.get("high"),
        method=proof.get("method", "not tested"),
        exact=bool(proof.get("exact", False)),
        samples_needed=None,
    )
    misses = tuple(
        Miss(limit.option, limit.at_most, quantity.value if quantity else None, limit.unit)
        for limit in old.goal.limits
        if (quantity := chosen.metrics.get(limit.metric)) is None or (quantity.high or quantity.value) > limit.at_most
    )
    certified = bool(proof.get("rejected")) and not misses
    status: Status = "certified" if certified else "infeasible" if misses else "estimated"
    reason = "Chosen by hand from the front."
    return replace(old, chosen=replace(chosen, reason=reason), drop=drop, status=status, misses=misses)


def task_manifest(task: Task) -> dict[str, Plain]:
    """What a bundle must know of its task to predict."""
    return {
        "task": task.name,
        "kind": task.kind,
        "input": input_to_json(task.input),
        "output": output_to_json(task.output),
        "inputs": [{"name": "x", "shape": ["n", *task.input.shape], "type": "float32"}],
        "outputs": [{"name": "y", "shape": ["n", task.output.width], "type": "float32"}],
        "labels": list(getattr(task.output, "labels", ())) or None,
    }
