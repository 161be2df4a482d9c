"""A vision transformer for small pictures."""

from steelyard.core.candidate import Knob
from steelyard.core.registry import Lazy
from steelyard.core.task import ImageInput
from steelyard.families.pictures import PictureFamily


def largest_macs(spec: ImageInput, width: int) -> int:
    """Multiply-accumulates of one image at depth 4 and 4 heads, in about 64 patches."""
    patches, inside = 64, 4 * 16
    layer = patches * (4 * width * inside + 4 * width * width) + 2 * patches * patches * inside
    return spec.height * spec.width * spec.channels * width + 4 * layer


VIT = PictureFamily(
    "vit",
    Lazy("steelyard.families.patches:vit"),
    (Knob("depth", (1, 2, 4)), Knob("heads", (2, 4))),
    largest_macs,
    widths=(16, 32, 64, 128),
)
"""A. Dosovitskiy et al., An image is worth 16x16 words: transformers for image recognition at scale, ICLR 2021.

Knobs: `depth` layers, `heads` of 16 channels each, `width` of the embedding, `resolution`. Patches are an eighth of the
picture's height or so, whatever the resolution, and fewer at a lower one.
"""
