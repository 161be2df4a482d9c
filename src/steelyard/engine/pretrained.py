"""Pretrained weights as the start of trainings: of which file, of which scale, and what of it fits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steelyard.core.candidate import Candidate, FamilySpace, Knob, Scale
from steelyard.core.errors import InputError
from steelyard.core.protocols import Task
from steelyard.core.task import ClassOutput
from steelyard.core.trial import Measurement
from steelyard.core.wire import file_sha256
from steelyard.elastic.statistics import reestimate_norms
from steelyard.elastic.transfer import Source, head_of, matched, source_of, take
from steelyard.engine.elastic import REPORT, shared_home
from steelyard.engine.messages import WEIGHTS
from steelyard.engine.plan import Start
from steelyard.store.bundle import MANIFEST
from steelyard.store.snapshot import read_study
from steelyard.training.lesson import Lesson, inputs_of
from steelyard.training.tuning import How, Tuning
from steelyard.training.weights import read_tensors

FIELD = "pretrained"
MOST_SCALES = 64
"""Scales of a family that a file's weights are compared with, the largest first."""
NORM_ROWS = 2_048
"""Training rows that statistics of batch norm are estimated on before anything learns."""
NAMED = 3
"""Tensors that a refusal names."""


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes models with fresh weights: of which families, for which task, by which seed."""

    families: Mapping[str, Any]
    task: Task
    seed: int

    def model(self, family: str, scale: Scale) -> Any:
        """The model (front, body, back) of a scale."""
        return self.families[family].build(scale, self.task, self.seed)

    def example(self, model: Any) -> tuple[Any]:
        """Two training rows as the body of a model takes them."""
        train = self.task.train
        rows = train.x[:2] if len(train) > 1 else train.x[[0, 0]]
        return (model.front(*inputs_of(rows.astype("float32"))),)


@dataclass(frozen=True, slots=True)
class _Offer:
    """Weights that a family may start from; without a scale nobody knows yet of which they are."""

    path: Path
    scale: Scale | None
    head: bool


def starts_of(path: Path, spaces: Sequence[FamilySpace], builder: Builder) -> tuple[Start, ...]:
    """What each family of a space starts from; those that the weights don't fit are left out.

    Args:
        path: weights (.safetensors, or .pt and .pth read weights-only), or the home of an earlier study.
        spaces: the families and their scales.
        builder: makes the models of this search.

    Raises:
        InputError: if the file can't be read, or fits no family.
        StudyError: if the directory holds no study.
    """
    offers = _offers(path, spaces, builder.task)
    found = [
        start
        for space in spaces
        if space.family in offers and (start := _start(space, offers[space.family], builder)) is not None
    ]
    if not found:
        raise InputError(_misfit(path, spaces, offers, builder), field=FIELD)
    return tuple(found)


def told(starts: Sequence[Start], spaces: Sequence[FamilySpace]) -> list[str]:
    """Sentences on what each family takes over."""
    by_family = {each.family: each for each in starts}
    return [_told(space.family, by_family.get(space.family)) for space in spaces]


def _told(family: str, start: Start | None) -> str:
    if start is None:
        return f"{family} starts from scratch: nothing of the pretrained weights fits it"
    rest = f"; fresh: {_listed(start.fresh)}" if start.fresh else ""
    of = f" of {start.scale}" if start.scale.settings else ""
    return f"{family} starts from pretrained weights{of}: {100 * start.share:.1f} % of its largest scale{rest}"


@dataclass(slots=True)
class Pretrained:
    """A worker's part: fills models with the weights that they start from."""

    builder: Builder
    starts: Mapping[str, Start]
    how: How = "all"
    shares: dict[str, float] = field(default_factory=dict)
    _sources: dict[str, Source] = field(default_factory=dict)

    def has(self, candidate: Candidate) -> bool:
        """Whether there are weights for its family."""
        return candidate.family in self.starts

    def fill(self, model: Any, candidate: Candidate) -> Tuning:
        """Fill a model of fresh weights, in place, and say how it is to learn.

        Raises:
            InputError: if the file can't be read any more.
        """
        start, example = self.starts[candidate.family], self.builder.example
        if candidate.family not in self._sources:
            large = self.builder.model(candidate.family, start.scale)
            values = matched(read_tensors(Path(start.path), field=FIELD), large.body)
            self._sources[candidate.family] = source_of(values, large.body, example(large))
        taken = take(self._sources[candidate.family], model.body, example(model), head=start.head)
        self.shares[candidate.key] = taken.share
        # Statistics of the other data, or of all channels where this is a slice, would mislead.
        task = self.builder.task
        reestimate_norms(model, Lesson(task.train, task.valid, teacher=model, seed=self.builder.seed), NORM_ROWS)
        tuning = Tuning(taken.names - head_of(model.body), self.how)
        tuning.freeze(model.body)
        return tuning


def _offers(path: Path, spaces: Sequence[FamilySpace], task: Task) -> dict[str, _Offer]:
    """By family what weights there are."""
    if not path.is_dir():
        # Whose classes they are, a file of weights does not say.
        return {space.family: _Offer(path, None, head=False) for space in spaces}
    earlier = read_study(path, field=FIELD)
    head = _labels(path) == _own_labels(task)
    fits = path / "artifacts" / "fits"
    found: dict[str, tuple[float, _Offer]] = {}
    for trial in earlier.trials:
        candidate, outcome = trial.candidate, trial.outcome
        weights = fits / candidate.uncompressed.file.key / WEIGHTS
        if not isinstance(outcome, Measurement) or not weights.is_file():
            continue
        size = outcome.metrics["parameters"].value
        if candidate.family not in found or size > found[candidate.family][0]:
            found[candidate.family] = size, _Offer(weights, candidate.scale, head=head)
    offers = {space.family: found[space.family][1] for space in spaces if space.family in found}
    return {**offers, **{space.family: each for space in spaces if (each := _shared(fits, space.family, head))}}


def _shared(fits: Path, family: str, head: bool) -> _Offer | None:
    """The weights that all scales of a family shared: slices of them are trained as such, which others are not."""
    home = shared_home(fits, family)
    try:
        knobs = json.loads((home / REPORT).read_text(encoding="utf-8"))["knobs"]
        space = FamilySpace(family, tuple(Knob(each["name"], tuple(each["choices"])) for each in knobs))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return _Offer(home / WEIGHTS, space.largest, head) if (home / WEIGHTS).is_file() else None


def _labels(directory: Path) -> object:
    """The classes of a bundle; None where it has none, or there is no bundle."""
    try:
        return json.loads((directory / MANIFEST).read_text(encoding="utf-8")).get("labels")
    except (OSError, ValueError, AttributeError):
        return None


def _own_labels(task: Task) -> object:
    return list(task.output.labels) if isinstance(task.output, ClassOutput) else None


def _start(space: FamilySpace, offer: _Offer, builder: Builder) -> Start | None:
    """The start of a family: by the scale whose module fits the most numbers of the file."""
    tensors = read_tensors(offer.path, field=FIELD)
    best: tuple[int, Scale] | None = None
    for scale in [offer.scale] if offer.scale is not None else _largest_first(space):
        body = builder.model(space.family, scale).body
        # Vectors of biases and norms have the length of many a layer by chance.
        fits = sum(each.numel() for each in matched(tensors, body).values() if each.ndim > 1)
        if fits and (best is None or fits > best[0]):
            best = fits, scale
    if best is None:
        return None
    large, largest = (builder.model(space.family, scale) for scale in (best[1], space.largest))
    source = source_of(matched(tensors, large.body), large.body, builder.example(large))
    taken = take(source, largest.body, builder.example(largest), head=offer.head)
    path = str(offer.path.resolve())
    return Start(space.family, path, file_sha256(offer.path), best[1], taken.share, taken.fresh, offer.head)


def _largest_first(space: FamilySpace) -> list[Scale]:
    """At most `MOST_SCALES` scales: the largest, then the others evenly."""
    if space.size > 100 * MOST_SCALES:
        return [space.largest]
    others = [each for each in reversed(list(space.scales())) if each != space.largest]
    step = max(1, -(-len(others) // (MOST_SCALES - 1)))
    return [space.largest, *others[::step]]


def _misfit(path: Path, spaces: Sequence[FamilySpace], offers: Mapping[str, _Offer], builder: Builder) -> str:
    """A sentence on what the weights are and what would fit."""
    names = ", ".join(space.family for space in spaces)
    if not offers:
        return (
            f"'{FIELD}' {path} has no weights of {names or 'networks'}; name a family that it searched as --model, or "
            "another study."
        )
    space = next(each for each in spaces if each.family in offers)
    tensors = read_tensors(offers[space.family].path, field=FIELD)
    own = builder.model(space.family, space.largest).body.state_dict()
    theirs = _shown([(name, tuple(each.shape)) for name, each in tensors.items()])
    ours = _shown([(name, tuple(each.shape)) for name, each in own.items()])
    return (
        f"'{FIELD}' {path.name} fits nothing of {names}: it holds {theirs}, {space.family} has {ours}; "
        "name weights of the same model and scale."
    )


def _shown(stored: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    some = [f"{name} {shape}" for name, shape in stored[:NAMED]]
    return _listed([*some, *("" for _ in stored[NAMED:])]) or "nothing"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
