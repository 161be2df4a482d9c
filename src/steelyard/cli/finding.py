"""What `steelyard find` does once its options are read."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from steelyard import api
from steelyard.cli.config import read_config
from steelyard.cli.options import knobs_of, request_options, strategy_options_of
from steelyard.cli.progress import listener
from steelyard.cli.show import say_outcome
from steelyard.cli.streams import answer_alone
from steelyard.core.errors import InputError
from steelyard.core.outcome import Outcome
from steelyard.core.wire import dumps


def answer(
    given: Mapping[str, Any],
    *,
    config: Path | None,
    dry_run: bool,
    as_json: bool,
    stream: IO[str],
    started: float | None = None,
) -> int:
    """Run a search (or show what it would be) and print the answer; returns the exit status.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    options = merged(read_config(config) if config else {}, given)
    if isinstance(options.get("knob"), list):
        options["knob"] = knobs_of(options["knob"])
    if isinstance(options.get("strategy_option"), list):
        options["strategy_option"] = strategy_options_of(options["strategy_option"])
    options = with_scenario(options)
    task = options.pop("task", None)
    if task is None:
        raise InputError("'task' must be named, such as digits; `steelyard list tasks` shows them.", field="task")
    request = request_options(options)
    if dry_run:
        from steelyard.cli.dryrun import describe_plan, plan_text  # noqa: PLC0415  needed here alone

        with answer_alone():
            plan = describe_plan(api.resolve(task, **request))
        stream.write((dumps(plan) if as_json else plan_text(plan)) + "\n")
        return 0
    with answer_alone(), listener(sys.stderr) as listen:
        outcome = api.find(task, listen=listen, started=started, **request)
    if as_json:
        stream.write(dumps(outcome.to_json()) + "\n")
    else:
        say_outcome(outcome, stream)
    return exit_status(outcome)


def answer_compress(
    given: Mapping[str, Any], *, dry_run: bool, as_json: bool, stream: IO[str], started: float | None = None
) -> int:
    """Compress a model (or show what would be tried) and print the answer; returns the exit status.

    Raises:
        InputError: one sentence on the first thing that can't be used.
    """
    options = with_scenario({name: value for name, value in given.items() if value is not None})
    model = options.pop("model", None)
    if model is None:
        raise InputError("'model' must be named, such as model.onnx or file.py:function.", field="model")
    request = request_options(options)
    if dry_run:
        from steelyard.cli.dryrun import describe_plan, plan_text  # noqa: PLC0415  needed here alone

        with answer_alone():
            plan = describe_plan(api.resolve_compress(model, **request))
        stream.write((dumps(plan) if as_json else plan_text(plan)) + "\n")
        return 0
    with answer_alone(), listener(sys.stderr) as listen:
        outcome = api.compress(model, listen=listen, started=started, **request)
    if as_json:
        stream.write(dumps(outcome.to_json()) + "\n")
    else:
        say_outcome(outcome, stream)
    return exit_status(outcome)


def merged(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a config file under those of the command line, which win; None means not given."""
    flags = {name: value for name, value in given.items() if value is not None}
    base = dict(config)
    for one, other in (("relative", "absolute"), ("absolute", "relative")):
        # The command line's choice of the two replaces the file's, which would contradict it.
        if flags.get(one) and not flags.get(other):
            base.pop(other, None)
    return {**base, **flags}


def with_scenario(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options over the goal of the scenario that they name, if they name one.

    Raises:
        InputError: if there is no such scenario, or its file can't be used.
    """
    if options.get("scenario") is None:
        return dict(options)
    from steelyard.select.scenario import read_scenario  # noqa: PLC0415  needed here alone

    return {**read_scenario(str(options["scenario"])).asked, **options}


def exit_status(outcome: Outcome) -> int:
    """0 certified or estimated, 3 infeasible, and 3 for estimated where a proof was required."""
    if outcome.status == "infeasible":
        return 3
    return 3 if outcome.status == "estimated" and outcome.goal.require_proof else 0
