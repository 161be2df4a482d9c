"""Settings of every test, and how a parallel run shares the machine."""

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A deadline would assert a time on a machine that does other things; examples drawn anew would fail one run in many.
settings.register_profile("steelyard", deadline=None, derandomize=True)
settings.load_profile("steelyard")

PROCESSORS = os.sched_getaffinity(0)
"""Those that the whole run may use."""


def pytest_configure(config: pytest.Config) -> None:
    """Give each process of a parallel run a processor of its own.

    Searches that measured on the same one would disturb each other, wait, and measure again.
    """
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        number = int(worker["workerid"].removeprefix("gw"))
        os.sched_setaffinity(0, {sorted(PROCESSORS)[number % len(PROCESSORS)]})


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Fills a folder once in a whole run, whichever of its processes asks first; tests that write copy it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if hasattr(request.config, "workerinput") else base

    def filled(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        folder.mkdir(exist_ok=True)
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                fill(folder)
                done.touch()
        return folder

    return filled


@pytest.fixture
def every_processor() -> Iterator[None]:
    """All processors of the run, for what trains on one and measures on another, or has several threads."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, PROCESSORS)
    yield
    os.sched_setaffinity(0, own)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deal modules with slow tests to the processes of a parallel run, and have the fast ones fill up the end.

    A process gets an equal, connected part of the list at first, and later takes over the end of another's.
    """
    worker = getattr(config, "workerinput", None)
    if worker is None:
        return
    modules: dict[str, list[pytest.Item]] = {}
    for item in items:
        modules.setdefault(item.nodeid.partition("::")[0], []).append(item)
    slow = [each for each in modules.values() if any(item.get_closest_marker("slow") for item in each)]
    fast = [each for each in modules.values() if each not in slow]
    count = int(worker["workercount"])
    parts = [[item for each in slow[number::count] for item in each] for number in range(count)]
    for part in parts[:-1]:
        while fast and len(part) < len(items) / count:
            part.extend(fast.pop())
    parts[-1].extend(item for each in fast for item in each)
    items[:] = [item for part in parts for item in part]
