"""The machine and the versions that figures are measured on, read without importing anything heavy."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from steelyard.core.environment import Environment

PACKAGES = (
    "steelyard",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
    "litert-torch",
    "executorch",
    "torch",
)
"""Distributions whose version can change a figure."""

FLAGS = (
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""Processor features that decide which kernels a runtime picks; the names are those of /proc/cpuinfo."""


def read_environment(proc: Path = Path("/proc")) -> Environment:
    """The environment of this process. What can't be read is "unknown" or 0, never an error.

    Args:
        proc: where the system describes itself; on systems without it the standard library's answers are used.
    """
    cpuinfo = _read(proc / "cpuinfo")
    return Environment(
        processor=processor_name(cpuinfo) or platform.processor() or platform.machine() or "unknown",
        cores=available_cores(),
        memory_bytes=memory_bytes(_read(proc / "meminfo")),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        versions=package_versions(),
        flags=processor_flags(cpuinfo),
    )


def processor_name(cpuinfo: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; empty where it has none, as on most ARM systems."""
    match = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", cpuinfo, flags=re.MULTILINE)
    return match[1].strip() if match else ""


def processor_flags(cpuinfo: str) -> tuple[str, ...]:
    """Those of `FLAGS` that the text of /proc/cpuinfo names."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, flags=re.MULTILINE)
    named = set(match[1].split()) if match else set()
    return tuple(flag for flag in FLAGS if flag in named)


def memory_bytes(meminfo: str) -> int:
    """Total memory in the text of /proc/meminfo, in bytes; 0 where it says nothing."""
    match = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo, flags=re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def available_cores() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def package_versions() -> dict[str, str]:
    """Versions of the installed distributions among `PACKAGES`, from their metadata."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
