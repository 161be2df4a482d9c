"""`steelyard find`: search, prove, pack."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Text = str | None
Many = list[str] | None
STRATEGY = typer.Option(help="elastic, ga, nsga2, tpe, random, grid, grow or compound. [elastic]")
HALVING = typer.Option("--halving/--no-halving", help="Stop hopeless trainings early. [--halving]")
STRATEGY_OPTION = typer.Option(help="Set an option of the strategy.", metavar="NAME=VALUE")
KNOB = typer.Option(help="Restrict a knob; try a runtime's options.", metavar="NAME=V1,V2,…")
STEPS = typer.Option(help="Steps to search: quantize,sparsify,share,encode. [int8, mixed]")
SCENARIO = typer.Option(help="Limits of a kind of use, by name or FILE.yaml.", metavar="NAME")
MEASURED = typer.Option(help="What a kit measured: choose by another machine's costs.")
EXAMPLES = """Examples:

  steelyard find digits

  steelyard find digits --model cnn --max-drop 0.02 --minimize latency

  steelyard find tabular-classification --data adult.parquet --target income --budget 5m

Exit status: 0 certified or estimated, 2 bad input, 3 infeasible (or not proved with --require-proof).
"""


def find(  # noqa: PLR0917  the parser fills parameters in by name
    context: typer.Context,
    task: Annotated[Text, typer.Argument(help="A built-in task, or with --data a kind of task.")] = None,
    data: Annotated[Text, typer.Option(help="Your data: .npz .csv .parquet .jsonl[.gz], a folder or .zip.")] = None,
    target: Annotated[Text, typer.Option(help="The column to be predicted.", metavar="COLUMN")] = None,
    model: Annotated[Text, typer.Option(help="Families, or file.py:function.", metavar="FAMILY[,…]")] = None,
    runtime: Annotated[Text, typer.Option(help="The runtime that ships. [onnxruntime]")] = None,
    max_drop: Annotated[Text, typer.Option(help="Permitted loss of quality, 0.01 or 1%. [0.01]")] = None,
    relative: Annotated[bool | None, typer.Option("--relative", help="The drop is a share of the reference.")] = None,
    absolute: Annotated[bool | None, typer.Option("--absolute", help="The drop is in the metric's unit.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Of the proof. [0.95]")] = None,
    require_proof: Annotated[bool | None, typer.Option("--require-proof", help="Estimated is not enough.")] = None,
    metric: Annotated[Text, typer.Option(help="Of quality: a name, or file.py:function.")] = None,
    min_quality: Annotated[float | None, typer.Option(help="Least quality, in the metric's unit.")] = None,
    minimize: Annotated[Text, typer.Option(help="latency, size, memory or energy. [latency]")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Limit on p95 latency.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Limit on the file's size, MB of 10^6 bytes.")] = None,
    max_memory_mb: Annotated[float | None, typer.Option(help="Limit on peak memory.")] = None,
    max_energy_mj: Annotated[float | None, typer.Option(help="Limit on energy an inference.")] = None,
    scenario: Annotated[Text, SCENARIO] = None,
    strategy: Annotated[Text, STRATEGY] = None,
    strategy_option: Annotated[Many, STRATEGY_OPTION] = None,
    scale: Annotated[Text, typer.Option(help="compound: depth, width, resolution together. [free]")] = None,
    budget: Annotated[Text, typer.Option(help="Of the whole command: 60s, 10m, 2h. [10m]")] = None,
    trials: Annotated[int | None, typer.Option(help="Confirmed candidates; alone it lifts the budget.")] = None,
    knob: Annotated[Many, KNOB] = None,
    steps: Annotated[Text, STEPS] = None,
    workers: Annotated[int | None, typer.Option(help="Training processes. [cores less one]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. [0]")] = None,
    seeds: Annotated[int | None, typer.Option(help="Train the finalists with so many seeds. [1]")] = None,
    halving: Annotated[bool | None, HALVING] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved question and stop.")] = False,
    loss: Annotated[Text, typer.Option(help="Your loss, file.py:function.")] = None,
    train: Annotated[Text, typer.Option(help="Your training loop, file.py:function.")] = None,
    preprocess: Annotated[Text, typer.Option(help="Your preprocessing, file.py:function.")] = None,
    optimizer: Annotated[Text, typer.Option(help="adam, rmsprop or sgd. [adam]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="[found by a range test]")] = None,
    epochs: Annotated[int | None, typer.Option(help="[until it stops improving]")] = None,
    group: Annotated[Text, typer.Option(help="Rows of one group stay together.", metavar="COLUMN")] = None,
    split_by: Annotated[Text, typer.Option(help="The column that splits the rows.", metavar="COLUMN")] = None,
    vocabulary: Annotated[Text, typer.Option(help="Of language modelling: char, byte or bpe. [char]")] = None,
    trust: Annotated[bool | None, typer.Option("--trust", help="Lift limits that guard against strangers.")] = None,
    batch: Annotated[int | None, typer.Option(help="Rows an inference. [1]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime. [1]")] = None,
    out: Annotated[Path | None, typer.Option(help="The study and its bundle. [steelyard-out/TASK-MODEL]")] = None,
    storage: Annotated[Text, typer.Option(help="An Optuna storage URL. [SQLite in --out]")] = None,
    measured: Annotated[Path | None, MEASURED] = None,
    warm_start: Annotated[Path | None, typer.Option(help="An earlier study, whose front comes first.")] = None,
    config: Annotated[Path | None, typer.Option(help="Options from a YAML file.")] = None,
    plugin: Annotated[Many, typer.Option(help="module:function extending the registry.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Find, prove and pack the right-sized model of a task."""
    from steelyard.cli.finding import answer  # noqa: PLC0415  `--help` must load nothing that searches

    given: dict[str, Any] = {name: value for name, value in context.params.items() if value is not None}
    for name in ("dry_run", "json", "config"):
        given.pop(name, None)
    given["knob"] = knob or None
    given["strategy_option"] = strategy_option or None
    given["plugin"] = tuple(plugin) if plugin else None
    return answer(given, config=config, dry_run=dry_run, as_json=json, stream=sys.stdout, started=context.obj)


find.__doc__ = f"{find.__doc__}\n\n{EXAMPLES}"
