"""The contract of `steelyard.core.protocols.Strategy`."""

from collections.abc import Callable, Sequence

from steelyard.core.candidate import Candidate, Scale, Space
from steelyard.core.protocols import Problem, Strategy
from steelyard.core.trial import Trial
from steelyard.testing.contract import attempt, require, require_name
from steelyard.testing.fakes import FakeProblem, failed, measured, stopped

MOST_TRIALS = 200
"""Spaces larger than this are not exhausted, only searched this far."""
WORKERS = 3
"""Candidates that are pending at once."""

Ending = Callable[[int, Candidate], Trial]


def check_strategy(strategy: Strategy, space: Space, *, exhausts: bool = True) -> None:
    """Check a strategy on a space: three simulated studies, whose trials succeed, fail now and then, or all fail.

    Args:
        strategy: the strategy.
        space: where it searches; a small one (up to 200 candidates) is searched to its end.
        exhausts: whether the strategy must propose every candidate before it ends; one that stops at the first
            that is good enough need not.

    Raises:
        ContractError: one sentence on the first thing that does not hold.
    """
    require_name(strategy.name, "the strategy")
    endings: dict[str, Ending] = {
        "all succeed": succeeds,
        "every third fails or is stopped": _every_third,
        "all fail": failed,
    }
    for what, ending in endings.items():
        proposed = simulate(strategy, space, ending)
        if exhausts and space.size <= MOST_TRIALS:
            require(
                len(proposed) == space.size,
                f"{strategy.name} must propose all {space.size} candidates where {what}, got {len(proposed)}.",
            )
        require(proposed, f"{strategy.name} must propose at least one candidate, got none.")


def _every_third(number: int, candidate: Candidate) -> Trial:
    if number % 3 < 2:
        return succeeds(number, candidate)
    return failed(number, candidate) if number % 2 else stopped(number, candidate)


def simulate(strategy: Strategy, space: Space, ending: Ending, *, seed: int = 0) -> list[Candidate]:
    """Run a strategy to its end, checking each proposal; three candidates at a time, finished in the order begun.

    Args:
        strategy: the strategy.
        space: where it searches.
        ending: what a trial of a number and a candidate ends in.
        seed: of the study.

    Returns:
        What it proposed, in order.

    Raises:
        ContractError: if it proposes what it must not.
    """
    problem = FakeProblem(seed=seed, good_enough=0.5)
    # The baseline of a real study is finished as well, and lies outside of the space.
    finished = [succeeds(0, Candidate("outside-the-space", Scale()))]
    pending: list[Candidate] = []
    proposed: list[Candidate] = []
    while len(proposed) <= min(space.size, MOST_TRIALS):
        candidate = None
        if len(pending) < WORKERS:
            candidate = _proposal(strategy, space, finished, pending, problem)
        if candidate is not None:
            pending.append(candidate)
            proposed.append(candidate)
        elif pending:
            finished.append(ending(len(finished), pending.pop(0)))
        else:
            break
    return proposed


def _proposal(
    strategy: Strategy, space: Space, finished: Sequence[Trial], pending: Sequence[Candidate], problem: Problem
) -> Candidate | None:
    name = strategy.name
    kept = list(finished), list(pending)
    candidate = attempt(lambda: strategy.propose(space, finished, pending, problem), f"'propose' of {name}")
    require((list(finished), list(pending)) == kept, f"{name} must not change its arguments.")
    again = strategy.propose(space, tuple(finished), tuple(pending), problem)
    require(candidate == again, f"{name} must make one proposal for the same arguments, got {candidate} and {again}.")
    if candidate is None:
        return None
    require(isinstance(candidate, Candidate), f"{name} must propose a Candidate or None, got {candidate!r}.")
    require(candidate in space, f"{name} must propose candidates of the space, got {candidate}.")
    known = {trial.key for trial in finished}
    require(candidate.key not in known, f"{name} must not propose what is finished, got {candidate}.")
    waiting = {each.key for each in pending}
    require(candidate.key not in waiting, f"{name} must not propose what is pending, got {candidate}.")
    return candidate


def succeeds(number: int, candidate: Candidate) -> Trial:
    """Larger settings are better and dearer, a compressed form a little worse and cheaper."""
    size = 1.0 + sum(float(value) for _, value in candidate.scale.settings if isinstance(value, int | float))
    steps = len(candidate.steps)
    quality = size / (size + 4.0) - 0.01 * steps
    return measured(number, candidate, quality=quality, latency_s=1e-6 * size, size_bytes=100 * size / (1 + steps))
