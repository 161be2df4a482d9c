"""Quantization after training, of any ONNX file, with ONNX Runtime's tools and kernels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steelyard.core.errors import InputError
from steelyard.core.protocols import Feed
from steelyard.core.wire import Plain

_CHOICES = {
    "mode": ("static", "dynamic", "weights"),
    "bits": (8, 4),
    "activations": ("uint8", "int8"),
    "calibration": ("minmax", "entropy", "percentile", "mse"),
}


@dataclass(frozen=True, slots=True)
class Quantize:
    """Quantization to 8 or 4 bits without training.

    By default static: unsigned activations, signed weights, one scale a channel, min-max calibration. Each product is
    wrapped in quantize-dequantize pairs, which ONNX Runtime fuses into integer kernels. LSTM layers get its dynamic
    integer kernel in both integer modes, and tables that are looked up are stored in 8 bits; a GRU has no integer
    kernel. On processors without VNNI, weights use 7 bits: their integer product of unsigned and signed bytes adds
    pairs in 16 bits and would saturate.

    Attributes:
        mode: "static" (products in integers, ranges calibrated), "dynamic" (matrix products in integers, ranges taken
            at each call), or "weights" (small weights, products in float or by kernels that unpack as they go).
        bits: of the weights; 4 with mode "weights" alone, in blocks of 32.
        activations: "uint8", or "int8", which fuses in fewer places.
        per_channel: whether each channel of a weight has a scale of its own.
        calibration: how ranges come from the rows: "minmax", "entropy", "percentile" (99.99 %) or "mse".
        chains: with mode "static", whether relu, pooling and sums between products take integers too, and matrix
            products give float where float is wanted: fewer conversions than pairs around products alone.
        rows: most rows to calibrate on.
        exclude: names of operators that stay in float, with commas between them.
        keep_float: how many of the most sensitive operators stay in float as well.
        max_error: bound on the output error (RMS of the difference over RMS, on the calibration rows): as few operators
            stay in float as it takes; 0 for none.
        bias_correction: whether biases take back what quantization shifts a channel by on average, where that lowers
            the output error.
        equalize: whether channels of neighbouring layers are scaled to like ranges first.
        packed: with mode "weights", whether matrix products get kernels that read packed weights: faster for a few rows
            at a time, slower for many. Otherwise weights are unpacked as the file is loaded.

    References:
        B. Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
        inference, CVPR 2018.
    """

    mode: Literal["static", "dynamic", "weights"] = "static"
    bits: int = 8
    activations: Literal["uint8", "int8"] = "uint8"
    per_channel: bool = True
    calibration: Literal["minmax", "entropy", "percentile", "mse"] = "minmax"
    chains: bool = False
    rows: int = 512
    exclude: str = ""
    keep_float: int = 0
    max_error: float = 0.0
    bias_correction: bool = False
    equalize: bool = False
    packed: bool = True
    name: str = "quantize"

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            InputError: naming the setting.
        """
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                listed = ", ".join(map(repr, choices))
                raise InputError(f"'{field}' must be one of {listed}, got {getattr(self, field)!r}.", field=field)
        if self.bits == 4 and self.mode != "weights":
            raise InputError(f"'bits' must be 8 with mode {self.mode!r}, got 4; use mode 'weights'.", field="bits")
        if self.rows < 1:
            raise InputError(f"'rows' must be at least 1, got {self.rows!r}.", field="rows")

        if self.keep_float < 0 or self.max_error < 0:
            name = "keep_float" if self.keep_float < 0 else "max_error"
            raise InputError(f"'{name}' must be at least 0, got {getattr(self, name)!r}.", field=name)

    @property
    def is_measuring(self) -> bool:
        """Whether rows are needed to compare outputs, whatever the mode."""
        return bool(self.keep_float or self.max_error or self.bias_correction)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names of the operators that stay in float."""
        return tuple(name for name in (each.strip() for each in self.exclude.split(",")) if name)

    def apply(self, source: Path, target: Path, rows: Iterator[Feed]) -> Plain:
        """Write the quantized model; `rows` are batches of training inputs, read where the step must see values.

        Raises:
            SteelyardError: if the model has no operator with weights that could be quantized, is quantized already, or
                keeps most of its weights in float all the same.
        """
        from steelyard.steps.quantizing.process import quantize  # noqa: PLC0415  loads onnx and a runtime

        return quantize(self, source, target, rows)


QUANTIZE = Quantize()
"""The entry of the registry."""
