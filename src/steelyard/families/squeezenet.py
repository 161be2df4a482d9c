"""SqueezeNet for small pictures: fire modules."""

from steelyard.core.candidate import Knob
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.grids import course_of
from steelyard.families.pictures import PictureFamily


def largest_macs(spec: ImageInput, width: int) -> int:
    """Multiply-accumulates of one image through the convolutions at depth 3 and full resolution."""
    course = course_of(spec.height, spec.width)
    pixels = spec.height * spec.width // course.stem**2
    total, incoming = pixels * spec.channels * width * 9, width
    for stage, stride in enumerate(course.stages):
        pixels //= stride**2
        outgoing = width * 2**stage
        for block in range(3):
            squeezed = outgoing // 8
            total += pixels * squeezed * ((incoming if block == 0 else outgoing) + 5 * outgoing)
        incoming = outgoing
    return total


SQUEEZENET = PictureFamily(
    "squeezenet",
    Lazy("steelyard.families.fire:squeezenet"),
    (Knob("depth", (1, 2, 3)),),
    largest_macs,
    widths=(8, 16, 32, 64),
)
"""F. Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters, arXiv:1602.07360, 2016.

Knobs: `depth` fire modules a stage, `width` channels of the first of three stages (doubled in each), `resolution`.
"""
