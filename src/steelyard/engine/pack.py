"""Pack a bundle: the chosen model, the rest of the front, the evidence, the card and the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steelyard.core.errors import UnknownNameError
from steelyard.core.measured import read_measured
from steelyard.core.outcome import Outcome, Point, Status
from steelyard.core.protocols import Task
from steelyard.core.sequence import TextInput
from steelyard.core.task import TensorInput, input_to_json, output_to_json
from steelyard.core.version import __version__
from steelyard.core.wire import Plain, write_text
from steelyard.engine.elsewhere import choose_elsewhere
from steelyard.engine.evidence import drop_of, is_proved, packed_points, read_evidence
from steelyard.engine.explaining import explained_anew
from steelyard.graph.reading import read_model
from steelyard.graph.signature import signature_of
from steelyard.select.limits import misses
from steelyard.store.artifacts import copy_file
from steelyard.store.bundle import check_empty, clear, read_manifest, verified_file, verify, write_manifest

MODEL = "model"
"""The name of every packed model file, before the suffix of its runtime."""
ABOUT = ("task", "kind", "input", "output", "inputs", "outputs", "labels", "own", "batch", "threads")
"""Fields of the manifest that say what the model is for, whichever point is packed."""
Render = Callable[[Outcome], Mapping[str, str]]
"""Makes the texts that a bundle carries, by file name: the card and the report."""


def located(outcome: Outcome, suffixes: Mapping[str, str]) -> Outcome:
    """The outcome with the path of each packed artifact: the chosen one on top, the others below.

    The others are the front, the reference, and what was proved: a machine that another kit measures may prefer a
    proved point that is no good here.

    Args:
        outcome: to be packed.
        suffixes: of each point's model file by key; points whose files are not at hand are not among them.
    """
    proved = [point for point in outcome.points if is_proved(point)]
    kept = {point.key for point in (*outcome.front, outcome.reference, *proved)}
    kept &= set(suffixes)

    def place(point: Point) -> Point:
        if point.key == outcome.chosen.key:
            return replace(point, artifact=f"{MODEL}{suffixes[point.key]}")
        place = f"variants/{point.key}/{MODEL}"
        return replace(point, artifact=f"{place}{suffixes[point.key]}" if point.key in kept else "")

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
            # The study names a file by its runtime; what it is called in the bundle says what it holds.
            is_main = source == sources[point.key][0]
            name = point.artifact if is_main else str(Path(point.artifact).with_suffix(source.suffix))
            copy_file(source, directory / name)
            files.append(name)
    for name, text in texts.items():
        write_text(directory / name, text)
        files.append(name)
    manifest = {
        **about,
        "model": outcome.chosen.artifact,
        "runtime": outcome.chosen.candidate.runtime,
        **({"options": dict(outcome.chosen.candidate.options)} if outcome.chosen.candidate.options else {}),
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
    old = read_evidence(source, manifest)
    packed = packed_points(old)
    found = [point for point in packed.values() if key and point.key.startswith(key)]
    if len(found) != 1:
        raise UnknownNameError("point", key, packed, field="point")
    check_empty(target)
    return _pack_anew(source, manifest, rechosen(old, found[0]), target, render)


def repack_measured(source: Path, file: Path, target: Path, render: Render, limits: Mapping[str, Any]) -> Outcome:
    """Choose again among a bundle's points by the costs that a kit measured elsewhere, and pack the choice.

    Args:
        source: the bundle.
        file: what the kit's `measure.py` wrote.
        target: a new or empty directory.
        render: makes the card and the report.
        limits: fields of the goal that are another machine's matter (`minimize` and limits on costs); those that
            are not given stay as the bundle's goal has them.

    Raises:
        BundleError: if the source is no bundle or was changed.
        InputError: if the file is no kit's, or holds figures of other models.
        StudyError: if the kit is of another study, or the target is not empty.
    """
    manifest = read_manifest(source)
    verify(source, manifest)
    old = read_evidence(source, manifest)
    check_empty(target)
    checksums = {key: manifest["sha256"].get(point.artifact, "") for key, point in packed_points(old).items()}
    measured = read_measured(file)
    outcome = choose_elsewhere(old, measured, replace(old.goal, **limits), checksums)
    return _pack_anew(source, manifest, outcome, target, render)


def _pack_anew(source: Path, manifest: Plain, chosen: Outcome, target: Path, render: Render) -> Outcome:
    """Pack an answer made of a bundle's own evidence from that bundle's files."""
    packed = packed_points(read_evidence(source, manifest))
    suffixes = {key: Path(point.artifact).suffix for key, point in packed.items()}
    outcome = located(replace(chosen, bundle=target.resolve()), suffixes)
    about = {name: manifest[name] for name in ABOUT if name in manifest}
    sources = {
        key: [verified_file(source, manifest, name) for name in _files_of(point, manifest)]
        for key, point in packed.items()
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
    missed = misses(old.goal, chosen.metrics)
    status: Status = "certified" if is_proved(chosen) and not missed else "infeasible" if missed else "estimated"
    reason = "Chosen by hand from the front."
    return replace(
        old,
        chosen=replace(chosen, reason=reason),
        drop=drop_of(old, chosen),
        status=status,
        misses=missed,
        explanation=explained_anew(old, old.points, chosen),
    )


def task_manifest(task: Task, model: Path | None = None) -> dict[str, Plain]:
    """What a bundle must know of its task to predict.

    Args:
        task: what the model is for.
        model: the chosen ONNX file, which is read for its output where it says itself what it takes and gives.
    """
    inputs: list[Plain] = [{"name": "x", "shape": ["n", *task.input.shape], "type": "float32"}]
    outputs: list[Plain] = [{"name": "y", "shape": ["n", task.output.width], "type": "float32"}]
    if task.kind == "language-modelling" and isinstance(task.input, TextInput):
        tokens = task.input.shape[0]
        outputs = [{"name": "y", "shape": ["n", tokens, task.output.width // tokens], "type": "float32"}]
    if isinstance(task.input, TensorInput):
        inputs = [port.to_json() for port in task.input.ports]
        # Runtimes hand back a file's first output, which is the one that was judged.
        outputs = outputs if model is None else [signature_of(read_model(model)).outputs[0].to_json()]
    return {
        "task": task.name,
        "kind": task.kind,
        "input": input_to_json(task.input),
        "output": output_to_json(task.output),
        "inputs": inputs,
        "outputs": outputs,
        "labels": list(getattr(task.output, "labels", ())) or None,
    }
