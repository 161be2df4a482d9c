"""Smaller modules of what is kept, and the same by zeroing."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from steelyard.elastic.attention import HeadwiseAttention
from steelyard.elastic.groups import Anatomy, Held, Kept


def extracted(module: nn.Module, anatomy: Anatomy, kept: Kept) -> nn.Module:
    """A copy that holds only the channels kept; names of parameters stay, the module given is left as it was.

    Raises:
        InputError: if the choice does not fit the anatomy.
    """
    anatomy.check(kept)
    small = _copied(module, kept)
    tensors = _named(small)
    for name, axes in anatomy.slices(kept).items():
        value = tensors[name].detach()
        for axis, index in axes.items():
            value = value.index_select(axis, torch.from_numpy(index))
        _replace(small, tensors[name], value.clone())
    for held in anatomy.held:
        _resize(small, held, kept)
    for name, each in list(small.named_modules()):
        if isinstance(each, nn.MultiheadAttention) and _shrunk(module, name, each):
            _put(small, name, _headwise(module.get_submodule(name), each))
    return small


def _copied(module: nn.Module, kept: Kept) -> nn.Module:
    """A copy whose encoders of torch's make no nested tensors of padded rows: what replaces a part can't take them."""
    copied = copy.deepcopy(module)
    for each in copied.modules():
        if kept and isinstance(each, nn.TransformerEncoder):
            each.enable_nested_tensor = False
            each.use_nested_tensor = False
    return copied


def _named(module: nn.Module) -> dict[str, Tensor]:
    """Stored tensors by their first name."""
    return dict([*module.named_parameters(), *module.named_buffers()])


def _replace(module: nn.Module, old: Tensor, value: Tensor) -> None:
    """Put a value in every place that holds a stored tensor, so that what was shared stays shared."""
    new = nn.Parameter(value, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else value
    for owner in module.modules():
        for name, each in [*owner.named_parameters(recurse=False), *owner.named_buffers(recurse=False)]:
            if each is old:
                # Recurrent nets keep a list of their weights, which follows when an attribute is set.
                setattr(owner, name, new)


def _resize(module: nn.Module, held: Held, kept: Kept) -> None:
    """Write the size of an axis into the attribute that holds it."""
    size = len(held.axis.kept(kept))
    owner = module.get_submodule(held.module)
    if size == held.axis.length:
        return
    if held.place < 0:
        setattr(owner, held.attribute, size)
        return
    value = list(getattr(owner, held.attribute))
    value[held.place] = size
    setattr(owner, held.attribute, type(getattr(owner, held.attribute))(value))


def _put(module: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(parent), leaf, new)


def _shrunk(module: nn.Module, name: str, small: nn.MultiheadAttention) -> bool:
    whole = module.get_submodule(name)
    return [each.shape for each in whole.parameters()] != [each.shape for each in small.parameters()]


def _headwise(whole: Any, small: Any) -> HeadwiseAttention:
    biases = () if small.in_proj_bias is None else (small.in_proj_bias, small.out_proj.bias)
    weights = (small.in_proj_weight, small.out_proj.weight, *biases)
    return HeadwiseAttention(whole, small.out_proj.weight.shape[1] // whole.head_dim, weights)


def masked(module: nn.Module, anatomy: Anatomy, kept: Kept) -> nn.Module:
    """A copy of full size that gives what the extracted module gives: everything sliced away is zero.

    Layers whose statistics run over channels take them over those kept.
    """
    same = _copied(module, kept)
    tensors = _named(same)
    norms: dict[str, Tensor] = {}
    for name, axes in anatomy.slices(kept).items():
        for axis, index in axes.items():
            stays = torch.zeros(tensors[name].shape[axis])
            stays[torch.from_numpy(index)] = 1
            shape = [1] * tensors[name].ndim
            shape[axis] = -1
            with torch.no_grad():
                tensors[name].mul_(stays.reshape(shape).to(tensors[name].dtype))
    for held in anatomy.held:
        if held.module in anatomy.norms and held.attribute == "normalized_shape":
            stays_at = held.axis.kept(kept)
            if len(stays_at) < held.axis.length:
                norms[held.module] = torch.from_numpy(stays_at)
    for name, stay in norms.items():
        same.get_submodule(name).register_forward_hook(_KeptNorm(stay))
    return same


class _KeptNorm:
    """A hook on a layer norm: its statistics run over some of its channels, the others are zero.

    As a hook it also keeps torch's fused encoder kernel away, which would read the norm's weights itself.
    """

    def __init__(self, index: Tensor) -> None:
        self.index = index

    def __call__(self, norm: Any, given: tuple[Any, ...], _: Tensor) -> Tensor:
        x = given[0]
        weight, bias = (getattr(norm, each, None) for each in ("weight", "bias"))
        part, size = x.index_select(-1, self.index), (len(self.index),)
        chosen = None if weight is None else weight[self.index]
        if isinstance(norm, nn.RMSNorm):
            part = nn.functional.rms_norm(part, size, chosen, norm.eps)
        else:
            part = nn.functional.layer_norm(part, size, chosen, None if bias is None else bias[self.index], norm.eps)
        return torch.zeros_like(x).index_copy(-1, self.index, part)
