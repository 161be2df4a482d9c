"""What holds for every family that ships, on images and on tables."""

import subprocess
import sys
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.builtin import registry
from steelyard.core.candidate import FamilySpace, Knob, Scale
from steelyard.core.errors import InputError
from steelyard.families.grids import course_of
from steelyard.families.own import Own
from steelyard.testing import check_family
from steelyard.testing.fakes import FakeTask
from steelyard.testing.families import extreme_scales

TASKS = {
    "grey images": FakeTask.image(),
    "coloured images": FakeTask.image(height=12, channels=3),
    "tiny images": FakeTask.image(height=4),
    "mixed table": FakeTask.table(),
    "values": FakeTask.values(),
    "one number": FakeTask.values(features=2),
    "ragged series": FakeTask.series(),
    "texts": FakeTask.text(),
    "sounds": FakeTask.sound(),
    "language": FakeTask.language(),
}


def perceptron(inputs: int, outputs: int, width: Literal[4, 8] = 4, depth: int = 1):
    layers = [nn.Flatten(), nn.Linear(inputs, width), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


FAMILIES = {name: registry.get("family", name) for name in registry.names("family")}
FAMILIES["own"] = Own("own", perceptron)
OF_PICTURES = (*("cnn", "resnet", "resnet-bottleneck", "lenet", "mobilenetv2", "efficientnet", "squeezenet", "vit"),)
NAMED_ALIKE = ("resnet", "resnet-bottleneck", "mobilenetv2", "efficientnet", "squeezenet", "vit")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_contract_holds(family, task):
    check_family(family, task)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_families_refuse_what_they_are_not_made_for(task):
    refusing = {name for name, family in FAMILIES.items() if family.refusal(task) is not None}
    refusing -= {"q-learning", "sarsa", "dqn", "kmeans", "factorization"}
    images, sequences, decoders = set(OF_PICTURES), {"cnn1d", "lstm", "gru", "transformer"}, {"decoder"}
    expected = {
        "image-classification": sequences | decoders | {"trees"},
        "series-classification": images | decoders | {"trees"},
        "audio-classification": images | decoders | {"trees"},
        "text-classification": images | decoders | {"mlp", "trees"},
        "language-modelling": images | sequences | {"mlp", "linear", "trees"},
    }
    assert refusing == expected.get(task.kind, images | sequences | decoders)


def test_families_of_sequences_say_why_they_refuse():
    needs = "it needs series, texts or sound; mlp and linear take tables and images"
    answers = "it gives one answer a row; decoder models language"
    for name in ("cnn1d", "lstm", "gru", "transformer"):
        assert FAMILIES[name].refusal(FakeTask.table()) == needs
        assert FAMILIES[name].refusal(FakeTask.language()) == answers
    assert FAMILIES["linear"].refusal(FakeTask.language()) == answers
    assert FAMILIES["decoder"].refusal(FakeTask.text()) == "it models language; the kind of task is language-modelling"
    assert FAMILIES["mlp"].refusal(FakeTask.text()) == (
        "the numbers of words are no quantities; linear, cnn1d, gru and transformer take texts"
    )


@pytest.mark.parametrize("name", OF_PICTURES)
def test_families_of_images_say_why_they_refuse(name):
    assert FAMILIES[name].refusal(FakeTask.table()) == "it needs images; mlp and linear take tables"
    assert FAMILIES[name].refusal(FakeTask.image(height=3)) == "it needs images of at least 4 pixels a side"


def scales_of(name, task):
    return FamilySpace(name, FAMILIES[name].knobs(task)).scales()


def parameters(name, scale, task):
    return sum(each.numel() for each in FAMILIES[name].build(scale, task, 0).parameters())


@pytest.mark.parametrize("task", [each for each in TASKS.values() if FAMILIES["mlp"].refusal(each) is None])
def test_an_mlp_has_as_many_weights_as_its_formula(task):
    features = np.prod(FAMILIES["mlp"].build(Scale.of(depth=1, width=2), task, 0).front.shape)
    out = task.output.width
    for scale in scales_of("mlp", task):
        w, d = scale["width"], scale["depth"]
        expected = (features + 1) * w + (d - 1) * (w + 1) * w + (w + 1) * out
        assert parameters("mlp", scale, task) == expected


def test_a_linear_model_has_a_weight_a_feature_and_an_intercept():
    image, table, values = TASKS["grey images"], TASKS["mixed table"], TASKS["values"]
    assert parameters("linear", Scale.of(resolution=8), image) == (64 + 1) * 3
    assert parameters("linear", Scale.of(resolution=4), image) == (16 + 1) * 3
    # Two numbers, an indicator of the one with holes, three colours, two places.
    assert parameters("linear", Scale.of(features=8), table) == (8 + 1) * 2
    assert parameters("linear", Scale.of(features=4), table) == (4 + 1) * 2
    assert parameters("linear", Scale.of(features=10, bias=1), values) == 11
    assert parameters("linear", Scale.of(features=5, bias=0), values) == 5


@pytest.mark.parametrize("name", ["tiny images", "grey images", "coloured images"])
def test_a_cnn_has_as_many_weights_as_its_formula(name):
    task = TASKS[name]
    for scale in scales_of("cnn", task):
        side = scale.integer("resolution", task.input.height)
        incoming, outgoing, expected = task.input.channels, scale["width"], 0
        for _ in range(scale["depth"]):
            expected += scale["kernel"] ** 2 * incoming * outgoing + 2 * outgoing
            incoming, outgoing = outgoing, 2 * outgoing
            side = max(1, side // 2)
        side = min(side, 4)
        expected += (incoming * side * side + 1) * task.output.width
        assert parameters("cnn", scale, task) == expected


@pytest.mark.parametrize("name", ["tiny images", "grey images", "coloured images"])
def test_a_residual_network_has_as_many_weights_as_its_formula(name):
    task = TASKS[name]
    for scale in scales_of("resnet", task):
        width, depth = scale["width"], scale["depth"]
        expected, incoming = 9 * task.input.channels * width + 2 * width, width
        for outgoing in (width, 2 * width, 4 * width):
            expected += 9 * incoming * outgoing + (2 * depth - 1) * 9 * outgoing**2 + 2 * depth * 2 * outgoing
            expected += incoming * outgoing + 2 * outgoing if incoming != outgoing else 0
            incoming = outgoing
        expected += (incoming + 1) * task.output.width
        assert parameters("resnet", scale, task) == expected


@pytest.mark.parametrize("name", NAMED_ALIKE)
def test_parameters_of_a_smaller_network_are_parts_of_a_larger_ones(name):
    """The same names, and no shape beyond the larger one's: whatever slices weights relies on it."""
    task = TASKS["coloured images"]
    space = FamilySpace(name, FAMILIES[name].knobs(task))
    *smaller, largest = (
        {key: weight.shape for key, weight in FAMILIES[name].build(scale, task, 0).named_parameters()}
        for scale in (*extreme_scales(space), space.largest)
    )
    for shapes in smaller:
        assert all(
            all(part <= whole for part, whole in zip(shape, largest[key], strict=True)) for key, shape in shapes.items()
        )


def test_lenet_5_has_the_published_number_of_weights():
    """61,706 with ten classes and every map of the second layer joined to all of the first; here there are three."""
    scale = Scale.of(width=6, kernel=5, dense=120)
    assert parameters("lenet", scale, FakeTask.image(height=28)) == 61_706 - 7 * (84 + 1)


@pytest.mark.parametrize("name", ["grey images", "coloured images"])
def test_networks_of_inverted_blocks_have_as_many_weights_as_their_formula(name):
    task = TASKS[name]
    for scale in extreme_scales(FamilySpace("mobilenetv2", FAMILIES["mobilenetv2"].knobs(task))):
        width, incoming = scale["width"], scale["width"]
        expected = (9 * task.input.channels + 2) * width
        for outgoing in (width, 2 * width, 4 * width):
            for _ in range(scale["depth"]):
                inside = incoming * scale["expansion"]
                expected += inside * (incoming + 2) + inside * (9 + 2) + outgoing * (inside + 2)
                incoming = outgoing
        expected += 4 * incoming * (incoming + 2) + (4 * incoming + 1) * task.output.width
        assert parameters("mobilenetv2", scale, task) == expected


def test_a_squeeze_network_has_as_many_weights_as_its_formula():
    task = TASKS["grey images"]
    for scale in extreme_scales(FamilySpace("squeezenet", FAMILIES["squeezenet"].knobs(task))):
        incoming = scale["width"]
        expected = (9 + 2) * incoming
        for outgoing in (incoming, 2 * incoming, 4 * incoming):
            for _ in range(scale["depth"]):
                expected += outgoing // 8 * (incoming + 2) + outgoing // 2 * (10 * (outgoing // 8) + 4)
                incoming = outgoing
        assert parameters("squeezenet", scale, task) == expected + (incoming + 1) * task.output.width


def test_a_vision_transformer_has_as_many_weights_as_its_formula():
    task = FakeTask.image(height=28)
    for scale in extreme_scales(FamilySpace("vit", FAMILIES["vit"].knobs(task))):
        width, inside = scale["width"], 16 * scale["heads"]
        side = -(-scale["resolution"] // 4)
        layer = 4 * width + (4 * width + 3) * inside + width + (4 * width + 3) * width
        expected = (16 + 1) * width + 2 * side * width + scale["depth"] * layer + 2 * width
        assert parameters("vit", scale, task) == expected + (width + 1) * task.output.width


@pytest.mark.parametrize(("side", "grid"), [(4, 1), (8, 2), (28, 7), (32, 8), (64, 8), (96, 12), (128, 8), (224, 14)])
def test_large_pictures_are_halved_more_often(side, grid):
    assert course_of(side, side).grid == (grid, grid)


def test_the_largest_residual_width_is_halved_where_an_epoch_would_take_long():
    cheap, dear = FakeTask.image(height=16), FakeTask.image(height=128, rows=200)
    assert [knob.choices for knob in FAMILIES["resnet"].knobs(cheap)] == [(1, 2, 3), (4, 8, 16, 32), (8, 12, 16)]
    assert FAMILIES["resnet"].knobs(dear)[1] == Knob("width", (4, 8))


def test_the_baseline_has_no_weights_and_says_the_shares_or_the_mean():
    table, values = TASKS["mixed table"], TASKS["values"]
    assert parameters("baseline", Scale(), table) == parameters("baseline", Scale(), values) == 0
    rows = torch.full((3, 4), float("nan"))
    shares = np.exp(FAMILIES["baseline"].build(Scale(), table, 0)(rows).numpy())
    counts = np.bincount(table.train.y) + 1
    np.testing.assert_allclose(shares, np.tile(counts / counts.sum(), (3, 1)), rtol=1e-5)
    mean = FAMILIES["baseline"].build(Scale(), values, 0)(torch.zeros(2, 10)).numpy()
    np.testing.assert_allclose(mean, np.full((2, 1), values.train.y.mean()), rtol=1e-6)


def test_a_linear_model_starts_at_zero_and_keeps_the_telling_features():
    model = FAMILIES["linear"].build(Scale.of(features=2, bias=1), TASKS["values"], 0)
    assert model.body[1].index.tolist() == [0, 1]
    assert all(not parameter.any() for parameter in model.body.parameters())


@pytest.mark.parametrize("name", ["mlp", *OF_PICTURES])
def test_another_seed_gives_other_weights(name):
    task = TASKS["grey images"]
    scale = FamilySpace(name, FAMILIES[name].knobs(task)).smallest
    one, other = (next(FAMILIES[name].build(scale, task, seed).parameters()) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_proposing_scales_loads_no_torch():
    code = (
        "import sys\n"
        "from steelyard.builtin import registry\n"
        "from steelyard.testing.fakes import FakeTask\n"
        "for name in registry.names('family'):\n"
        "    for task in (FakeTask.image(), FakeTask.table(), FakeTask.text(), FakeTask.language()):\n"
        "        family = registry.get('family', name)\n"
        "        family.refusal(task) or family.knobs(task)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_arguments_of_the_users_function_are_knobs():
    assert FAMILIES["own"].knobs(TASKS["values"]) == (Knob("width", (4, 8)), Knob("depth", (1,)))


def test_the_users_function_is_told_the_shape_of_a_row():
    seen = []

    def model(shape, outputs):
        seen.append((shape, outputs))
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))

    Own("own", model).build(Scale(), TASKS["coloured images"], 0)
    Own("own", model).build(Scale(), TASKS["mixed table"], 0)
    assert seen == [((3, 12, 12), 3), ((8,), 2)]


def test_a_users_function_that_can_not_be_used_is_refused_in_one_sentence():
    def needs(width):
        return None

    with pytest.raises(InputError) as caught:
        Own("needs", needs).knobs(TASKS["values"])
    assert str(caught.value) == "'width' of needs must have a default or a Literal annotation, got neither."
    with pytest.raises(InputError) as caught:
        Own("needs", lambda: 3).build(Scale(), TASKS["values"], 0)
    assert str(caught.value) == "needs must return a torch.nn.Module, got int."
