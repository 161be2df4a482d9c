"""How long candidates were being made or measured: what is left of the wall time is the engine's own cost."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class BusyClock:
    """Seconds during which at least one activity ran, over all threads."""

    def __init__(self) -> None:
        """Start at zero, nothing running."""
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self._total = 0.0

    def enter(self) -> None:
        """An activity starts."""
        with self._lock:
            if self._running == 0:
                self._since = time.perf_counter()
            self._running += 1

    def leave(self) -> None:
        """An activity ends."""
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._total += time.perf_counter() - self._since

    @contextmanager
    def working(self) -> Iterator[None]:
        """An activity for the length of a block."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        with self._lock:
            running = time.perf_counter() - self._since if self._running else 0.0
            return self._total + running
