"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from steelyard.core.events import Event, Listener

QUIET_S = 10.0
"""Without a terminal, what is happening now is said at most this often; what finished is always said."""


@contextmanager
def listener(stream: IO[str]) -> Iterator[Listener]:
    """A listener that shows events on a stream for as long as the block runs."""
    if stream.isatty():
        with _bars(stream) as listen:
            yield listen
    else:
        yield _lines(stream)


def _lines(stream: IO[str]) -> Listener:
    last = [0.0]

    def listen(event: Event) -> None:
        now = time.monotonic()
        if event.kind == "stage":
            if now - last[0] < QUIET_S:
                return
            last[0] = now
        counted = f"[{event.finished}] " if event.kind == "trial" else ""
        print(f"{counted}{event.text}{_left(event)}", file=stream, flush=True)

    return listen


def _left(event: Event) -> str:
    return f" ({event.left_s:.0f} s left)" if event.left_s is not None and event.kind != "fact" else ""


@contextmanager
def _bars(stream: IO[str]) -> Iterator[Listener]:
    from rich.console import Console  # noqa: PLC0415  heavy, and only terminals need it
    from rich.markup import escape  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

    console = Console(file=stream)
    columns = (SpinnerColumn(), BarColumn(bar_width=20), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=None)

        def listen(event: Event) -> None:
            if event.kind == "stage":
                left = f"{event.left_s:.0f} s left · " if event.left_s is not None else ""
                text = f"{event.finished} done · {left}{event.text}"
                progress.update(bar, description=escape(text), completed=event.finished, total=event.total)
            else:
                style = "yellow" if event.kind == "notice" else "dim" if event.kind == "trial" else ""
                progress.console.print(escape(event.text), style=style, highlight=False)

        yield listen
