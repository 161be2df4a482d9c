"""What a running search says of itself, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `kind` "fact" and "notice" are sentences for the user; "trial" is a finished candidate; "stage" says what is
    happening now. `finished` counts finished candidates, `total` how many there will be where that is known,
    `left_s` the seconds left of the budget where there is one.
    """

    kind: Literal["fact", "notice", "trial", "stage"]
    text: str
    finished: int = 0
    total: int | None = None
    left_s: float | None = None


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Hears nothing."""
    del event
