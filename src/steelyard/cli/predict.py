"""`steelyard predict`: labels or values of new rows, from a bundle."""

from typing import Annotated

import typer


def predict(  # noqa: PLR0917  the parser fills parameters in by name
    bundle: Annotated[str, typer.Argument(help="A bundle's directory.")],
    data: Annotated[str, typer.Option(help="Rows: .npz .csv .parquet .jsonl[.gz], a folder or .zip of images.")],
    preprocess: Annotated[
        str | None, typer.Option(help="The preprocessing that the bundle was made with, file.py:function.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open a model file that can run code: one for the runtime torch.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Print the scores beside the labels.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Predict new rows with a bundle; needs no torch.

    Example: steelyard predict steelyard-out/digits-mlp --data new.npz
    """
    from steelyard.core.userfile import load_function  # noqa: PLC0415
    from steelyard.core.wire import dumps  # noqa: PLC0415  `--help` must load nothing that predicts
    from steelyard.engine.predictor import load  # noqa: PLC0415
    from steelyard.tasks.preprocess import decode  # noqa: PLC0415
    from steelyard.tasks.rows import read_rows  # noqa: PLC0415

    own = load_function(preprocess, field="preprocess") if preprocess is not None else None
    predictor = load(bundle, preprocess=own, trust=trust)
    outputs = predictor.scores(read_rows(data, predictor.input))
    labels = decode(predictor.output, outputs).tolist()
    if json:
        print(dumps({"schema": 1, "n": len(labels), "predictions": labels, "scores": outputs.tolist()}))
        return 0
    for label, row in zip(labels, outputs.tolist(), strict=True):
        if isinstance(label, list):
            # Outputs that are no decisions stand for themselves.
            print(*(f"{value:.6g}" for value in label), sep="\t")
            continue
        print(label, *(f"{value:.6g}" for value in row), sep="\t") if scores else print(label)
    return 0
