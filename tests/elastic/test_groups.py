"""Which channels go together, what is refused, and what a module costs."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.extraction import extracted
from steelyard.elastic.trying import anatomy_of, groups_of


def sizes(module, *example):
    return {each.name: each.size for each in groups_of(module, example)}


def test_inputs_and_outputs_stay_however_little_is_kept(case, half):
    anatomy = anatomy_of(case.module, case.example)
    small = extracted(case.module, anatomy, half(anatomy, share=0.01))
    with torch.no_grad():
        assert small(*case.example).shape == case.module(*case.example).shape


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cnn", {"0": 16, "4": 24, "8": 32}),
        ("residual", {"0": 16, "1.first": 16, "2.first": 16, "3": 32, "4.first": 32}),
        ("depthwise", {"0": 8, "1.expand": 16, "1.less": 8, "2.expand": 16, "2.less": 8, "2.squeeze": 16}),
        ("dense", {"first": 16, "second": 16, "gated": 24}),
        ("lstm-2", {"net.l0": 16, "net.l1": 16}),
        ("gru-1-both", {"net.l0": 16, "net.l0_reverse": 16}),
        ("attention-one", {"table": 32, "mixers.0.qkv": 4, "mixers.1.qkv": 4, "up": 64}),
        ("decoder", {"table": 32, "mixed": 4, "up": 64}),
        ("picture", {"patches": 32, "layers.layers.0.self_attn": 4, "layers.layers.0.linear1": 48}),
        ("pooled", {"front.0": 16, "net.l0": 16, "net.l0_reverse": 16}),
        ("pairs", {"users": 16, "net.0": 24}),
        ("mixer", {"first": 24, "up": 48}),
        ("hourglass", {"first": 8, "down": 16, "up": 8, "both": 8}),
    ],
)
def test_groups_are_those_expected(name, expected, make):
    case = make(name)
    anatomy = anatomy_of(case.module, case.example)
    assert {each.name: each.size for each in anatomy.groups} == expected
    assert not anatomy.refused


def test_layers_and_directions_of_a_recurrent_net_shrink_together(make):
    case = make("lstm-2-both")
    assert {each.alike for each in groups_of(case.module, case.example)} == {"net.l0"}


def test_code_that_takes_width_for_heads_times_size_ties_them(make):
    case = make("attention-width")
    found = {each.name: (each.alike, each.step) for each in groups_of(case.module, case.example)}
    assert found == {
        "table": ("table", 8), "mixers.0.qkv": ("table", 1), "mixers.1.qkv": ("table", 1), "up": ("", 1)
    }  # fmt: skip


class Through(nn.Module):
    """Two layers with something between."""

    def __init__(self, between, width=8):
        super().__init__()
        self.first, self.last = nn.Linear(6, width), nn.Linear(width, 3)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


ROWS = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))


@torch.library.custom_op("steelyard_tests::doubled", mutates_args=())
def doubled(x: torch.Tensor) -> torch.Tensor:
    """An operator of the user's own."""
    return x * 2


REFUSED = {
    "an operator of the user's own": (lambda x: doubled(x) + 0, "first: operator "),
    "an operator without a rule": (lambda x: torch.fft.fft(x).real, "first: operator fft_fft has no rule"),
    "a mean over channels": (lambda x: x - x.mean(1, keepdim=True), "first: mean runs over its channels"),
    "a sum with what can't shrink": (
        lambda x: x + torch.linspace(0, 1, 8),
        "first: it meets values that are no channels",
    ),
    "a size written down": (lambda x: x.view(2, 8), "first: the module's code does not follow its size: RuntimeError"),
    "a slice written down": (
        lambda x: torch.cat([x[:, 4:], x[:, :4]], 1),
        "first: the module's code computes something else when it is smaller",
    ),
}


@pytest.mark.parametrize(("between", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_can_t_shrink_is_refused_with_the_reason(between, reason):
    anatomy = anatomy_of(Through(between), (ROWS,))
    assert not anatomy.groups
    (found,) = (f"{name}: {why}" for name, why in anatomy.refused.items())
    assert found.startswith(reason)


def test_what_is_refused_leaves_the_rest():
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6), Through(lambda x: torch.fft.fft(x).real))
    anatomy = anatomy_of(module, (ROWS,))
    assert [each.name for each in anatomy.groups] == ["0", "2"]
    assert set(anatomy.refused) == {"3.first"}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projections_of_an_lstm_are_refused_by_name():
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 8)
            self.net = nn.LSTM(8, 8, proj_size=4, batch_first=True)

        def forward(self, x):
            return self.net(self.first(x))[0][:, -1]

    anatomy = anatomy_of(Projected(), (ROWS[:, None].expand(2, 5, 6),))
    assert anatomy.refused == {"first": "its recurrent net projects its hidden state (proj_size)"}


def test_control_flow_by_values_is_named():
    class Chooses(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(6, 8)

        def forward(self, x):
            x = self.first(x)
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError) as caught:
        groups_of(Chooses(), (ROWS,))
    assert caught.value.message == (
        "the module can't be traced: the module itself decides by a tensor's values (__bool__), so its graph is not "
        "fixed; write the choice with torch.where."
    )


def test_a_module_that_can_t_be_copied_is_named():
    module = Through(nn.ReLU())
    module.left = torch.ones(2, requires_grad=True) * 2
    with pytest.raises(
        InputError, match=r"^the module can't be copied: .*; it must hold parameters and buffers only\.$"
    ):
        groups_of(module, (ROWS,))


def test_inputs_that_don_t_fit_are_named():
    with pytest.raises(
        InputError, match=r"can't be traced: RuntimeError: .*; it must run on rows like the training rows'"
    ):
        groups_of(nn.Linear(5, 2), (ROWS,))


def test_tracing_leaves_the_module_as_it_was():
    module = Through(nn.BatchNorm1d(8)).train()
    before = copy.deepcopy(module.state_dict())
    groups_of(module, (ROWS,))
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_layer_used_twice_keeps_one_size():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.again, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            x = torch.relu(self.first(x))
            return self.last(torch.relu(self.again(torch.relu(self.again(x)))))

    assert sizes(Twice(), ROWS) == {"first": 8}


class Steps(nn.Module):
    """A recurrent cell in a loop of the user's."""

    def __init__(self, kind):
        super().__init__()
        self.first, self.cell, self.last = nn.Linear(6, 8), getattr(nn, kind)(8, 12), nn.Linear(12, 3)

    def forward(self, x):
        state = None
        for _ in range(3):
            state = self.cell(self.first(x), state)
        return self.last(state[0] if isinstance(state, tuple) else state)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells_in_loops_shrink(kind):
    assert sizes(Steps(kind), ROWS) == {"first": 8, "cell": 12}


def test_sums_of_products_by_letters_are_followed():
    class Letters(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.asked, self.last = nn.Linear(6, 16), nn.Linear(16, 8), nn.Linear(16, 3)
            self.mixed = nn.Linear(16, 8)

        def forward(self, x):
            y = self.first(x)
            weights = torch.einsum("btd,bsd->bts", self.asked(y), self.mixed(y)).softmax(-1)
            return self.last(torch.einsum("bts,bsd->btd", weights, y)).mean(1)

    steps = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    assert sizes(Letters(), steps) == {"first": 16, "asked": 8}


def test_bags_gates_and_gathered_steps_are_followed():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.bag, self.table = nn.EmbeddingBag(20, 8), nn.Embedding(20, 8)
            self.gated, self.last = nn.Linear(8, 24), nn.Linear(20, 3)

        def forward(self, tokens):
            x = nn.functional.glu(self.gated(self.table(tokens)), dim=-1)
            end = (tokens > 4).sum(1).clamp(min=1) - 1
            one = x.gather(1, end[:, None, None].expand(-1, 1, x.shape[-1])).squeeze(1)
            return self.last(torch.cat([one, self.bag(tokens)], dim=1))

    assert sizes(Chosen(), torch.arange(10).reshape(2, 5)) == {"table": 8, "gated": 12, "bag": 8}


PICTURE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
NETS = {
    "group norm": (lambda: nn.Sequential(nn.Conv2d(3, 16, 1), nn.GroupNorm(4, 16), nn.Conv2d(16, 3, 1)), {"0": 4}),
    "instance norm": (lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.InstanceNorm2d(8), nn.Conv2d(8, 3, 1)), {"0": 8}),
    "grouped": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=4), nn.ReLU(), nn.Conv2d(16, 3, 1)),
        {"0": 4},
    ),
    "up again": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 2, 2), nn.ReLU(), nn.ConvTranspose2d(8, 12, 2, 2), nn.Upsample(scale_factor=2),
            nn.ZeroPad2d(1), nn.Conv2d(12, 3, 1),
        ),
        {"0": 8, "2": 12},
    ),
    "unflattened": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 8), nn.Flatten(), nn.Linear(8, 32), nn.Unflatten(1, (8, 2, 2)), nn.Conv2d(8, 3, 1)
        ),
        {"0": 8, "2": 8},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "expected"), NETS.values(), ids=NETS)
def test_other_layers_follow(build, expected):
    assert sizes(build(), PICTURE) == expected


# Costs.


def macs_by_hooks(module, example):
    """Multiply-accumulates of convolutions and linear layers a row, counted where they run."""
    total = 0.0

    def count(layer, _, out):
        nonlocal total
        taken = layer.weight[0].numel()
        total += out.numel() * taken / len(example[0])

    handles = [
        each.register_forward_hook(count) for each in module.modules() if isinstance(each, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        module(*example)
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("name", ["cnn", "residual", "depthwise", "mlp", "dense"])
def test_costs_are_those_of_the_module_before_and_after(name, make, half):
    case = make(name)
    anatomy = anatomy_of(case.module, case.example)
    kept = half(anatomy)
    assert anatomy.macs({}) == pytest.approx(macs_by_hooks(case.module, case.example))
    small = extracted(case.module, anatomy, kept)
    assert anatomy.macs(kept) == pytest.approx(macs_by_hooks(small, case.example))


def test_costs_of_a_recurrent_net_are_its_matrix_products(make):
    case = make("gru-2-both")
    anatomy = anatomy_of(case.module, case.example)
    hidden, steps = 16, 7
    first, second = 2 * 3 * hidden * (12 + hidden), 2 * 3 * hidden * (2 * hidden + hidden)
    assert anatomy.macs_by_owner({})["net"] == steps * (first + second)


@pytest.mark.parametrize("name", ["attention-one", "attention-fused", "encoder"])
def test_costs_of_attention_are_its_four_products(name, make, half):
    case = make(name)
    anatomy = anatomy_of(case.module, case.example)

    def expected(width, inner, wide, layers, ups):
        each = 9 * (4 * width * inner) + 2 * 9 * 9 * inner
        return layers * each + ups * 9 * 2 * width * wide + width * 5

    wide, ups = (48, 2) if name == "encoder" else (64, 1)
    assert anatomy.macs({}) == expected(32, 32, wide, 2, ups)
    assert anatomy.macs(half(anatomy)) == expected(16, 16, wide // 2, 2, ups)


def test_an_unknown_group_is_named():
    anatomy = anatomy_of(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)), (ROWS,))
    with pytest.raises(InputError, match=r"^the module has no group 'x'; it has 0\.$"):
        anatomy.group("x")


def test_kept_positions_need_every_channel_that_they_stand_for(make):
    case = make("cnn")
    anatomy = anatomy_of(case.module, case.example)
    index = anatomy.slices({"4": np.array([0, 2])})["8.weight"][1]
    np.testing.assert_array_equal(index, np.r_[0:16, 32:48])
