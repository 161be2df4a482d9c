"""What the search proposes: scales, compression steps, candidates and the space of them."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.wire import Plain, content_key

Setting = int | float | str | bool
THREADS = "threads"
"""The option that every runtime has: its threads."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The settings of a family's knobs, e.g. width 32, depth 3. Sorted by name, so equal scales are equal."""

    settings: tuple[tuple[str, Setting], ...] = ()

    def __post_init__(self) -> None:
        """Sort the settings by name."""
        object.__setattr__(self, "settings", tuple(sorted(self.settings)))

    @classmethod
    def of(cls, **settings: Setting) -> Self:
        """A scale from keyword arguments."""
        return cls(tuple(settings.items()))

    def __getitem__(self, knob: str) -> Setting:
        """The setting of a knob; KeyError if the scale has none of that name."""
        return dict(self.settings)[knob]

    def integer(self, knob: str, default: int) -> int:
        """The setting of a knob as a whole number, or `default` where the scale lacks it."""
        return int(dict(self.settings).get(knob, default))

    def to_json(self) -> dict[str, Setting]:
        """The plain form: knob to setting."""
        return dict(self.settings)

    @classmethod
    def from_json(cls, plain: Mapping[str, Setting]) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(plain.items()))

    def __str__(self) -> str:
        """For people: `depth 2, width 32`."""
        return ", ".join(f"{name} {value}" for name, value in self.settings) or "fixed"


@dataclass(frozen=True, slots=True)
class StepSetting:
    """One compression step by name, with its settings; the plugin of that name carries it out."""

    name: str
    settings: tuple[tuple[str, Setting], ...] = ()

    def to_json(self) -> dict[str, Setting]:
        """The plain form: {"name": ..., setting: value, ...}."""
        return {"name": self.name, **dict(self.settings)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Setting]) -> Self:
        """The inverse of `to_json`."""
        rest = tuple(sorted((key, value) for key, value in plain.items() if key != "name"))
        return cls(name=str(plain["name"]), settings=rest)

    def __str__(self) -> str:
        """For people: `prune (keep 0.6)`."""
        return _step_text(self, 1)


def steps_text(steps: Iterable[StepSetting]) -> str:
    """Steps for people: `prune ×3 (keep 0.6), distill ×3, quantize`; empty for none.

    Equal steps are told once with their number, wherever they stand, in the order in which they first appear: dozens
    of steps in turn would be no name.
    """
    return ", ".join(_step_text(step, count) for step, count in Counter(steps).items())


def _setting_text(name: str, value: Setting) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value}"


def _step_text(step: StepSetting, count: int) -> str:
    settings = ", ".join(_setting_text(name, value) for name, value in step.settings)
    return step.name + (f" ×{count}" if count > 1 else "") + (f" ({settings})" if settings else "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A point of the space: a family at a scale, compressed by steps, for a runtime with options of its own.

    `options` are settings of the runtime, e.g. threads 2, sorted by name; none means its defaults.
    """

    family: str
    scale: Scale
    steps: tuple[StepSetting, ...] = ()
    runtime: str = "onnxruntime"
    options: tuple[tuple[str, Setting], ...] = ()

    def __post_init__(self) -> None:
        """Sort the options by name."""
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    @property
    def key(self) -> str:
        """Hash of the canonical JSON: equal candidates have equal keys, on every machine."""
        return content_key(self.to_json())

    @property
    def is_plain(self) -> bool:
        """Whether no compression step and no option applies: only such a candidate may be the reference."""
        return not self.steps and not self.options

    @property
    def uncompressed(self) -> "Candidate":
        """The same scale without compression steps, run by the defaults: what is trained, whatever is made of it."""
        return Candidate(family=self.family, scale=self.scale, runtime=self.runtime)

    @property
    def file(self) -> "Candidate":
        """The same scale and steps, run by the defaults: options don't change the model file, only how it is loaded."""
        return Candidate(family=self.family, scale=self.scale, steps=self.steps, runtime=self.runtime)

    def to_json(self) -> Plain:
        """The plain form; without options it has no such field, so the keys of older studies stay what they were."""
        plain: Plain = {
            "family": self.family,
            "scale": self.scale.to_json(),
            "steps": [step.to_json() for step in self.steps],
            "runtime": self.runtime,
        }
        return {**plain, "options": dict(self.options)} if self.options else plain

    @classmethod
    def from_json(cls, plain: Plain) -> Self:
        """The inverse of `to_json`."""
        return cls(
            family=plain["family"],
            scale=Scale.from_json(plain["scale"]),
            steps=tuple(StepSetting.from_json(step) for step in plain["steps"]),
            runtime=plain["runtime"],
            options=tuple(plain.get("options", {}).items()),
        )

    def __str__(self) -> str:
        """For people: `mlp (depth 1, width 32), quantize, threads 2`; a scale without settings is not told."""
        name = f"{self.family} ({self.scale})" if self.scale.settings else self.family
        options = (f"{name} {value}" for name, value in self.options)
        return ", ".join(part for part in (name, steps_text(self.steps), *options) if part)


def loading_of(options: Iterable[tuple[str, Setting]]) -> tuple[int | None, dict[str, Setting]]:
    """How a runtime loads a model with these options: its threads, None where they name none, and the others."""
    rest = dict(options)
    own = rest.pop(THREADS, None)
    return (None if own is None else int(own)), rest


@dataclass(frozen=True, slots=True)
class Knob:
    """A named setting with its allowed values, from the smallest model to the largest."""

    name: str
    choices: tuple[Setting, ...]

    def __post_init__(self) -> None:
        """Refuse a knob without choices, or with the same choice twice.

        Raises:
            InputError: if there is no choice or one stands twice.
        """
        if not self.choices or len(set(self.choices)) != len(self.choices):
            raise InputError(f"'{self.name}' must be a knob of at least one choice, each once, got {self.choices!r}.")

    def to_json(self) -> Plain:
        """The plain form."""
        return {"name": self.name, "choices": list(self.choices)}


@dataclass(frozen=True, slots=True)
class FamilySpace:
    """One family and its knobs.

    `is_module` is whether its models are torch modules: only these share weights and go through compression steps.
    """

    family: str
    knobs: tuple[Knob, ...] = ()
    is_module: bool = True

    def scales(self) -> Iterator[Scale]:
        """Every scale, the first knob slowest, each knob from small to large."""
        names = [knob.name for knob in self.knobs]
        for values in itertools.product(*(knob.choices for knob in self.knobs)):
            yield Scale(tuple(zip(names, values, strict=True)))

    @property
    def size(self) -> int:
        """How many scales there are."""
        total = 1
        for knob in self.knobs:
            total *= len(knob.choices)
        return total

    @property
    def smallest(self) -> Scale:
        """Every knob at its first choice."""
        return Scale(tuple((knob.name, knob.choices[0]) for knob in self.knobs))

    @property
    def largest(self) -> Scale:
        """Every knob at its last choice."""
        return Scale(tuple((knob.name, knob.choices[-1]) for knob in self.knobs))


@dataclass(frozen=True, slots=True)
class Space:
    """The candidates allowed: families with their knobs, times the pipelines of steps, times the runtime's options.

    `families` stand in the user's order. `pipelines` and `options` always hold the empty one: the reference is
    uncompressed and runs by the runtime's defaults.
    """

    families: tuple[FamilySpace, ...]
    pipelines: tuple[tuple[StepSetting, ...], ...] = ((),)
    runtime: str = "onnxruntime"
    options: tuple[tuple[tuple[str, Setting], ...], ...] = ((),)

    def __post_init__(self) -> None:
        """Refuse a space without a family, or one that can't hold an uncompressed model.

        Raises:
            InputError: if there is no family, no empty pipeline, or no empty choice of options.
        """
        object.__setattr__(self, "options", tuple(tuple(sorted(choice)) for choice in self.options))
        if not self.families:
            raise InputError("'families' must name at least one family, got none.", field="model")
        if () not in self.pipelines:
            raise InputError("'pipelines' must hold the empty one, because the reference is uncompressed.")
        if () not in self.options:
            raise InputError("'options' must hold the empty choice, because the reference runs by the defaults.")

    @property
    def size(self) -> int:
        """How many candidates there are."""
        forms = (len(self.pipelines_of(family)) * family.size for family in self.families)
        return sum(forms) * len(self.options)

    def candidates(self) -> Iterator[Candidate]:
        """Every candidate: family, then scale, then pipeline, then options."""
        for family in self.families:
            for scale in family.scales():
                for pipeline, options in self.forms(family):
                    yield Candidate(family.family, scale, pipeline, self.runtime, options)

    @property
    def threads(self) -> tuple[int, ...]:
        """The counts of threads that its options name, each once."""
        found = (loading_of(choice)[0] for choice in self.options)
        return tuple(dict.fromkeys(count for count in found if count is not None))

    @property
    def scales(self) -> int:
        """How many scales of torch modules there are: those that every pipeline is tried on."""
        return sum(family.size for family in self.families if family.is_module)

    def pipelines_of(self, family: FamilySpace) -> tuple[tuple[StepSetting, ...], ...]:
        """The pipelines that a family's models may go through: all, or the empty one alone."""
        return self.pipelines if family.is_module else ((),)

    def forms(self, family: FamilySpace) -> Iterator[tuple[tuple[StepSetting, ...], tuple[tuple[str, Setting], ...]]]:
        """What one scale is tried as: every pipeline with every choice of options, the options fastest."""
        return itertools.product(self.pipelines_of(family), self.options)

    def references(self) -> tuple[Candidate, ...]:
        """The uncompressed candidate of the largest scale of each family, trained first."""
        return tuple(Candidate(each.family, each.largest, (), self.runtime) for each in self.families)

    def family(self, name: str) -> FamilySpace:
        """The space of one family.

        Raises:
            UnknownNameError: if the space has no such family.
        """
        for each in self.families:
            if each.family == name:
                return each
        raise UnknownNameError("family", name, (each.family for each in self.families), field="model")

    def __contains__(self, candidate: Candidate) -> bool:
        """Whether the candidate lies in the space."""
        if candidate.runtime != self.runtime or candidate.options not in self.options:
            return False
        for each in self.families:
            if each.family == candidate.family:
                if candidate.steps not in self.pipelines_of(each):
                    return False
                choices = {knob.name: knob.choices for knob in each.knobs}
                scale = candidate.scale.to_json()
                return scale.keys() == choices.keys() and all(scale[name] in choices[name] for name in scale)
        return False

    def to_json(self) -> Plain:
        """The plain form, part of a study's identity; it names options only where there is a choice."""
        plain: Plain = {
            "families": [
                {"family": each.family, "knobs": [knob.to_json() for knob in each.knobs]} for each in self.families
            ],
            "pipelines": [[step.to_json() for step in pipeline] for pipeline in self.pipelines],
            "runtime": self.runtime,
        }
        return plain if self.options == ((),) else {**plain, "options": [dict(choice) for choice in self.options]}
