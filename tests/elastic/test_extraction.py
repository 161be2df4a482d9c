"""Smaller modules give what the whole gives with the rest silenced."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.extraction import extracted, masked
from steelyard.elastic.groups import slices_of
from steelyard.elastic.trying import anatomy_of


def run(module, example):
    with torch.no_grad():
        return module.eval()(*example)


def test_the_smaller_module_gives_what_the_masked_one_gives(case, half):
    anatomy = anatomy_of(case.module, case.example)
    kept = half(anatomy)
    small = extracted(case.module, anatomy, kept)
    torch.testing.assert_close(
        run(small, case.example), run(masked(case.module, anatomy, kept), case.example), atol=1e-5, rtol=1e-5
    )
    assert sum(p.numel() for p in small.parameters()) < 0.75 * sum(p.numel() for p in case.module.parameters())


def test_the_module_given_stays_as_it_was(case, half):
    before = copy.deepcopy(case.module.state_dict())
    anatomy = anatomy_of(case.module, case.example)
    extracted(case.module, anatomy, half(anatomy))
    masked(case.module, anatomy, half(anatomy))
    after = case.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_keeping_everything_changes_nothing(case):
    anatomy = anatomy_of(case.module, case.example)
    assert torch.equal(run(extracted(case.module, anatomy, {}), case.example), run(case.module, case.example))
    assert torch.equal(run(masked(case.module, anatomy, {}), case.example), run(case.module, case.example))


def test_slices_of_the_state_are_the_smaller_state(case, half):
    anatomy = anatomy_of(case.module, case.example)
    kept = half(anatomy)
    small, whole = (
        dict([*module.named_parameters(), *module.named_buffers()])
        for module in (extracted(case.module, anatomy, kept), case.module)
    )
    slices = slices_of(anatomy, kept)
    assert list(small) == list(whole)
    for name in whole:
        value = whole[name]
        for axis, index in slices.get(name, {}).items():
            value = value.index_select(axis, torch.from_numpy(index))
        assert torch.equal(small[name], value), name


def test_a_smaller_module_learns(case, half):
    anatomy = anatomy_of(case.module, case.example)
    small = extracted(case.module, anatomy, half(anatomy)).train()
    small(*case.example).square().sum().backward()
    assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in small.parameters())


def test_silencing_by_hooks_agrees(make):
    """The oracle knows nothing of slices: it zeroes what the first layers give."""
    case = make("mlp")
    anatomy = anatomy_of(case.module, case.example)
    kept = {"0": np.arange(0, 32, 2), "4": np.arange(5)}
    taken = {"3": kept["0"], "5": kept["4"]}
    silent = copy.deepcopy(case.module)
    for name, index in taken.items():

        def silence(_, __, out, index=index):
            keep = torch.zeros(out.shape[-1])
            keep[torch.from_numpy(index)] = 1
            return out * keep

        silent.get_submodule(name).register_forward_hook(silence)
    found = run(extracted(case.module, anatomy, kept), case.example)
    torch.testing.assert_close(found, run(silent, case.example), atol=1e-5, rtol=1e-5)


def test_a_recurrent_net_of_half_the_units_computes_its_own_formula(make):
    """The oracle is the LSTM's formula in numpy on hand-sliced weights."""
    case = make("lstm-1")
    anatomy = anatomy_of(case.module, case.example)
    index = np.array([0, 3, 4, 9, 15])
    small = extracted(case.module, anatomy, {anatomy.groups[0].name: index})
    weights = {name: value.detach().numpy().astype(float) for name, value in case.module.named_parameters()}
    rows = np.concatenate([gate * 16 + index for gate in range(4)])
    bias = (weights["net.bias_ih_l0"] + weights["net.bias_hh_l0"])[rows]
    hidden = cell = np.zeros((2, len(index)))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    for step in case.example[0].numpy().swapaxes(0, 1).astype(float):
        gates = (
            step @ weights["net.weight_ih_l0"][rows].T + hidden @ weights["net.weight_hh_l0"][rows][:, index].T + bias
        )
        i, f, g, o = np.split(gates, 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
    expected = hidden @ weights["last.weight"][:, index].T + weights["last.bias"]
    np.testing.assert_allclose(run(small, case.example).numpy(), expected, atol=1e-5)
    assert small.net.hidden_size == 5


def test_attributes_follow(make, half):
    case = make("attention-three")
    anatomy = anatomy_of(case.module, case.example)
    small = extracted(case.module, anatomy, half(anatomy))
    assert [(each.heads, each.head_dim) for each in small.mixers] == [(2, 8), (2, 8)]
    assert small.up.in_features == 16
    assert small.norms[0].normalized_shape == (16,)


def test_torch_attention_of_fewer_heads_gives_weights_and_obeys_masks():
    torch.manual_seed(0)

    class Wrapped(nn.Module):
        def __init__(self, **settings):
            super().__init__()
            self.first = nn.Linear(12, 16)
            self.mix = nn.MultiheadAttention(16, 4, batch_first=True, **settings)
            self.last = nn.Linear(16, 3)

        def forward(self, x):
            x = self.first(x)
            mask = torch.triu(torch.ones(7, 7, dtype=torch.bool), 1)
            out, weights = self.mix(x, x, x, attn_mask=mask)
            return self.last(out), weights

    for bias in (True, False):
        module, example = Wrapped(bias=bias).eval(), (torch.randn(2, 7, 12),)
        anatomy = anatomy_of(module, example)
        assert "mix" not in {each.name for each in anatomy.groups}  # its mean weights show every head
        kept = {"first": np.arange(10)}
        for small, full in zip(
            run(extracted(module, anatomy, kept), example), run(masked(module, anatomy, kept), example), strict=True
        ):
            torch.testing.assert_close(small, full, atol=1e-5, rtol=1e-5)


WRONG = {
    "unknown": ({"x": [0]}, "the module has no group 'x'; it has net.l0, net.l1."),
    "nothing": ({"net.l0": []}, "group 'net.l0' must keep some of its 16 channels, sorted, each once."),
    "unsorted": ({"net.l0": [3, 1]}, "group 'net.l0' must keep some of its 16 channels, sorted, each once."),
    "too far": ({"net.l0": [3, 16]}, "group 'net.l0' must keep some of its 16 channels, sorted, each once."),
    "out of step": (
        {"net.l0": [0, 1], "net.l1": [0]},
        "groups 'net.l0' and 'net.l1' shrink together: 'net.l1' must keep 2 channels, got 1.",
    ),
}


@pytest.mark.parametrize(("kept", "message"), WRONG.values(), ids=WRONG)
def test_a_choice_that_does_not_fit_is_named(kept, message, make):
    case = make("lstm-2")
    anatomy = anatomy_of(case.module, case.example)
    with pytest.raises(InputError) as caught:
        extracted(case.module, anatomy, {name: np.array(index, dtype=int) for name, index in kept.items()})
    assert caught.value.message == message


def test_shared_weights_stay_shared():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 16)
            self.middle = nn.Linear(16, 16)
            self.last = nn.Linear(16, 20, bias=False)
            self.last.weight = self.table.weight

        def forward(self, tokens):
            x = self.table(tokens)
            return self.last(x + torch.relu(self.middle(x)))

    torch.manual_seed(0)
    module, example = Tied(), (torch.arange(10).reshape(2, 5),)
    anatomy = anatomy_of(module, example)
    assert [each.size for each in anatomy.groups] == [16]
    kept = {anatomy.groups[0].name: np.arange(0, 16, 3)}
    small = extracted(module, anatomy, kept)
    assert small.last.weight is small.table.weight
    torch.testing.assert_close(run(small, example), run(masked(module, anatomy, kept), example), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "residual", "depthwise"])
def test_groups_agree_with_torch_pruning(name, make):
    """Another library's dependency graph, found by other means, cuts the same layers to the same widths."""
    import torch_pruning

    case = make(name)
    anatomy = anatomy_of(case.module, case.example)
    for group in anatomy.groups:
        other = copy.deepcopy(case.module)
        graph = torch_pruning.DependencyGraph().build_dependency(other, example_inputs=case.example[0])
        root = other.get_submodule(group.name)
        gone = [1, 2, 5]
        graph.get_pruning_group(
            root,
            torch_pruning.prune_conv_out_channels if root.weight.ndim > 2 else torch_pruning.prune_linear_out_channels,
            gone,
        ).prune()
        kept = {group.name: np.setdiff1d(np.arange(group.size), gone)}
        ours = extracted(case.module, anatomy, kept).state_dict()
        theirs = other.state_dict()
        assert {n: tuple(v.shape) for n, v in ours.items()} == {n: tuple(v.shape) for n, v in theirs.items()}
        assert all(torch.equal(ours[each], theirs[each]) for each in ours)
