"""Files that are made once a study, however many candidates and workers ask for them."""

import fcntl
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steelyard.core.wire import dumps, write_text


def made_once(home: Path, report: str, make: Callable[[Path], Any]) -> Any:
    """What `make` reports of the files it made, which end up in `home`; an earlier report where there is one.

    Candidates that differ only in options share their files, so one may be asked for by two workers at a time: the
    second waits, and the kernel lets go of the lock of a worker that dies. Files appear by renaming, because a sibling
    may be measured from files of the same name; the report comes last, and a folder without it is not finished.

    Args:
        home: the folder of the files.
        report: the name of the report in it.
        make: writes files into the folder that it is given, and returns a plain report.
    """
    home.mkdir(parents=True, exist_ok=True)
    finished = home / report
    with (home / ".lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if finished.is_file():
            return json.loads(finished.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            found = make(Path(folder))
            for made in sorted(Path(folder).iterdir()):
                made.replace(home / made.name)
        write_text(finished, dumps(found))
    return found
