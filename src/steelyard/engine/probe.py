"""How long a candidate takes to train, told before the search by a few timed steps."""

import math
import time
from dataclasses import replace

from steelyard.engine.plan import Plan
from steelyard.engine.registries import extended_registry, family_name
from steelyard.families.own import Own

TYPICAL_EPOCHS = 25
"""Epochs until a training stops improving, as the families here take about that many on the built-in tasks."""
ROWS = 512
"""Rows that the probe trains on."""


def seconds_a_candidate(plan: Plan) -> dict[str, float]:
    """Rough training seconds of the smallest and the largest scale of the first family of networks; empty without one.

    One epoch on a few rows is timed and scaled to all rows and a typical number of epochs; early stopping makes the
    truth differ by a factor of two either way.
    """
    from steelyard.core.task import Rows  # noqa: PLC0415
    from steelyard.core.userfile import load_function  # noqa: PLC0415
    from steelyard.training.fit import Problem, fit  # noqa: PLC0415  imports torch: a search does so in its workers
    from steelyard.training.modules import use_one_thread  # noqa: PLC0415
    from steelyard.training.recipe import Recipe  # noqa: PLC0415

    use_one_thread()

    space = next((each for each in plan.space.families if each.is_module), None)
    if space is None:
        return {}
    is_own = plan.model is not None and family_name(plan.model) == space.family
    family = (
        Own(space.family, load_function(str(plan.model), field="model"))
        if is_own
        else extended_registry(plan.registry, plan.plugins).get("family", space.family)
    )
    task = plan.task
    some = Rows(task.train.x[:ROWS], task.train.y[:ROWS])
    few = Rows(task.valid.x[:16], task.valid.y[:16])
    recipe = replace(Recipe.from_json(plan.recipe), epochs=1, learning_rate=1e-4, loss=None, loop=None)
    times = {}
    for name, scale in (("smallest", space.smallest), ("largest", space.largest)):
        model = family.build(scale, task, plan.seed)
        problem = Problem(some, few, task.output, plan.metrics[plan.monitor], recipe, plan.seed)
        fit(model, problem)
        start = time.perf_counter()
        fit(model, problem)
        epoch_s = (time.perf_counter() - start) * math.ceil(len(task.train) / len(some))
        times[name] = epoch_s * (Recipe.from_json(plan.recipe).epochs or TYPICAL_EPOCHS)
    return times
