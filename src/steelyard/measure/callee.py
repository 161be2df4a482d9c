"""The called process: `python -m steelyard.measure.callee`.

Reads one JSON request from standard input: the address of a function, its arguments by name, and limits; writes one
JSON line with what the function returned, or what went wrong. `steelyard.measure.calling` is the other end.
"""

import json
import os
import resource
import sys
from typing import Any

from steelyard.core.errors import SteelyardError
from steelyard.core.registry import import_object
from steelyard.core.wire import without_nan
from steelyard.measure.child import Answer, Progress, Request, describe, settle


def answer_call(request: Request, progress: Progress) -> Answer:
    """What the function returned, or the error of ours that it raised."""
    progress(request["key"])
    if request["memory_bytes"] is not None:
        # What the process may claim beyond what it has; a library's reserved but unused addresses don't count.
        resource.setrlimit(resource.RLIMIT_DATA, (request["memory_bytes"],) * 2)
    function = import_object(request["function"])
    try:
        return {"returned": without_nan(function(**request["arguments"]))}
    except SteelyardError as error:
        return {"refused": {"kind": error.kind, "message": error.message, "field": error.field}}
    except MemoryError:
        return {"error": f"it needs more than {request['memory_bytes']} bytes of memory", "key": progress.key}


def main() -> int:
    """Answer the request on standard input; the exit status is 0 where an answer or an error was written."""
    stream = os.dup(1)
    # Whatever a library prints goes to standard error: the answer stands alone.
    os.dup2(2, 1)
    request: dict[str, Any] = json.loads(sys.stdin.read())
    progress = Progress(request.get("progress"), request.get("parent"))
    try:
        settle(request)
        answer = answer_call(request, progress)
    except Exception as error:  # noqa: BLE001 - a library may raise anything; the parent turns it into its own error
        answer = {"error": describe(error), "key": progress.key}
    with os.fdopen(stream, "wb") as out:
        out.write((json.dumps(answer) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
