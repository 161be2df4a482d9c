"""A process of its own that optimises strangers' models: what crashes or hangs there is one sentence here."""

import json
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from steelyard.core.errors import RuntimeFailureError

LIMIT_S = 60.0
"""Seconds that optimising a model may take; the largest files take two."""
MEMORY_BYTES = 16 << 30
"""Address space of the process: a model is below 2 GiB, and the runtime holds it a few times over."""


class Optimiser:
    """Optimises one model after another in one process; it starts at once, so that it is ready when it is needed."""

    def __init__(self) -> None:
        """Start the process."""
        self._process = self._start()

    def __enter__(self) -> Self:
        """The optimiser itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                # A request that a dead process never read is still in the buffer.
                with suppress(BrokenPipeError):
                    stream.close()

    def optimise(self, source: Path, target: Path, *, limit_s: float = LIMIT_S) -> None:
        """Write the optimised graph of `source` to `target`.

        Raises:
            RuntimeFailureError: if the runtime refuses the model, or crashes or hangs over it.
        """
        line = json.dumps({"source": str(source.resolve()), "target": str(target.resolve())})
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeFailureError("the optimising process has no streams.")
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], limit_s)
            text = process.stdout.readline() if ready else None
        except BrokenPipeError:
            text = ""
        if text:
            answer = json.loads(text)
            if not answer["ok"]:
                raise RuntimeFailureError(answer["error"])
            return
        self.close()
        ended = f"did not finish within {limit_s:.0f} s" if text is None else f"ended with status {process.returncode}"
        self._process = self._start()
        raise RuntimeFailureError(f"ONNX Runtime can't optimise {source.name}: its process {ended}.")

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "steelyard.runtimes.onnxruntime.optimise", str(MEMORY_BYTES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
