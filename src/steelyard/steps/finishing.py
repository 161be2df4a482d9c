"""Which finishes of a model file are worth trying: its operators say what can be fast and small on the runtime."""

from pathlib import Path

from steelyard.core.candidate import StepSetting
from steelyard.graph.reading import read_model

_STATIC = StepSetting("quantize")
_DYNAMIC = StepSetting("quantize", (("mode", "dynamic"),))


def finishes_for(path: Path, minimize: str) -> tuple[tuple[StepSetting, ...], ...]:
    """Pipelines of steps on files, the likeliest first."""
    del minimize
    operators = {node.op_type for node in read_model(path).graph.node}
    if operators & {"LSTM"}:
        return ((_DYNAMIC,),)
    if operators & {"MatMul"}:
        return ((_DYNAMIC,), (_STATIC,))
    return ((_STATIC,),)
