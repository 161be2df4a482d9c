"""A worker process: `python -m steelyard.engine.worker`. Makes candidates, one at a time, one torch thread.

Reads its setup, then assignments, as JSON lines from standard input and answers on the stream that was standard
output; whatever the user's own code prints goes to standard error instead. It imports torch before it reads its setup,
so that it can be started before the question is resolved.
"""

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from steelyard.core.errors import SteelyardError, WorkerError
from steelyard.core.userfile import load_function
from steelyard.core.wire import dumps
from steelyard.engine.messages import Assignment, Exploration, FormLooks, Made, WorkerSetup
from steelyard.engine.registries import extended_registry, family_name, metric_name, metric_of
from steelyard.families.own import Own


def main() -> int:
    """Serve assignments until standard input ends."""
    answers = _private_stdout()
    # The engine decides when a worker ends; Ctrl-C in the terminal reaches the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    _preload()
    line = sys.stdin.readline()
    if not line:
        return 0
    setup = WorkerSetup.from_json(json.loads(line))
    _confine(setup)
    try:
        workshop = open_workshop(setup)
    except Exception as error:  # noqa: BLE001  whatever it is, the engine must hear of it
        message = error.message if isinstance(error, SteelyardError) else f"{type(error).__name__}: {error}"
        _say(answers, {"refused": message})
        return 1
    _say(answers, {"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            made = _done(workshop, asked, lambda stage: _say(answers, {"stage": stage}))
        except WorkerError as error:
            _say(answers, {"failed": {"stage": error.stage, "message": error.message}})
        else:
            _say(answers, {"made": made.to_json()})
    return 0


def _done(workshop: Any, asked: Any, tell: Callable[[str], None]) -> Made:
    """What is asked for: a family explored, forms looked at, or a candidate made."""
    if "explore" in asked:
        made: Made = workshop.explore(Exploration.from_json(asked), tell)
    elif "look" in asked:
        made = workshop.look(FormLooks.from_json(asked), tell)
    else:
        made = workshop.make(Assignment.from_json(asked), tell)
    return made


def open_workshop(setup: WorkerSetup) -> Any:
    """The workshop of a setup: the task without its test rows, the families and metrics it names."""
    from steelyard.engine.making import Workshop  # noqa: PLC0415  imports torch: after the threads are set
    from steelyard.tasks.wire import load  # noqa: PLC0415
    from steelyard.training.recipe import Recipe  # noqa: PLC0415

    registry = extended_registry(setup.registry, setup.plugins)
    recipe = Recipe.from_json(setup.recipe)
    families = {name: registry.get("family", name) for name in registry.names("family")}
    if setup.model is not None:
        name = family_name(setup.model)
        families[name] = Own(name, load_function(setup.model, field="model"))
    task = load(Path(setup.task))
    metrics = {metric_name(address): metric_of(address) for address in setup.metrics}
    chain, elastic, structures = None, None, None
    own_loss = load_function(recipe.loss, field="loss") if recipe.loss else None
    loop = load_function(recipe.loop, field="train") if recipe.loop else None
    if setup.shares and loop is None:
        from steelyard.engine.elastic import SharedWeights  # noqa: PLC0415  imports torch

        watched, asked = metrics[setup.monitor], metrics[setup.goal_metric]
        elastic = SharedWeights(
            task, families, recipe, watched, asked, setup.seed, Path(setup.fits), registry, own_loss
        )
    if setup.given is not None:
        from steelyard.engine.chain import Chain  # noqa: PLC0415  imports torch
        from steelyard.engine.given import GivenModel  # noqa: PLC0415

        given = GivenModel.from_json(setup.given)
        chain = Chain(given, task, registry, metrics[setup.goal_metric], setup.seed, Path(setup.fits))
        if given.is_module:
            from steelyard.engine.slimming import SharedStructures  # noqa: PLC0415  imports torch

            structures = SharedStructures(chain)
            chain.sliced = structures.sliced
    return Workshop(
        task=task,
        registry=registry,
        families=families,
        recipe=recipe,
        metrics=metrics,
        monitor=setup.monitor,
        goal_metric=setup.goal_metric,
        seed=setup.seed,
        fits=Path(setup.fits),
        loss=own_loss,
        loop=loop,
        chain=chain,
        elastic=elastic,
        structures=structures,
    )


def _preload() -> None:
    """Import what every candidate needs: seconds that pass beside the engine's own start."""
    for name in ("steelyard.engine.making", "steelyard.families.nets", "steelyard.tasks.wire", "onnxruntime"):
        importlib.import_module(name)


def _confine(setup: WorkerSetup) -> None:
    """One thread, the training lane's processors, and no more memory than the machine has."""
    if setup.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(setup.cpus))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # A refused allocation is an error with a stage; a process killed for memory is a riddle.
    resource.setrlimit(resource.RLIMIT_AS, (total, resource.getrlimit(resource.RLIMIT_AS)[1]))
    from steelyard.training.modules import use_one_thread  # noqa: PLC0415  imports torch: after the limits are set

    use_one_thread()


def _end_with_parent(parent: int) -> None:
    """End this process once the engine is gone, however it went: own code may sleep and never read its input's end."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _private_stdout() -> IO[str]:
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return stream


def _say(stream: IO[str], message: Any) -> None:
    stream.write(dumps(message) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
