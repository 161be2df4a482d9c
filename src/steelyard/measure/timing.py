"""Timing in the measuring process: warm-up until steady, then interleaved blocks of calls.

Runs in the child, so it imports nothing but numpy and the yardstick.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Model = TypeVar("Model")
Run = Callable[[Any], object]
Rows = NDArray[Any] | Mapping[str, NDArray[Any]]
"""Input rows (n, ...) of a model with one input, or by name of one with several."""
Batches = Sequence[Rows]

NS = 1e-9
"""Seconds in a nanosecond."""

STEADY = 0.98
"""A model is warm when a block's median is no longer below this share of the one before."""

WARM_BLOCK_S = 0.01
"""Length of a warm-up block: long enough for a median, short enough to see it fall."""

WARM_LIMIT_S = 0.5
"""Warm-up ends here even if times still fall; then they drift for another reason."""

CALLS_PER_BLOCK = 256
"""No block needs more calls: its median is known to a few parts in a thousand by then."""

LONGEST_BLOCK_S = 0.025
"""Blocks of slow models stay below this where they can, so that the yardstick is never far away."""

ROUNDS = (16, 64)
"""Fewest and most rounds a process: enough blocks to resample, not so many that slow models take minutes."""

DISTINCT_BATCHES = 64
"""How many different batches a model is fed in turn; more would only fill memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one model is timed: in how many blocks, of how many calls each."""

    blocks: int
    calls: int


def make_batches(rows: Rows, batch: int, *, stacked: bool = False) -> list[Rows]:
    """Contiguous batches of `rows` (n, ...) as (batch, ...), cycling through the rows where they are too few.

    Named arrays are cut at the same rows. Where inputs don't share their first axis, `stacked` rows (k, ...) hold the
    input of one inference each, whole.
    """
    if stacked:
        named = rows if isinstance(rows, Mapping) else {"": rows}
        parts = [
            {name: np.ascontiguousarray(array[index]) for name, array in named.items()}
            for index in range(min(DISTINCT_BATCHES, *map(len, named.values()), DISTINCT_BATCHES))
        ]
        return [part if isinstance(rows, Mapping) else part[""] for part in parts]
    length = min(map(len, rows.values())) if isinstance(rows, Mapping) else len(rows)
    count = min(DISTINCT_BATCHES, max(1, length // batch))
    picks = np.arange(count * batch).reshape(count, batch) % length
    if isinstance(rows, Mapping):
        return [{name: np.ascontiguousarray(array[pick]) for name, array in rows.items()} for pick in picks]
    return [np.ascontiguousarray(rows[pick]) for pick in picks]


def shuffled(models: Sequence[Model], seed: int) -> list[Model]:
    """The models in an order that the seed fixes."""
    order = list(models)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order of loading is no secret
    return order


def time_block(run: Run, batches: Batches, start: int, calls: int) -> list[int]:
    """Nanoseconds of each of `calls` calls, the first one fed with batch `start`."""
    times = []
    count = len(batches)
    for index in range(start, start + calls):
        batch = batches[index % count]
        begin = perf_counter_ns()
        run(batch)
        times.append(perf_counter_ns() - begin)
    return times


def warm_up(run: Run, batches: Batches, least_s: float) -> float:
    """Run until the times stop falling, at least `least_s` seconds; returns the last block's median in seconds."""
    began = perf_counter_ns()
    last = median(time_block(run, batches, 0, 2)) * NS
    while True:
        calls = max(1, min(CALLS_PER_BLOCK, round(WARM_BLOCK_S / max(last, NS))))
        now = median(time_block(run, batches, 0, calls)) * NS
        spent = (perf_counter_ns() - began) * NS
        if spent >= WARM_LIMIT_S or (spent >= least_s and now >= STEADY * last):
            return now
        last = now


def plan_round(call_s: Mapping[str, float], *, calls: int, block_s: float, cap_s: float) -> tuple[int, dict[str, Plan]]:
    """Rounds, and for each model its blocks and calls a block.

    Every model gets `calls` calls, in blocks of about `block_s` seconds, and at most about `cap_s` seconds in all (at
    least three calls). A slow model gets more rounds before it gets longer blocks.

    Args:
        call_s: seconds of one call by model.
        calls: fewest calls a model.
        block_s: seconds a block should take.
        cap_s: seconds a model may take.
    """
    wanted = [min(calls * seconds, cap_s) / LONGEST_BLOCK_S for seconds in call_s.values()]
    rounds = min(ROUNDS[1], max(ROUNDS[0], *(math.ceil(each) for each in wanted)))
    plans = {}
    for key, seconds in call_s.items():
        affordable = max(3, int(cap_s / seconds))
        blocks = min(rounds, affordable)
        least = math.ceil(calls / blocks)
        usual = min(CALLS_PER_BLOCK, round(block_s / seconds))
        plans[key] = Plan(blocks, max(1, min(max(least, usual), affordable // blocks)))
    return rounds, plans


def is_due(index: int, rounds: int, blocks: int) -> bool:
    """Whether a model with `blocks` blocks, spread evenly over `rounds` rounds, has one in round `index`."""
    return (index + 1) * blocks // rounds > index * blocks // rounds


def interleave(
    runs: Mapping[str, Run],
    batches: Batches,
    rounds: int,
    plans: Mapping[str, Plan],
    *,
    seed: int,
    note: Callable[[str], None],
) -> dict[str, list[list[int]]]:
    """Blocks of nanoseconds by model, measured round-robin in an order that is shuffled anew each round.

    `note` is told the model before each of its blocks, so that a crash can be blamed on it.
    """
    shuffler = random.Random(seed)  # noqa: S311 - an order of measuring is no secret
    blocks: dict[str, list[list[int]]] = {key: [] for key in runs}
    order = list(runs)
    for index in range(rounds):
        shuffler.shuffle(order)
        for key in order:
            plan = plans[key]
            if is_due(index, rounds, plan.blocks):
                note(key)
                done = len(blocks[key]) * plan.calls
                # One untimed call: the caches hold the previous model's weights, not this one's.
                runs[key](batches[done % len(batches)])
                blocks[key].append(time_block(runs[key], batches, done, plan.calls))
    return blocks
