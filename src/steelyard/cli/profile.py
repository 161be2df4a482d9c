"""`steelyard profile`: what a model costs, on each runtime, measured."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

Text = str | None
EXAMPLES = """Examples:

  steelyard profile model.onnx

  steelyard profile model.onnx --shape tokens:1,128 --runtime onnxruntime,openvino

  steelyard profile small.onnx --compare large.onnx

  steelyard profile steelyard-out/digits-mlp --data new.npz --json
"""


def profile(  # noqa: PLR0917  the parser fills parameters in by name
    model: Annotated[str, typer.Argument(help="A model file, a bundle, or file.py:function.")],
    data: Annotated[Text, typer.Option(help="Real inputs: .npz .npy, a table; for a bundle any form.")] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="Of drawn inputs; once an input.", metavar="[NAME:]1,3,32,32")
    ] = None,
    runtime: Annotated[Text, typer.Option(help="Runtimes. [the file's own]", metavar="NAME[,…]")] = None,
    compare: Annotated[Text, typer.Option(help="Other models, measured beside this one.", metavar="MODEL[,…]")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Predict the latency; run nothing.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Of file.py:function: .safetensors or .pt.")] = None,
    batch: Annotated[int | None, typer.Option(help="Rows an inference. [1]")] = None,
    batches: Annotated[Text, typer.Option(help="Other batch sizes to try. [8,32]", metavar="N[,…]")] = None,
    threads: Annotated[int, typer.Option(help="Threads of the runtime.")] = 1,
    half_width: Annotated[str, typer.Option(help="Relative half-width of the interval to stop at.")] = "2%",
    budget: Annotated[str, typer.Option(help="For measuring latencies: 30s, 2m.")] = "60s",
    seed: Annotated[int, typer.Option(help="Of drawn inputs and of the order.")] = 0,
    trust: Annotated[bool, typer.Option("--trust", help="Open files that can run code when opened.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="module:function extending the registry.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Measure a model: time, memory, size, layers, on each runtime, with intervals."""
    from steelyard.api import profile as measured  # noqa: PLC0415  `--help` must load nothing that measures
    from steelyard.cli.progress import listener  # noqa: PLC0415
    from steelyard.cli.show import say_sheet  # noqa: PLC0415
    from steelyard.cli.streams import answer_alone  # noqa: PLC0415
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.report.profiled import sheet_of  # noqa: PLC0415

    options: dict[str, Any] = {
        "data": data,
        "shape": tuple(shape or ()),
        "runtime": runtime,
        "compare": compare,
        "weights": weights,
        "batch": batch,
        "batches": batches,
        "threads": threads,
        "half_width": half_width,
        "budget": budget,
        "estimate": estimate,
        "seed": seed,
        "trust": trust,
        "plugins": tuple(plugin or ()),
    }
    with answer_alone(), listener(sys.stderr) as listen:
        found = measured(model, listen=listen, **options)
    if json:
        print(dumps(found.to_json()))
    else:
        say_sheet(sheet_of(found), sys.stdout)
    return 0


profile.__doc__ = f"{profile.__doc__}\n\n{EXAMPLES}"
