import pytest
import torch

from steelyard.training.augmentation import augmented, is_image


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(16, 8, 9), (16, 3, 8, 9), (16, 8, 9, 3)])
@pytest.mark.parametrize("how", ["shift", "shift-flip"])
def test_every_image_is_one_of_its_shifts(shape, how):
    torch.manual_seed(0)
    x = images(*shape)
    (moved,) = augmented((x,), how)
    assert moved.shape == x.shape
    axes = (1, 2) if (shape[-1] in (3, 9) and len(shape) != 4) or shape[-1] == 3 else (2, 3)
    plain = x.movedim(axes, (-2, -1)).reshape(16, -1, 8, 9)
    found = moved.movedim(axes, (-2, -1)).reshape(16, -1, 8, 9)
    seen = set()
    for image, other in zip(plain, found, strict=True):
        matches = [
            (down, right, is_mirrored)
            for down in range(-2, 3)
            for right in range(-2, 3)
            for is_mirrored in ((False, True) if how == "shift-flip" else (False,))
            if torch.equal(shifted(image, down, right, is_mirrored), other)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 6


def shifted(image, down, right, is_mirrored):
    """A row and a column at a time, clamped to the image."""
    _, height, width = image.shape
    rows = [min(max(row + down, 0), height - 1) for row in range(height)]
    columns = [min(max(column + right, 0), width - 1) for column in range(width)]
    picked = image[:, rows][:, :, columns]
    return picked.flip(-1) if is_mirrored else picked


@pytest.mark.parametrize(
    "x", [torch.rand(4, 30), torch.rand(4, 5, 64)[:, :, :7], torch.ones(4, 9, 9, dtype=torch.int64)]
)
def test_what_is_no_image_stays_as_it_is(x):
    assert not is_image(x)
    assert augmented((x,), "shift")[0] is x


def test_none_changes_nothing():
    x = images(4, 9, 9)
    assert augmented((x,), "none")[0] is x
