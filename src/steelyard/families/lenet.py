"""LeNet-like networks."""

from steelyard.core.candidate import Knob
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.pictures import PictureFamily


def largest_macs(spec: ImageInput, width: int) -> int:
    """Multiply-accumulates of one image at kernel 5, 240 dense units and full resolution."""
    pixels, second = spec.height * spec.width, width * 16 // 6
    return pixels * 25 * spec.channels * width + pixels // 4 * 25 * width * second + pixels // 16 * second * 240


LENET = PictureFamily(
    "lenet",
    Lazy("steelyard.families.classic:lenet"),
    (Knob("dense", (30, 60, 120, 240)), Knob("kernel", (3, 5))),
    largest_macs,
    widths=(3, 6, 12, 24),
)
"""Y. LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE, 1998.

Knobs: `dense` units of the first dense layer, `kernel` size, `width` channels of the first convolution, `resolution`.
LeNet-5 is width 6, kernel 5, dense 120.
"""
