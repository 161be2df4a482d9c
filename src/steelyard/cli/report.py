"""`steelyard report`: a bundle's answer again, or two bundles side by side."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def report(
    bundle: Annotated[Path, typer.Argument(help="A bundle's directory.")],
    other: Annotated[Path | None, typer.Argument(help="A second bundle to compare with.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Show a bundle's answer, or compare two bundles of one environment.

    Example: steelyard report steelyard-out/digits-mlp steelyard-out/digits-cnn
    """
    from steelyard.cli.show import say_comparison, say_outcome  # noqa: PLC0415  `--help` must load nothing
    from steelyard.core.wire import dumps  # noqa: PLC0415

    outcomes = [outcome_of(path) for path in (bundle, other) if path is not None]
    if len(outcomes) == 1:
        if json:
            print(dumps(outcomes[0].to_json()))
        else:
            say_outcome(outcomes[0], sys.stdout)
        return 0
    names = (str(bundle), str(other))
    if json:
        bundles = [{"name": name, **each.to_json()} for name, each in zip(names, outcomes, strict=True)]
        same = outcomes[0].environment.key == outcomes[1].environment.key
        print(dumps({"schema": 1, "same_environment": same, "bundles": bundles}))
    else:
        say_comparison(outcomes[0], outcomes[1], names, sys.stdout)
    return 0


def outcome_of(bundle: Path) -> Any:
    """The answer that a bundle carries.

    Raises:
        BundleError: if it is no bundle, or its manifest was changed by hand.
    """
    from steelyard.core.errors import BundleError  # noqa: PLC0415  `--help` must load nothing
    from steelyard.core.outcome import Outcome  # noqa: PLC0415
    from steelyard.store.bundle import read_manifest  # noqa: PLC0415

    manifest = read_manifest(bundle)
    try:
        return Outcome.from_json(manifest["evidence"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {bundle} lacks its evidence or was changed; restore it or pack anew.", field="bundle"
        ) from error
