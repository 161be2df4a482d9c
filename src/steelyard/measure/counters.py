"""The energy counters of a processor: read by the measuring process, which imports nothing heavy.

Linux shows the energy of each processor package as a counter of microjoules that wraps around: powercap, "intel-rapl",
Documentation/power/powercap/powercap.rst.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows energy counters."""

Counter = tuple[Path, int]
"""A counter's file, and the microjoules at which it wraps around."""


def package_counters(root: Path = POWERCAP) -> tuple[Path, ...]:
    """Folders of the counters of whole processor packages; parts of a package would be counted twice."""
    return tuple(sorted(each for each in root.glob("*-rapl:*") if each.name.count(":") == 1))


def energy_refusal(root: Path = POWERCAP) -> str | None:
    """Why energy can't be read here, or None where it can."""
    folders = package_counters(root)
    if not folders:
        return "this machine shows no energy counter (RAPL)"
    for folder in folders:
        try:
            read_counters([folder])
        except PermissionError:
            return f"reading {folder / 'energy_uj'} needs more rights; ask an administrator to permit it"
        except (OSError, ValueError) as error:
            return f"{folder / 'energy_uj'} can't be read: {error}"
    return None


def read_counters(folders: Sequence[Path]) -> list[Counter]:
    """The counters in these folders, each read once.

    Raises:
        OSError: if one can't be read.
        ValueError: if one holds no number.
    """
    counters = []
    for folder in folders:
        file, limit = folder / "energy_uj", folder / "max_energy_range_uj"
        int(file.read_text(encoding="ascii"))
        counters.append((file, int(limit.read_text(encoding="ascii")) if limit.is_file() else 2**32))
    return counters


def spend(counters: Sequence[Counter], work: Callable[[], object]) -> tuple[float, float]:
    """Joules and seconds that `work` took, all packages together; a counter that wrapped once is put right."""
    before = [int(file.read_text(encoding="ascii")) for file, _ in counters]
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    after = [int(file.read_text(encoding="ascii")) for file, _ in counters]
    used = sum(
        later - earlier + (limit if later < earlier else 0)
        for earlier, later, (_, limit) in zip(before, after, counters, strict=True)
    )
    return used * 1e-6, seconds
