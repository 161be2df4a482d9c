"""Seconds by stage of making a candidate; what fails inside a stage becomes the failure of that stage."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from steelyard.core.errors import SteelyardError, WorkerError


@dataclass(slots=True)
class Clock:
    """Seconds by stage, and the stage that is running."""

    tell: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage; whatever fails inside becomes a `WorkerError` of that stage."""
        self.tell(name)
        start = time.perf_counter()
        try:
            yield
        except WorkerError:
            raise
        except MemoryError as error:
            raise WorkerError("ran out of memory.", stage=name) from error
        except SteelyardError as error:
            raise WorkerError(error.message, stage=name) from error
        except Exception as error:  # the user's own code runs in here and raises whatever it likes
            text = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
            raise WorkerError(f"{type(error).__name__}: {text}", stage=name) from error
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
