"""`steelyard compress`: a model that is there already, made smaller and faster, proved and packed."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Text = str | None
EXAMPLES = """Examples:

  steelyard compress model.onnx --data rows.npz --max-drop 1%

  steelyard compress model.py:build --weights model.safetensors --data rows.npz --max-drop 0.01 --budget 5m

  steelyard compress model.onnx --data rows.npz --steps quantize --minimize size

Exit status: 0 certified or estimated, 2 bad input, 3 infeasible (or not proved with --require-proof).
"""


def compress(  # noqa: PLR0917  the parser fills parameters in by name
    context: typer.Context,
    model: Annotated[Text, typer.Argument(help="An .onnx or .keras file, or file.py:function.")] = None,
    data: Annotated[Text, typer.Option(help="Rows: .npz, a table, a folder or .zip of class folders.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Of a module: .safetensors, or .pt read weights-only.")] = None,
    task: Annotated[Text, typer.Option(help="classification, regression or label-free. [told by the targets]")] = None,
    steps: Annotated[Text, typer.Option(help="Steps that may be used: prune,distill,quantize,… [all]")] = None,
    target: Annotated[Text, typer.Option(help="The column of the labels.", metavar="COLUMN")] = None,
    runtime: Annotated[Text, typer.Option(help="The runtime that ships. [onnxruntime]")] = None,
    max_drop: Annotated[Text, typer.Option(help="Permitted loss of quality, 0.01 or 1%. [0.01]")] = None,
    relative: Annotated[bool | None, typer.Option("--relative", help="The drop is a share of the reference.")] = None,
    absolute: Annotated[bool | None, typer.Option("--absolute", help="The drop is in the metric's unit.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Of the proof. [0.95]")] = None,
    require_proof: Annotated[bool | None, typer.Option("--require-proof", help="Estimated is not enough.")] = None,
    metric: Annotated[Text, typer.Option(help="Of quality: a name, or file.py:function.")] = None,
    min_quality: Annotated[float | None, typer.Option(help="Least quality, in the metric's unit.")] = None,
    minimize: Annotated[Text, typer.Option(help="latency, size or memory. [latency]")] = None,
    max_latency_ms: Annotated[float | None, typer.Option(help="Limit on p95 latency.")] = None,
    max_size_mb: Annotated[float | None, typer.Option(help="Limit on the file's size, MB of 10^6 bytes.")] = None,
    max_memory_mb: Annotated[float | None, typer.Option(help="Limit on peak memory.")] = None,
    max_energy_mj: Annotated[float | None, typer.Option(help="Limit on energy an inference.")] = None,
    scenario: Annotated[
        Text, typer.Option(help="Limits of a kind of use, by name or FILE.yaml.", metavar="NAME")
    ] = None,
    strategy: Annotated[Text, typer.Option(help="shrink, elastic, random, grid or tpe. [shrink]")] = None,
    budget: Annotated[Text, typer.Option(help="Of the whole command: 60s, 10m, 2h. [10m]")] = None,
    trials: Annotated[int | None, typer.Option(help="Confirmed candidates; alone it lifts the budget.")] = None,
    workers: Annotated[int | None, typer.Option(help="Training processes. [cores less one]")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. [0]")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the resolved question and stop.")] = False,
    preprocess: Annotated[Text, typer.Option(help="Your preprocessing, file.py:function.")] = None,
    group: Annotated[Text, typer.Option(help="Rows of one group stay together.", metavar="COLUMN")] = None,
    split_by: Annotated[Text, typer.Option(help="The column that splits the rows.", metavar="COLUMN")] = None,
    trust: Annotated[bool | None, typer.Option("--trust", help="Open files that can run code.")] = None,
    batch: Annotated[int | None, typer.Option(help="Rows an inference. [1]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the runtime. [1]")] = None,
    out: Annotated[Path | None, typer.Option(help="The study and its bundle. [steelyard-out/TASK-MODEL]")] = None,
    storage: Annotated[Text, typer.Option(help="An Optuna storage URL. [SQLite in --out]")] = None,
    plugin: Annotated[list[str] | None, typer.Option(help="module:function extending the registry.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Make a model smaller and faster, as far as it stays good, and prove that it does."""
    from steelyard.cli.finding import answer_compress  # noqa: PLC0415  `--help` must load nothing that searches

    given: dict[str, Any] = {name: value for name, value in context.params.items() if value is not None}
    for name in ("dry_run", "json"):
        given.pop(name, None)
    given["steps"] = None if steps is None else tuple(each.strip() for each in steps.split(",") if each.strip())
    given["plugin"] = tuple(plugin) if plugin else None
    return answer_compress(given, dry_run=dry_run, as_json=json, stream=sys.stdout, started=context.obj)


compress.__doc__ = f"{compress.__doc__}\n\n{EXAMPLES}"
