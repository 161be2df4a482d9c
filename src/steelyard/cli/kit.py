"""`steelyard kit`: a zip that measures a bundle's models on another machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def kit(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    out: Annotated[Path | None, typer.Option(help="A new file. [BUNDLE-kit.zip]", metavar="FILE.zip")] = None,
    with_samples: Annotated[
        str | None,
        typer.Option(help="Put rows of this data in, up to 64; without it inputs are random.", metavar="DATA"),
    ] = None,
    preprocess: Annotated[
        str | None, typer.Option(help="The preprocessing that the bundle was made with, file.py:function.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Write a kit that measures a bundle's models on another machine.

    Example: steelyard kit steelyard-out/digits-mlp --out digits.zip
    """
    from steelyard.core.errors import InputError  # noqa: PLC0415  `--help` must load nothing that packs
    from steelyard.core.userfile import load_function  # noqa: PLC0415
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.engine.kit import make_kit  # noqa: PLC0415

    if preprocess is not None and with_samples is None:
        raise InputError(
            "'preprocess' needs rows to prepare: give --with-samples, or leave it out.", field="preprocess"
        )
    own = load_function(preprocess, field="preprocess") if preprocess is not None else None
    path, made = make_kit(bundle, out, samples=with_samples, preprocess=own)
    if json:
        print(dumps({**made.to_json(), "file": str(path.resolve())}))
        return 0
    inputs = "random inputs, no row of your data" if made.input_kind == "random" else "rows of your data"
    sys.stdout.write(
        f"wrote {path}: {len(made.points)} models, {inputs}\n"
        f"there: unpack it, pip install {' '.join(made.packages)}, python measure.py --out measured.json\n"
        f"then here: steelyard pack {bundle} --measured measured.json --out DIR\n"
    )
    return 0
