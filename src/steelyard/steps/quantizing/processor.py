"""What this processor's integer products can hold."""

from pathlib import Path

HAS_VNNI = ("avx512_vnni", "avx_vnni", "avxvnni")


def has_vnni() -> bool:
    """Whether this processor multiplies unsigned with signed bytes without saturating."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    # Arm's dot product accumulates in 32 bits from the start.
    return any(flag in line.split() for flag in (*HAS_VNNI, "asimddp"))
