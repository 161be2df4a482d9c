"""What the chosen pipeline did: step by step, row by row, layer by layer. Pure; plain JSON out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from steelyard.core.candidate import Candidate
from steelyard.core.outcome import Outcome, Point
from steelyard.core.task import Array, ClassOutput, OutputSpec
from steelyard.core.wire import Plain

MOST_ROWS = 100
"""Flipped rows that are listed by their index; all are counted."""
MOST_LAYERS = 200
"""Layers that are listed a step."""
COSTS = ("latency_p50_s", "size_bytes", "peak_memory_bytes", "parameters", "macs")
"""Costs that the waterfall tells, where they are known."""
_REPORTED = ("layers", "groups", "left_float")
"""Where a step's report tells of single layers: figures of each, what a group of channels kept, what was left alone."""


def explanation(points: Sequence[Point], chosen: Point, *, metric: str, flips: Plain | None) -> Plain:
    """What is told of the chosen point.

    Args:
        points: every measured one, with the figures as they are reported.
        chosen: one of them.
        metric: of the goal.
        flips: of the chosen point, from `flips_of`; None where its outputs are no decisions.
    """
    told: dict[str, Any] = {
        "waterfall": waterfall(points, chosen, metric=metric),
        "sensitivity": sensitivity(points, chosen),
    }
    return told if flips is None else {**told, "flips": flips}


def explained_anew(old: Outcome, points: Sequence[Point], chosen: Point) -> Plain:
    """What is told of another point of an answer; flips are known of the one whose test outputs were computed only."""
    if not old.explanation:
        return {}
    flips = old.explanation.get("flips") if chosen.key == old.chosen.key else None
    return explanation(points, chosen, metric=old.drop.metric, flips=flips)


def waterfall(points: Sequence[Point], chosen: Point, *, metric: str) -> list[Plain]:
    """One row for each beginning of the chosen pipeline that was measured, the model given first.

    A row has the `key`, the `steps` beyond the row before, its `metrics` (quality on the validation rows), and
    `change`: how each differs from the row before, in its own unit.
    """
    by_candidate = {point.candidate: point for point in points}
    rows: list[dict[str, Any]] = []
    done = 0
    for candidate in _beginnings(chosen.candidate):
        point = by_candidate.get(candidate)
        if point is None:
            continue
        figures = {name: point.metrics[name] for name in (metric, *COSTS) if name in point.metrics}
        before = rows[-1]["metrics"] if rows else {}
        rows.append(
            {
                "key": point.key,
                "steps": [step.to_json() for step in candidate.steps[done:]],
                "metrics": {name: quantity.to_json() for name, quantity in figures.items()},
                "change": {
                    name: quantity.value - before[name]["value"] for name, quantity in figures.items() if name in before
                },
            }
        )
        done = len(candidate.steps)
    return rows


def _beginnings(candidate: Candidate) -> Iterator[Candidate]:
    """The candidates that a pipeline leads through, run by the defaults; then itself."""
    for end in range(len(candidate.steps)):
        yield replace(candidate, steps=candidate.steps[:end], options=())
    if candidate.options:
        yield candidate.file
    yield candidate


def flips_of(reference: Array, own: Array, targets: Array, output: OutputSpec, *, has_labels: bool) -> Plain | None:
    """Which rows are decided otherwise than by the reference; None where outputs are no decisions.

    Args:
        reference: its outputs (n, classes).
        own: the candidate's outputs (n, classes).
        targets: the right classes (n,), or anything where there are no labels.
        output: says what the outputs mean.
        has_labels: whether the targets are true labels.

    Returns:
        `n` rows, `changed` of them, `helped` (right now, wrong before) and `harmed` (the reverse), null without labels;
        `by_class` the same by the reference's class (`from`) and the candidate's (`to`), the commonest first; `rows`,
        the indices of at most 100 in the order of the test rows, from 0.
    """
    if not isinstance(output, ClassOutput):
        return None
    before, after = (np.argmax(each, axis=1) for each in (reference, own))
    changed = np.flatnonzero(before != after)
    helped, harmed = (
        (set(changed[each[changed] == targets[changed]].tolist()) if has_labels else None) for each in (after, before)
    )
    pairs = Counter(zip(before[changed].tolist(), after[changed].tolist(), strict=True))
    places = {pair: [int(i) for i in changed if (before[i], after[i]) == pair] for pair in pairs}
    return {
        "n": len(before),
        "changed": len(changed),
        "helped": None if helped is None else len(helped),
        "harmed": None if harmed is None else len(harmed),
        "by_class": [
            {
                "from": output.labels[pair[0]],
                "to": output.labels[pair[1]],
                "n": count,
                "helped": None if helped is None else len(helped & set(places[pair])),
                "harmed": None if harmed is None else len(harmed & set(places[pair])),
            }
            for pair, count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
        ],
        "rows": changed[:MOST_ROWS].tolist(),
    }


def sensitivity(points: Sequence[Point], chosen: Point) -> list[Plain]:
    """What each step said of each layer: rows of `layer`, `step`, `key` and `figures`.

    Steps of the chosen pipeline are told from the chosen point; those that it lacks, from the measured point with the
    fewest steps that has one: how a layer takes a step is told best where little else was done.
    """
    rows: list[Plain] = []
    told: set[str] = set()
    for point in (chosen, *sorted(points, key=lambda each: (len(each.steps), each.key))):
        reports = [each for each in point.notes.get("steps") or () if isinstance(each, Mapping)]
        new = {str(each.get("name")) for each in reports} - told
        for place, report in enumerate(reports):
            name = str(report.get("name"))
            if name in new:
                rows += [{"key": point.key, "step": name, "place": place, **each} for each in _layers(report)]
        told |= {row["step"] for row in rows}
    return rows


def _layers(report: Mapping[str, Any]) -> list[Plain]:
    """Single layers in a step's report, whatever figures it has of them."""
    found = [
        {"layer": str(name), "figures": figures}
        for field in _REPORTED
        for name, figures in _entries(report.get(field))
        if figures
    ]
    return found[:MOST_LAYERS]


def _entries(reported: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Names and figures, of a list of objects with a name or of figures by name."""
    if isinstance(reported, Mapping):
        for name, value in reported.items():
            yield name, _figures(value)
    elif isinstance(reported, Sequence) and not isinstance(reported, str):
        for each in reported:
            if isinstance(each, Mapping) and ("name" in each or "layer" in each):
                rest = {field: value for field, value in each.items() if field not in ("name", "layer")}
                yield each.get("name", each.get("layer")), _figures(rest)


def _figures(value: Any) -> dict[str, Any]:
    """Plain figures of one layer: a pair is what it had before and has after."""
    if isinstance(value, Mapping):
        return {str(name): each for name, each in value.items() if isinstance(each, int | float | str | None)}
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return {"before": value[0], "after": value[1]}
    return {"value": value} if isinstance(value, int | float | str) else {}
