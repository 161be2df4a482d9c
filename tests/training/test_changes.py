"""Changes of rows: same seed same change, meaning and shape kept, names checked by kind."""

import pytest
import torch

from steelyard.core.errors import InputError, UnknownNameError
from steelyard.training.changes import CHANGES, DROPPED, NOISE, SPAN, UNKNOWN, changes_of, names_in
from steelyard.training.recipe import Recipe

ROWS = {
    "image-classification": (6, 2, 10, 12),
    "tabular-classification": (6, 5),
    "tabular-regression": (6, 5),
    "series-classification": (6, 3, 20),
    "audio-classification": (6, 8, 20),
    "text-classification": (6, 30),
}
EVERY = [(kind, name) for kind, known in CHANGES.items() for name in known]


def rows(kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if kind == "text-classification":
        return torch.randint(2, 50, ROWS[kind], generator=generator).float()
    return torch.randn(ROWS[kind], generator=generator)


def made(kind: str, name: str, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    (change,) = changes_of([name], kind)
    return change(x, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_change_is_its_seeds_alone_keeps_the_shape_and_leaves_its_input(kind, name):
    x = rows(kind)
    before = x.clone()
    one, again, other = made(kind, name, x), made(kind, name, x), made(kind, name, x, seed=1)
    assert one.shape == x.shape
    assert torch.equal(x, before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, x)


def test_every_kind_is_tried():
    assert CHANGES.keys() == ROWS.keys()


def test_a_shifted_picture_is_a_window_of_the_picture_with_its_edges_repeated():
    x = rows("image-classification")
    moved = made("image-classification", "shift", x)
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    for row in range(len(x)):
        windows = [padded[row, :, i : i + 10, j : j + 12] for i in range(3) for j in range(3)]
        assert any(torch.equal(moved[row], each) for each in windows)


def test_a_flip_mirrors_whole_pictures():
    x = rows("image-classification")
    found = made("image-classification", "flip", x)
    kinds = {
        torch.equal(one, was) if not torch.equal(one, was.flip(2)) else "mirrored"
        for one, was in zip(found, x, strict=True)
    }
    assert kinds == {True, "mirrored"}


def test_a_crop_of_one_colour_stays_that_colour_and_values_stay_in_range():
    flat = torch.full((4, 1, 9, 9), 3.0)
    torch.testing.assert_close(made("image-classification", "crop", flat), flat)
    x = rows("image-classification")
    found = made("image-classification", "crop", x)
    assert found.min() >= x.min()
    assert found.max() <= x.max()


def test_codes_of_tables_get_no_noise_and_numbers_little():
    x = torch.tensor([[0.0, 1.0, 0.4, -1.3]]).repeat(2000, 1)
    found = made("tabular-classification", "noise", x) - x
    assert (found[:, :2] == 0).all()
    assert found[:, 2:].std().item() == pytest.approx(NOISE, rel=0.1)


def series() -> torch.Tensor:
    """Series whose last channel says which steps are there: the first fourteen."""
    x = torch.randn(50, 3, 20, generator=torch.Generator().manual_seed(2))
    x[:, -1] = 0
    x[:, -1, :14] = 1
    x[:, :-1, 14:] = 0
    return x


@pytest.mark.parametrize("name", ["noise", "shift", "mask"])
def test_steps_that_are_not_there_stay_so(name):
    found = made("series-classification", name, series())
    there = found[:, -1:]
    assert ((there == 0) | (there == 1)).all()
    assert (found[:, :-1] * (1 - there) == 0).all()


def test_a_shifted_series_is_its_own_steps_further_on():
    x = series()
    found = made("series-classification", "shift", x)
    padded = torch.nn.functional.pad(x, (2, 2))
    assert all(any(torch.equal(found[row], padded[row, :, at : at + 20]) for at in range(5)) for row in range(len(x)))


def test_hidden_spans_are_short_and_somewhere_else_in_each_row():
    x = torch.ones(200, 10, 40)
    hidden = made("audio-classification", "mask", x) == 0
    frames, bands = hidden.all(dim=1).sum(dim=1), hidden.all(dim=2).sum(dim=1)
    assert 0 < frames.max() <= SPAN * 40
    assert 0 < bands.max() <= SPAN * 10
    assert len({tuple(each.tolist()) for each in hidden.all(dim=1)}) > 20


def test_some_tokens_become_unknown_and_padding_stays():
    x = torch.randint(2, 90, (100, 100)).float()
    x[:, 80:] = 0
    found = made("text-classification", "drop", x)
    assert (found[:, 80:] == 0).all()
    changed = found != x
    assert (found[changed] == UNKNOWN).all()
    assert changed[:, :80].float().mean().item() == pytest.approx(DROPPED, abs=0.02)


def test_changes_come_in_one_order_whatever_order_is_asked_for():
    kind = "image-classification"
    assert changes_of(["flip", "shift"], kind) == changes_of(["shift", "flip"], kind)
    assert changes_of([], kind) == ()


@pytest.mark.parametrize(
    ("text", "names"), [("none", ()), ("shift", ("shift",)), (" shift , flip,shift", ("shift", "flip"))]
)
def test_names_are_read_from_a_text(text, names):
    assert names_in(text) == names


@pytest.mark.parametrize("text", ["", " , ", "none,shift"])
def test_a_text_without_names_is_refused(text):
    with pytest.raises(InputError) as caught:
        Recipe(augment=text)
    assert caught.value.message == f"'augment' must be names with commas between, or none, got {text!r}."


def test_an_unknown_name_and_a_kind_without_changes_are_refused():
    with pytest.raises(UnknownNameError) as caught:
        changes_of(["flop"], "image-classification")
    assert "flip" in caught.value.message
    with pytest.raises(InputError) as other:
        changes_of(["flip"], "language-modelling")
    assert other.value.message == (
        "'augment' changes pictures, tables, series, sound and texts, not rows of language-modelling; leave it out."
    )
