"""MobileNetV2 and EfficientNet for small pictures: inverted residual blocks."""

from steelyard.core.candidate import Knob
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.grids import course_of
from steelyard.families.pictures import PictureFamily


def largest_macs(spec: ImageInput, width: int) -> int:
    """Multiply-accumulates of one image through the largest of either family: depth 3, kernel 5, expansion 6."""
    course = course_of(spec.height, spec.width)
    pixels = spec.height * spec.width // course.stem**2
    total, incoming = pixels * spec.channels * width * 9, width
    for stage, stride in enumerate(course.stages):
        outgoing = width * 2**stage
        for block in range(3):
            inside = incoming * 6
            total += pixels * incoming * inside
            pixels //= stride**2 if block == 0 else 1
            total += pixels * inside * (25 + outgoing)
            incoming = outgoing
    return total + pixels * incoming * 4 * incoming


MOBILENETV2 = PictureFamily(
    "mobilenetv2",
    Lazy("steelyard.families.inverted:mobilenetv2"),
    (Knob("depth", (1, 2, 3)), Knob("expansion", (3, 6))),
    largest_macs,
)
"""M. Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018.

Knobs: `depth` blocks a stage, `expansion` of a block's inside, `width` channels of the first of three stages (doubled
in each), and the input's `resolution` (its height after resizing inside the graph).
"""
EFFICIENTNET = PictureFamily(
    "efficientnet",
    Lazy("steelyard.families.inverted:efficientnet"),
    (Knob("depth", (1, 2, 3)), Knob("kernel", (3, 5))),
    largest_macs,
)
"""M. Tan and Q. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019.

Knobs: `depth` blocks a stage, `kernel` of the convolutions a channel, `width`, `resolution`; `--scale compound` grows
them together as published.
"""
