"""The one pipeline: explore, confirm, certify, pack."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from steelyard.core.errors import StudyError
from steelyard.core.events import Event, Listener, silent
from steelyard.core.goal import Goal
from steelyard.core.outcome import Outcome
from steelyard.core.protocols import Runtime
from steelyard.core.quantity import Quantity
from steelyard.core.task import ValueOutput
from steelyard.core.trial import Failure, Measurement, Trial
from steelyard.core.wire import Plain, content_key
from steelyard.engine import again, reseeding
from steelyard.engine.assemble import assemble
from steelyard.engine.busy import BusyClock
from steelyard.engine.certify import Certifier, Verdict
from steelyard.engine.conversion import floor_model, floor_ports
from steelyard.engine.elsewhere import check_minimized, check_study, choose_elsewhere
from steelyard.engine.exploring import Explorations, seconds_of
from steelyard.engine.halving import Halving
from steelyard.engine.lane import INPUT_ROWS, Lane, lanes, make_protocol, nominal_time
from steelyard.engine.lookrounds import LookRounds
from steelyard.engine.messages import WorkerSetup
from steelyard.engine.pack import Render, located, pack, task_manifest
from steelyard.engine.plan import Plan
from steelyard.engine.problem import StudyProblem
from steelyard.engine.registries import extended_registry
from steelyard.engine.reseeding import Reseeding, seconds_spent, seed_figures, shortage
from steelyard.engine.search import Search, nothing
from steelyard.engine.statement import introduce
from steelyard.engine.strategies import generations, settings_of
from steelyard.engine.survey import MOST_S, SHARE, Survey, is_worthwhile, known_reach, out_of_reach, tell
from steelyard.engine.teaching import teach
from steelyard.engine.warmstart import take_over
from steelyard.engine.workers import LocalWorkers, WorkerProcess
from steelyard.graph.marks import SUFFIX as ENCODED
from steelyard.graph.marks import is_encoded
from steelyard.measure.environment import read_environment
from steelyard.store.study import Study, open_study
from steelyard.tasks.dataset import PreparedTask
from steelyard.tasks.wire import save

RESERVE_S = 5.0
"""Seconds kept back for the report and the bundle."""
ROUND_S, ROUND_MODEL_S = 3.0, 1.0
"""Seconds of the last round beside its calls: starting eight processes; loading and warming up each model in all."""
MOST_TESTED = 9
"""Models of the last round: eight candidates and the reference."""
CALLS = 1_000
"""Calls a model in a round."""
LATENCY_FLOOR = "latency_floor_s"
"""The fact of the study that holds the latency of a model that does nothing."""
FLOOR_SHARE = 1e-4
"""An RMSE below this share of the targets' spread counts as this much: float32 can't tell it from zero."""


@dataclass(frozen=True, slots=True)
class Start:
    """What was begun before the question was resolved.

    `began` is when the command began, by the monotonic clock: the budget counts from there. `worker` imports already.
    `prepare` is run once, while the first candidate is made and nothing is measured yet.
    """

    began: float
    worker: WorkerProcess | None = None
    prepare: Callable[[], object] = nothing


@dataclass(slots=True)
class Run:
    """One run of the pipeline on an open study."""

    plan: Plan
    study: Study
    listen: Listener
    start: Start
    spent_before: Mapping[str, float]
    busy: BusyClock = field(default_factory=BusyClock)

    @property
    def wall_s(self) -> float:
        """Wall seconds of the study over all resumes, this one included."""
        return self.spent_before.get("wall_s", 0.0) + time.monotonic() - self.start.began

    @property
    def work(self) -> Path:
        """Files that live no longer than this run."""
        return self.plan.out / "work"


def find(plan: Plan, render: Render, listen: Listener = silent, *, start: Start | None = None) -> Outcome:
    """Search, certify and pack; everything measured is in the study at every moment.

    Args:
        plan: the resolved question.
        render: makes the card and the report of the bundle.
        listen: hears what happens.
        start: what the caller has begun already; None is nothing.

    Raises:
        StudyError: if the directory can't hold this study.
    """
    start = start or Start(time.monotonic())
    if plan.measured is not None:
        _check_measured(plan)
    study = open_study(plan.out, plan.identity, plan.metric, storage=plan.storage)
    try:
        run = Run(plan, study, listen, start, time_before(study))
        introduce(plan, listen)
        take_over(plan, listen)
        run.work.mkdir(exist_ok=True)
        outcome = _answer(run, render)
    finally:
        study.close()
        shutil.rmtree(plan.out / "work", ignore_errors=True)
    return outcome


def _check_measured(plan: Plan) -> None:
    """Refuse, before anything is opened, what another machine's costs can't answer.

    Raises:
        StudyError: if they are of another study, or there is no study here.
        InputError: if the minimised cost is not among them.
    """
    assert plan.measured is not None  # noqa: S101  the caller has checked; narrows the type
    check_study(plan.measured, content_key(plan.identity))
    check_minimized(plan.measured, plan.goal)
    if plan.storage is None and not (plan.out / "study.db").exists():
        raise StudyError(
            f"'out' {plan.out} holds no study to choose from; find first, then measure a kit.", field="out"
        )


def _own_goal(goal: Goal) -> Goal:
    """The goal without what is to be judged by another machine's costs."""
    minimize = "latency" if goal.minimize == "energy" else goal.minimize
    return replace(goal, minimize=minimize).without([limit.metric for limit in goal.limits])


def time_before(study: Study) -> Plain:
    """Seconds that earlier runs took: as they said at their end, or as their last trial was written."""
    said: dict[str, float] = study.get("spent", {})
    reached = study.get("reached_s", 0.0)
    return {**said, "wall_s": max(said.get("wall_s", 0.0), reached)}


def _answer(run: Run, render: Render) -> Outcome:
    plan, study = run.plan, run.study
    lane = _explored(run)
    # Limits on another machine's costs are judged by that machine's figures, after the proofs.
    own = plan if plan.measured is None else replace(plan, goal=_own_goal(plan.goal))
    if lane.floor is not None:
        study.put(LATENCY_FLOOR, lane.floor.to_json())
    trials = study.trials()
    _check_made(trials)
    run.listen(Event("stage", "certifying", len(trials)))
    started = time.monotonic()
    with run.busy.working():
        verdict = Certifier(own, study, lane, quality_floor(plan)).certify(trials)
    certify_s = time.monotonic() - started
    verdict = _reseeded(run, verdict)
    run.listen(Event("stage", "packing", len(trials)))
    spent = _spent(run, trials, certify_s)
    outcome = _with_reach(assemble(own, study, verdict, trials, read_environment(), spent), own, study)
    outcome = replace(outcome, generations=generations(own, trials, floor=quality_floor(own)))
    if plan.measured is not None:
        checksums = {point.key: _digest(trials, point.key) for point in outcome.points}
        outcome = choose_elsewhere(outcome, plan.measured, plan.goal, checksums)
    suffixes = (lane.runtime.suffix, *lane.runtime.companions)
    outcome = located(outcome, {point.key: _suffix(study, trials, point.key, lane) for point in outcome.points})
    sources = {
        point.key: [study.artifacts.path(_digest(trials, point.key), suffix) for suffix in suffixes]
        for point in outcome.points
    }
    chosen = sources[outcome.chosen.key][0] if plan.given is not None else None
    about = {**task_manifest(plan.task, chosen), "own": dict(plan.files), "batch": plan.batch, "threads": plan.threads}
    pack(outcome, about, sources, render)
    if lane.rounds:
        _teach(plan, study, verdict)
    spent = _spent(run, trials, certify_s)
    study.put("spent", spent)
    # The report can't hold the seconds that drawing it took; the answer can.
    kinds = {name: seconds for name, seconds in spent.items() if name != "wall_s"}
    return replace(outcome, spent=kinds, wall_s=spent["wall_s"])


def _with_reach(outcome: Outcome, plan: Plan, study: Study) -> Outcome:
    """The outcome with what is within reach; limits beyond it are of this goal, so they are told with it alone."""
    reach = known_reach(plan, study)
    if reach is None:
        return outcome
    return replace(outcome, reachable=reach.told(), notices=(*outcome.notices, *out_of_reach(reach, plan)))


def _reseeded(run: Run, verdict: Verdict) -> Verdict:
    """The verdict with the spread over seeds of the chosen point and the reference, which are trained again for it."""
    plan, study = run.plan, run.study
    # What another machine's costs choose is not known yet, and nothing is trained for them.
    if plan.seeds < 2 or plan.measured is not None:
        return verdict
    finalists = list({each.key: each for each in (verdict.chosen, verdict.reference)}.values())
    wall_s = plan.budget.wall_s
    before = run.spent_before.get("wall_s", 0.0)
    deadline = float("inf") if wall_s is None else run.start.began + wall_s - before - RESERVE_S
    workers = _workers(run)
    try:
        with run.busy.working():
            Reseeding(plan, study, workers, run.listen, deadline).run(finalists)
    finally:
        workers.close()
    metrics = {each.key: {**verdict.metrics[each.key], **seed_figures(plan, study, each)} for each in finalists}
    missing = shortage(plan, study, finalists)
    notices = verdict.notices if missing is None else (*verdict.notices, missing)
    return replace(verdict, metrics={**verdict.metrics, **metrics}, notices=notices)


def _survey(run: Run, lane: Lane) -> Survey | None:
    """What measures the reach before the search; None where it is known, has no meaning or would take too long."""
    reach = known_reach(run.plan, run.study)
    if reach is not None:
        tell(reach, run.plan, run.listen)
        return None
    left_s = _end(run, run.study.trials()) - time.monotonic()
    if not is_worthwhile(run.plan, left_s):
        return None
    return Survey(run.plan, run.study, lane, run.listen, run.busy, most_s=min(MOST_S, SHARE * left_s))


def _teach(plan: Plan, study: Study, verdict: Verdict) -> None:
    """Tell the cost model of this machine what the last round found of the chosen model and the reference."""
    for trial in {each.key: each for each in (verdict.reference, verdict.chosen)}.values():
        latency = verdict.metrics[trial.key].get("latency_p50_s")
        # Estimates are of the runtime's defaults: how options change a latency is not learned.
        if latency is not None and isinstance(trial.outcome, Measurement) and not trial.candidate.options:
            path = study.artifacts.path(trial.outcome.artifact, ".onnx")
            if path.is_file():
                teach(
                    path, latency.value, runtime=plan.space.runtime, threads=plan.threads, batch=plan.batch, shapes={}
                )


def _check_made(trials: list[Trial]) -> None:
    """Refuse to answer from the baseline alone.

    Raises:
        StudyError: with the first failure, if nothing but the baseline could be made.
    """
    made = [trial for trial in trials if isinstance(trial.outcome, Measurement)]
    if any(trial.candidate.family != "baseline" for trial in made):
        return
    first = next((trial.outcome for trial in trials if isinstance(trial.outcome, Failure)), None)
    why = f"{first.stage}: {first.message.rstrip('.')}" if first else "none was tried"
    raise StudyError(
        f"no candidate could be made ({why}); mend that and name another --out, because failures are kept.",
        field="model",
    )


def _suffix(study: Study, trials: list[Trial], key: str, lane: Lane) -> str:
    """What a point's model file is called: as its runtime calls it, or as what it holds."""
    path = study.artifacts.path(_digest(trials, key), lane.runtime.suffix)
    return ENCODED if is_encoded(path) else lane.runtime.suffix


def _digest(trials: list[Trial], key: str) -> str:
    outcome = next(trial.outcome for trial in trials if trial.key == key)
    return outcome.artifact if isinstance(outcome, Measurement) else ""


def _spent(run: Run, trials: list[Trial], certify_s: float) -> dict[str, float]:
    """Seconds by kind of work, over all resumes. `other_s` is wall time in which nothing was made or measured."""
    totals = {"train": 0.0, "export": 0.0, "measure": 0.0, **seconds_of(run.study)}
    for made in (*(trial.seconds for trial in trials), *seconds_spent(run.study)):
        for stage, seconds in made.items():
            kind = stage if stage in ("train", "measure") else "export"
            totals[kind] += seconds
    before = run.spent_before
    other = time.monotonic() - run.start.began - run.busy.seconds
    return {
        **{f"{kind}_s": seconds for kind, seconds in totals.items()},
        "certify_s": before.get("certify_s", 0.0) + certify_s,
        "other_s": before.get("other_s", 0.0) + max(0.0, other),
        "wall_s": run.wall_s,
    }


def _lane(run: Run) -> Lane:
    """The measuring lane, with the yardstick's nominal time and the latency floor of this study."""
    plan, study = run.plan, run.study
    cpu, _ = lanes(plan.workers)
    inputs = _saved_inputs(run)
    registry = extended_registry(plan.registry, plan.plugins)
    runtime: Runtime = registry.get("runtime", plan.space.runtime)
    protocol = make_protocol(runtime, batch=plan.batch, threads=plan.threads, cpu=cpu)
    nominal_s = study.get("nominal_s")
    if nominal_s is None:
        with run.busy.working():
            nominal_s = nominal_time(cpu)
        study.put("nominal_s", nominal_s)
    fits = plan.out / "artifacts" / "fits"
    fits.mkdir(parents=True, exist_ok=True)
    identity = fits / f"floor{runtime.suffix}"
    if "onnx" in registry.get("exporter", plan.space.runtime).sources:
        # Elsewhere it takes torch to make it: a worker does, before its first model is measured.
        floor_model(registry, plan.space.runtime, floor_ports(plan.task.input), fits)
    floor = study.get(LATENCY_FLOOR)
    return Lane(
        runtime,
        inputs,
        protocol,
        nominal_s,
        plan.seed,
        identity=identity,
        floor=Quantity.from_json(floor) if floor else None,
        pairs=plan.given is not None,
    )


def _saved_inputs(run: Run) -> Path:
    """Real validation rows as a file that measuring processes read."""
    feed = next(run.plan.task.valid.batches(max(run.plan.batch, INPUT_ROWS)))
    if isinstance(feed, Mapping):
        path = run.work / "inputs.npz"
        np.savez(path, allow_pickle=False, **feed)
        return path
    path = run.work / "inputs.npy"
    np.save(path, feed)
    return path


def _explored(run: Run) -> Lane:
    """Search until the budget, the trials or the space end; nothing is searched where the study is finished."""
    plan, study = run.plan, run.study
    if plan.measured is not None and study.get("ended") is None:
        raise StudyError(
            f"'measured' chooses from a finished study, and {plan.out} is not finished; end its search first.",
            field="measured",
        )
    if plan.measured is not None or is_finished(plan, study):
        run.listen(Event("fact", "the study is finished; answering from what it holds"))
        reach = known_reach(plan, study)
        if reach is not None and plan.measured is None:
            tell(reach, plan, run.listen)
        return _asked_again(run)
    workers = _workers(run)
    try:
        workers.start()
        # The yardstick is calibrated on the measuring lane while the workers import on theirs.
        lane = _lane(run)
        search = _search(run, workers, lane)
        search.run()
    finally:
        workers.close()
    study.put("notices", [*study.get("notices", []), *search.notices])
    study.put("ended", {"why": search.ended, "budget": plan.budget.to_json(), **_searched_by(plan)})
    again.note_search(plan, study, run.wall_s)
    return lane


def _asked_again(run: Run) -> Lane:
    """A finished study's lane; before that, what shared weights promise to be a cheaper answer is confirmed."""
    plan, study = run.plan, run.study
    trials, left_s = study.trials(), again.seconds_for(plan, study)
    started = time.monotonic()
    explorations = Explorations.of(plan, study) if left_s else None
    if explorations is None:
        return _lane(run)
    problem = StudyProblem(plan.goal, plan.metric, plan.seed, quality_floor(plan), known=explorations.known)
    strategy = again.strategy_for(problem, trials)
    if strategy is None or strategy.propose(plan.space, trials, [], problem) is None:
        return _lane(run)
    run.listen(Event("fact", "shared weights promise a cheaper answer to this goal; it is confirmed"))
    workers = _workers(run)
    try:
        workers.start()
        lane = _lane(run)
        search = _search(run, workers, lane)
        search.plan, search.end = replace(plan, strategy=strategy), lambda _: started + left_s
        search.run()
    finally:
        workers.close()
    again.note_again(plan, study, time.monotonic() - started)
    return lane


def _workers(run: Run) -> LocalWorkers:
    plan = run.plan
    if not isinstance(plan.task, PreparedTask):
        raise StudyError("'task' must be prepared before it is searched; use steelyard.tasks to make one.")
    save(plan.task, run.work / "task", with_test=False)
    setup = WorkerSetup(
        task=str((run.work / "task").resolve()),
        fits=str((plan.out / "artifacts" / "fits").resolve()),
        registry=plan.registry,
        recipe=plan.recipe,
        seed=plan.seed,
        metrics=plan.metric_addresses,
        monitor=plan.monitor,
        goal_metric=plan.goal_metric,
        plugins=plan.plugins,
        model=plan.model,
        given=None if plan.given is None else plan.given.to_json(),
        cpus=lanes(plan.workers)[1],
        shares=plan.sharing != "never" and plan.given is None,
    )
    return LocalWorkers(setup, plan.workers, run.start.worker)


def _search(run: Run, workers: LocalWorkers, lane: Lane) -> Search:
    plan = run.plan
    cpus = set(lanes(plan.workers)[1])
    # Several threads use every processor, so nothing may be trained meanwhile.
    has_threads = max([plan.threads, *plan.space.threads]) > 1
    explorations = Explorations.of(plan, run.study)
    problem = StudyProblem(plan.goal, plan.metric, plan.seed, quality_floor(plan))
    return Search(
        plan=plan,
        study=run.study,
        workers=workers,
        lane=lane,
        problem=problem,
        listen=run.listen,
        busy=run.busy,
        end=lambda trials: _end(run, trials),
        wall_s=lambda: run.wall_s,
        takes_turns=has_threads or cpus == {lane.protocol.cpu},
        prepare=run.start.prepare,
        explorations=explorations,
        looks=None if explorations is None or plan.given is not None else LookRounds(plan, run.study, explorations),
        survey=_survey(run, lane),
        halving=Halving.of(plan, problem),
    )


def _end(run: Run, trials: list[Trial]) -> float:
    """The moment (of the monotonic clock) at which searching ends, so that certifying and packing fit the budget."""
    wall_s = run.plan.budget.wall_s
    if wall_s is None:
        return float("inf")
    seeds_s = reseeding.reserve_s(run.plan, trials)
    return run.start.began + wall_s - run.spent_before.get("wall_s", 0.0) - reserve_s(trials) - seeds_s


def reserve_s(trials: list[Trial]) -> float:
    """Seconds that the last round, the report and the bundle will take, from the latencies seen so far."""
    latencies = sorted(
        trial.outcome.metrics["latency_p50_s"].value for trial in trials if isinstance(trial.outcome, Measurement)
    )[-MOST_TESTED:]
    return RESERVE_S + ROUND_S + ROUND_MODEL_S * min(MOST_TESTED, len(latencies) + 1) + CALLS * sum(latencies)


def is_finished(plan: Plan, study: Study) -> bool:
    """Whether an earlier run ended the search, and now no more is asked for: no larger budget, no other front."""
    ended = study.get("ended")
    if ended is None or {each.key for each in plan.earlier} - {trial.key for trial in study.trials()}:
        return False
    is_same = {"settings": settings_of(plan.strategy), **ended} == {**ended, **_searched_by(plan)}
    if ended["why"] == "the strategy has nothing left to propose" and is_same:
        return True
    before = ended["budget"]
    return _at_most(plan.budget.wall_s, before["wall_s"]) and _at_most(plan.budget.trials, before["trials"])


def _searched_by(plan: Plan) -> Plain:
    """The strategy and its settings, as a study notes them; older ones note no settings."""
    return {"strategy": plan.strategy.name, "settings": settings_of(plan.strategy)}


def _at_most(now: float | None, before: float | None) -> bool:
    """Whether a limit is no looser than another; None is no limit."""
    return before is None if now is None else before is None or now <= before


def quality_floor(plan: Plan) -> float:
    """The smallest reference value that relative drops are taken of: float32's resolution of the targets' spread."""
    if not isinstance(plan.task.output, ValueOutput) or plan.goal_metric != "rmse":
        return 0.0
    return FLOOR_SHARE * float(np.std(np.asarray(plan.task.train.y, dtype=np.float64)))
