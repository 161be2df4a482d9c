"""The evidence that a bundle carries: the answer it was packed with, read back."""

from dataclasses import replace
from pathlib import Path

from steelyard.core.errors import BundleError
from steelyard.core.outcome import Drop, Outcome, Point
from steelyard.core.wire import Plain


def read_evidence(source: Path, manifest: Plain) -> Outcome:
    """The answer in a bundle's manifest.

    Raises:
        BundleError: if the manifest lacks it, or it was changed.
    """
    try:
        return Outcome.from_json(manifest["evidence"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of {source} lacks its evidence or was changed; restore it or pack anew.", field="bundle"
        ) from error


def packed_points(outcome: Outcome) -> dict[str, Point]:
    """The points whose files a bundle holds, by key: the front, the proved, the chosen one, the reference."""
    points = {point.key: point for point in (*outcome.points, *outcome.front, outcome.chosen, outcome.reference)}
    return {key: point for key, point in points.items() if point.artifact}


def is_proved(point: Point) -> bool:
    """Whether the point's own test on the test rows proved all that was asked of it."""
    proof = point.notes.get("proof") or {}
    # Bundles of before this field say of the drop alone whether it was proved.
    return bool(proof.get("proved", proof.get("rejected")))


def drop_of(outcome: Outcome, point: Point) -> Drop:
    """What the test rows say of the drop of a point, chosen or not; unknown where it was not tested."""
    proof = point.notes.get("proof") or {}
    return replace(
        outcome.drop,
        value=proof.get("value"),
        high=proof.get("high"),
        method=proof.get("method", "not tested"),
        exact=bool(proof.get("exact", False)),
        samples_needed=None,
    )
