"""Print answers: fitted to a terminal, plain text elsewhere."""

from typing import IO

from steelyard.core.outcome import Outcome
from steelyard.report.profiled import Sheet


def say_outcome(outcome: Outcome, stream: IO[str]) -> None:
    """Print an answer."""
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415  heavy, and only terminals need it

        from steelyard.report.terminal import TerminalReport  # noqa: PLC0415

        Console(file=stream).print(TerminalReport(outcome))
        return
    from steelyard.report import plain  # noqa: PLC0415

    stream.write(plain.render(outcome))


def say_comparison(first: Outcome, second: Outcome, names: tuple[str, str], stream: IO[str]) -> None:
    """Print two answers side by side."""
    from steelyard.report.compare import compare  # noqa: PLC0415

    comparison = compare(first, second, names)
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415  heavy, and only terminals need it

        from steelyard.report.terminal import TerminalComparison  # noqa: PLC0415

        Console(file=stream).print(TerminalComparison(comparison))
        return
    from steelyard.report import plain  # noqa: PLC0415

    stream.write(plain.render_comparison(comparison))


def say_sheet(sheet: Sheet, stream: IO[str]) -> None:
    """Print tables and sentences."""
    if stream.isatty():
        from rich.console import Console  # noqa: PLC0415  heavy, and only terminals need it

        from steelyard.report.terminal import TerminalComparison  # noqa: PLC0415

        Console(file=stream).print(TerminalComparison(sheet))
        return
    from steelyard.report import plain  # noqa: PLC0415

    stream.write(plain.render_comparison(sheet))
