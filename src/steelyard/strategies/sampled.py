"""Multi-objective search with Optuna's samplers: TPE and NSGA-II.

The sampler works on an in-memory study rebuilt from the finished trials, so a proposal depends on them and the seed
alone, and the study's own storage needs to hold nothing but finished trials.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from steelyard.core.candidate import Candidate, FamilySpace, Scale, Space
from steelyard.core.errors import InputError
from steelyard.core.protocols import Problem
from steelyard.core.trial import Stopped, Trial
from steelyard.strategies.uniform import random_order

TRIES = 12
"""Asks before a sampler that only repeats itself is given an unseen random candidate instead."""
STARTUP = 8
"""Random trials before TPE models anything; Optuna's 10 is for larger budgets."""
LONG_TRAINING_S = 5.0
"""Training seconds from which the other pipelines of a scale are tried at once: measuring one takes about as long."""
POPULATION = 12
"""NSGA-II's population: a 60-second search then still sees several generations."""


@dataclass(frozen=True, slots=True)
class Tpe:
    """Tree-structured Parzen estimator over (loss of quality, costs).

    References:
        S. Watanabe, Tree-structured Parzen estimator: understanding its algorithm components, 2023;
        Y. Ozaki et al., Multiobjective tree-structured Parzen estimator, JAIR 2022.
    """

    name: str = "tpe"

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """What the sampler asks for, never a candidate that is finished or pending."""
        seed = problem.seed * 1_000_003 + len(finished) + len(pending)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed % 2**31, n_startup_trials=STARTUP, constant_liar=False)
        return _ask(sampler, space, finished, pending, problem, {})


@dataclass(frozen=True, slots=True)
class Nsga2:
    """Non-dominated sorting genetic algorithm over (loss of quality, costs).

    References:
        K. Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE TEC 2002.
    """

    population: int = POPULATION
    name: str = "nsga2"

    def __post_init__(self) -> None:
        """Refuse a population in which nothing can be crossed.

        Raises:
            InputError: naming the setting.
        """
        if self.population < 2:
            raise InputError(f"'population' must be at least 2, got {self.population!r}.", field="population")

    def propose(
        self, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
    ) -> Candidate | None:
        """What the sampler asks for, never a candidate that is finished or pending."""
        seed = problem.seed * 1_000_003 + len(finished) + len(pending)
        sampler = optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed % 2**31)
        return _ask(sampler, space, finished, pending, problem, {"NSGAIISampler:generation": self.population})


def _ask(  # noqa: PLR0917  what `propose` is given, and what differs between samplers
    sampler: optuna.samplers.BaseSampler,
    space: Space,
    finished: Sequence[Trial],
    pending: Sequence[Candidate],
    problem: Problem,
    generations: dict[str, int],
) -> Candidate | None:
    seen = {trial.key for trial in finished} | {candidate.key for candidate in pending}
    unseen = (candidate for candidate in random_order(space, problem.seed) if candidate.key not in seen)
    fallback = next(unseen, None)
    if fallback is None:
        return None
    sibling = next((each for each in siblings(space, finished) if each.key not in seen), None)
    if sibling is not None:
        return sibling
    study = _study_of(sampler, space, finished, problem, generations)
    for _ in range(TRIES):
        candidate = suggested(study.ask(), space)
        if candidate.key not in seen:
            return candidate
    return fallback


def siblings(space: Space, finished: Sequence[Trial]) -> Iterator[Candidate]:
    """The other forms of scales that took long to train: their weights are there, so each costs seconds only."""
    for trial in finished:
        if isinstance(trial.outcome, Stopped):
            continue  # there are no weights
        if trial.seconds.get("train", 0.0) >= LONG_TRAINING_S and trial.candidate in space:
            for pipeline, options in space.forms(space.family(trial.candidate.family)):
                yield Candidate(trial.candidate.family, trial.candidate.scale, pipeline, space.runtime, options)


def _study_of(
    sampler: optuna.samplers.BaseSampler,
    space: Space,
    finished: Sequence[Trial],
    problem: Problem,
    generations: dict[str, int],
) -> optuna.Study:
    """An in-memory study that holds the finished trials of this space; failures are left out."""
    study = in_memory(sampler, ["minimize"] * len(problem.objectives))
    told = 0
    for trial in finished:
        values = problem.score(trial)
        if values is None or trial.candidate not in space:
            continue
        params, distributions = _params(trial.candidate, space)
        study.add_trial(
            optuna.trial.create_trial(
                values=list(values),
                params=params,
                distributions=distributions,
                system_attrs={key: told // size for key, size in generations.items()},
            )
        )
        told += 1
    return study


def in_memory(
    sampler: optuna.samplers.BaseSampler, directions: Sequence[Literal["minimize", "maximize"]]
) -> optuna.Study:
    """An empty study in memory, without Optuna's line about it."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(directions=list(directions), sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)


def suggested(trial: optuna.Trial, space: Space) -> Candidate:
    """A candidate from Optuna's trial. Choices are ordered from small to large, so their index is a number."""
    names = [family.family for family in space.families]
    name = trial.suggest_categorical("family", names) if len(names) > 1 else names[0]
    family = space.family(str(name))
    settings = tuple(
        (knob.name, knob.choices[trial.suggest_int(f"{family.family}.{knob.name}", 0, len(knob.choices) - 1)])
        for knob in family.knobs
    )
    pipelines = len(space.pipelines)
    pipeline = int(trial.suggest_categorical("pipeline", list(range(pipelines)))) if pipelines > 1 else 0
    steps = space.pipelines[pipeline] if family.is_module else ()
    choices = len(space.options)
    options = int(trial.suggest_categorical("options", list(range(choices)))) if choices > 1 else 0
    return Candidate(family.family, Scale(settings), steps, space.runtime, space.options[options])


def _params(candidate: Candidate, space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The inverse of `suggested`."""
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    family: FamilySpace = space.family(candidate.family)
    if len(space.families) > 1:
        params["family"] = candidate.family
        distributions["family"] = CategoricalDistribution([each.family for each in space.families])
    for knob in family.knobs:
        name = f"{family.family}.{knob.name}"
        params[name] = knob.choices.index(candidate.scale[knob.name])
        distributions[name] = IntDistribution(0, len(knob.choices) - 1)
    if len(space.pipelines) > 1:
        params["pipeline"] = space.pipelines.index(candidate.steps)
        distributions["pipeline"] = CategoricalDistribution(list(range(len(space.pipelines))))
    if len(space.options) > 1:
        params["options"] = space.options.index(candidate.options)
        distributions["options"] = CategoricalDistribution(list(range(len(space.options))))
    return params, distributions


TPE = Tpe()
"""The entry of the registry."""


NSGA2 = Nsga2()
"""The entry of the registry."""
