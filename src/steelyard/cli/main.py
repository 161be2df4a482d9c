"""The command line: the only place that prints or parses arguments."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import typer

from steelyard.cli.check import check
from steelyard.cli.compress import compress
from steelyard.cli.doctor import doctor
from steelyard.cli.find import find
from steelyard.cli.init import init
from steelyard.cli.kit import kit
from steelyard.cli.listing import listing
from steelyard.cli.pack import pack
from steelyard.cli.predict import predict
from steelyard.cli.profile import profile
from steelyard.cli.report import report
from steelyard.cli.streams import abandon_output, prepare_streams
from steelyard.cli.usage import usage_sentence
from steelyard.core.errors import InputError, MissingExtraError, SteelyardError
from steelyard.core.version import __version__
from steelyard.core.wire import dumps

IMPORTED = time.monotonic()
"""When the command began, as far as can be told: the budget counts its imports too."""

app = typer.Typer(
    name="steelyard",
    help="How big should this model be? Finds, proves and packs the right-sized model for the hardware it ships to.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("find")(find)
app.command("compress")(compress)
app.command("profile")(profile)
app.command("predict")(predict)
app.command("pack")(pack)
app.command("kit")(kit)
app.command("report")(report)
app.command("list")(listing)
app.command("doctor")(doctor)
app.command("init")(init)
app.command("check")(check)


class StoppedError(BaseException):
    """SIGINT or SIGTERM arrived; the exit status says which. No library's own handling of Ctrl-C comes between."""

    def __init__(self, number: int) -> None:
        """Keep the exit status of the signal."""
        super().__init__()
        self.status = 128 + number


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 a fault of ours, 2 bad input, 3 infeasible, 130 and 143 interrupted."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv), started=IMPORTED))


def run(argv: list[str], *, started: float | None = None) -> int:  # noqa: PLR0911  each kind of ending has its status
    """Run a command; returns the exit status. Errors are one sentence, or one JSON object with `--json`."""
    wants_json = "--json" in argv
    prepare_streams(wants_json=wants_json)
    handlers = _handle_signals()
    try:
        status = typer.main.get_command(app).main(
            argv, prog_name="steelyard", standalone_mode=False, obj=time.monotonic() if started is None else started
        )
        sys.stdout.flush()
    except StoppedError as stop:
        return _interrupted(stop.status)
    except KeyboardInterrupt:
        return _interrupted(130)
    except SteelyardError as error:
        return _fail(error.kind, error.message, error.field, status_of(error), wants_json)
    except BrokenPipeError:
        abandon_output()
        return 1
    except OSError as error:
        return _fail("system", system_sentence(error), "out", 2, wants_json)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            return _usage(error, argv, wants_json)
        if os.environ.get("STEELYARD_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}; this is a fault of steelyard: STEELYARD_DEBUG=1 shows where."
        return _fail("fault", text, None, 1, wants_json)
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is _stop:
                signal.signal(number, handler)
    return status if isinstance(status, int) else 0


def status_of(error: SteelyardError) -> int:
    """2 for what the user can mend, 1 for what we must."""
    return 2 if isinstance(error, InputError | MissingExtraError) else 1


def _usage(error: Any, argv: Sequence[str], wants_json: bool) -> int:
    """What the argument parser refuses: exit status 2, and whatever status an `Exit` carries."""
    name = type(error).__name__
    if name in ("Exit", "Abort"):
        return int(error.exit_code) if name == "Exit" else _interrupted(130)
    if name == "NoArgsIsHelpError" and not wants_json:
        print(error.format_message(), file=sys.stderr)
        return 2
    message, field = usage_sentence(error, argv)
    return _fail("usage", message, field, 2, wants_json)


def _fail(kind: str, message: str, field: str | None, status: int, wants_json: bool) -> int:
    """Say what is wrong in one line: foreign errors inside a sentence may have come with several."""
    message = " ".join(message.split())
    try:
        print(f"steelyard: {message}", file=sys.stderr)
        if wants_json:
            print(dumps({"schema": 1, "error": {"kind": kind, "message": message, "field": field}}), flush=True)
    except OSError:
        abandon_output()
    return status


def system_sentence(error: OSError) -> str:
    """What the system refused; numpy says of a full disk only how many bytes it could not write."""
    if error.errno == errno.ENOSPC or (error.errno is None and "written" in str(error)):
        return "the disk is full; free space and run the same command again, or name another --out."
    what = error.filename or "a file or stream"
    return f"{what} can't be used ({error.strerror or error}); check it, or name another place."


def _interrupted(status: int) -> int:
    with suppress(OSError):
        print("\nInterrupted; run the same command again to go on from here.", file=sys.stderr)
    return status


def _handle_signals() -> dict[int, Any]:
    """Turn SIGINT and SIGTERM into `StoppedError`, unless they are ignored; returns what handled them before."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _stop)
    return before


def _stop(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C must not break off the tidying up that the first one began.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    del frame
    raise StoppedError(number)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        print(f"steelyard {__version__}")
        raise typer.Exit


if __name__ == "__main__":
    main()
