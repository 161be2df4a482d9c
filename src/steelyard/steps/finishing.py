"""Which finishes of a model file are worth trying: its operators say what can be fast and small on the runtime."""

from pathlib import Path

from steelyard.core.candidate import StepSetting


def finishes_for(path: Path, minimize: str) -> tuple[tuple[StepSetting, ...], ...]:
    """Pipelines of steps on files, the likeliest first."""
    del path, minimize
    return ((StepSetting("quantize"),),)
