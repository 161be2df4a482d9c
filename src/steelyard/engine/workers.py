"""Local workers: processes that make candidates, each with its own thread here that waits for it."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from steelyard.core.errors import InputError, WorkerError
from steelyard.core.wire import dumps
from steelyard.engine.messages import Assignment, Exploration, FormLooks, Made, WorkerSetup

START_S = 120.0
"""Seconds a worker may take to start; importing torch takes a few on an idle machine, far more on a crowded one."""


class WorkerProcess:
    """One worker process; started on first use, started again after a death."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._process: subprocess.Popen[str] | None = None
        self._pump: threading.Thread | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._ready = False
        self._is_buried = False
        self.stage = "train"

    def start(self) -> None:
        """Start the process without waiting for it to be ready; it imports until it is set up."""
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "steelyard.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Own code may print samples; only who looks for a fault gets to see it.
            stderr=None if os.environ.get("STEELYARD_DEBUG") else subprocess.DEVNULL,
            text=True,
            env={**os.environ, **threads},
            start_new_session=True,
        )
        self._lines = queue.Queue()
        self._pump = threading.Thread(target=_pump, args=(self._process, self._lines), daemon=True)
        self._pump.start()
        self._ready = False
        self._is_buried = False

    def make(
        self,
        setup: WorkerSetup,
        assignment: Assignment | Exploration | FormLooks,
        kill_s: float,
        stage_changed: Callable[[str], None],
    ) -> Made:
        """Have one candidate made; kill the process if it takes longer than `kill_s`. The first one sets it up.

        Raises:
            WorkerError: if the candidate failed, or the process died or hung.
        """
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self.start()
        self.stage = "train"
        if not self._ready:
            self._say(setup.to_json())
            self._await_ready()
        deadline = time.monotonic() + kill_s
        self._say(assignment.to_json())
        while True:
            message = self._next(deadline, f"hung for more than {kill_s:.0f} s and was ended.")
            if "stage" in message:
                self.stage = message["stage"]
                stage_changed(self.stage)
            elif "failed" in message:
                raise WorkerError(message["failed"]["message"], stage=message["failed"]["stage"])
            else:
                return Made.from_json(message["made"])

    def _say(self, message: Any) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise WorkerError("the worker could not be started.", stage=self.stage)
        try:
            process.stdin.write(dumps(message) + "\n")
            process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._epitaph(), stage=self.stage) from error

    def _await_ready(self) -> None:
        message = self._next(time.monotonic() + START_S, f"did not start within {START_S:.0f} s.")
        if "refused" in message:
            raise InputError(message["refused"])
        self._ready = True

    def _next(self, deadline: float, late: str) -> Any:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty as error:
            self.kill()
            raise WorkerError(late, stage=self.stage) from error
        if line is None:
            raise WorkerError(self._epitaph(), stage=self.stage)
        return json.loads(line)

    def _epitaph(self) -> str:
        status = self._process.wait() if self._process is not None else 0
        if status < 0:
            name = signal.Signals(-status).name
            return f"the worker was killed by {name}" + (" (out of memory?)." if name == "SIGKILL" else ".")
        return f"the worker ended with exit status {status}."

    @property
    def is_started(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def kill(self) -> None:
        """End the process and what it started, now."""
        process, pump = self._process, self._pump
        if process is None or self._is_buried:
            return
        # Once it has been waited for, its number may belong to somebody else's process.
        self._is_buried = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if pump is not None:
            pump.join()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def _pump(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    if process.stdout is not None:
        for line in process.stdout:
            lines.put(line)
    lines.put(None)


class LocalWorkers:
    """An executor of candidates on this machine: `count` processes, one candidate each at a time."""

    def __init__(self, setup: WorkerSetup, count: int, early: WorkerProcess | None = None) -> None:
        """Prepare `count` workers, one of them perhaps started earlier."""
        self._setup = setup
        first = [] if early is None else [early]
        self._idle: list[WorkerProcess] = first + [WorkerProcess() for _ in range(count - len(first))]
        self._all = tuple(self._idle)

    @property
    def free(self) -> int:
        """How many workers wait for work."""
        return len(self._idle)

    def start(self) -> None:
        """Start all processes now, so that they import while the engine prepares."""
        for worker in self._all:
            if not worker.is_started:
                worker.start()

    def submit(
        self,
        assignment: Assignment | Exploration | FormLooks,
        kill_s: float,
        stage_changed: Callable[[str], None] = lambda _: None,
    ) -> "Future[Made]":
        """Have a candidate made; at most `free` at a time."""
        worker = self._idle.pop()
        future: Future[Made] = Future()

        def work() -> None:
            try:
                made = worker.make(self._setup, assignment, kill_s, stage_changed)
            except BaseException as error:  # noqa: BLE001  it is handed to whoever asks the future
                self._idle.append(worker)
                future.set_exception(error)
            else:
                self._idle.append(worker)
                future.set_result(made)

        threading.Thread(target=work, daemon=True).start()
        return future

    def close(self) -> None:
        """End all processes now."""
        for worker in self._all:
            worker.kill()
