"""What layers do to labels: they take channels along one axis of their weights and make new ones along another."""

import math
from typing import Any

import numpy as np
from torch import Tensor, nn

from steelyard.core.task import Array
from steelyard.elastic.rules import RULES, channelwise
from steelyard.elastic.tracing import Call, Rule, Tracer, varies


def _given(names: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by their names."""
    found = dict.fromkeys(names.split())
    found.update(zip(names.split(), args, strict=False))
    found.update({key: value for key, value in kwargs.items() if key in found})
    return found


def linear(tracer: Tracer, call: Call) -> None:
    """A linear layer: weights (out, in)."""
    given = _given("input weight bias", call.args, call.kwargs)
    source, weight = given["input"], given["weight"]
    labels = tracer.zeros(source)
    along = [axis for axis in range(source.ndim) if varies(labels, axis)]
    if along and source.ndim - 1 not in along:
        _across(tracer, call, weight, labels)
        return
    taken = tracer.along(source, source.ndim - 1)
    tracer.bind(weight, 1, taken)
    made = tracer.made(weight, 0, weight.shape[0])
    tracer.bind(given["bias"], 0, made)
    tracer.set(call.found, np.broadcast_to(made, tuple(call.found.shape)))
    tracer.holds("in_features", taken)
    tracer.holds("out_features", made)
    tracer.cost(weight, call.found.numel() / weight.shape[0], taken, made)


def _across(tracer: Tracer, call: Call, weight: Tensor, labels: Array) -> None:
    """A linear layer that mixes something else than channels (steps, the inside of a head) leaves them."""
    passed = np.array(np.broadcast_to(labels[..., :1], tuple(call.found.shape)))
    tracer.set(call.found, passed)
    for axis, known in enumerate(tracer.trace.axes.get(tracer.stored(weight) or "", [])):
        if known is not None:
            tracer.labels.fix(known, f"{tracer.stored(weight)} is shared with a place that mixes something else")
            tracer.trace.axes[tracer.stored(weight) or ""][axis] = None
    tracer.cost(weight, weight.shape[1], passed.ravel())


def convolution(tracer: Tracer, call: Call) -> None:
    """A convolution: weights (out, in / groups, ...), transposed ones (in, out / groups, ...)."""
    turned = "transpose" in call.name
    order = "stride padding output_padding groups dilation" if turned else "stride padding dilation groups"
    given = _given(f"input weight bias {order}", call.args, call.kwargs)
    source, weight, groups = given["input"], given["weight"], given["groups"] or 1
    axis = source.ndim - weight.ndim + 1
    taken = tracer.along(source, axis)
    area = call.found.numel() / call.found.shape[axis] * math.prod(weight.shape[2:])
    if turned:
        area *= math.prod(source.shape[axis + 1 :]) / math.prod(call.found.shape[axis + 1 :])
    if groups == 1:
        tracer.bind(weight, 0 if turned else 1, taken)
        made = tracer.made(weight, 1 if turned else 0, call.found.shape[axis])
        tracer.cost(weight, area, taken, made)
    else:
        made = _grouped(tracer, taken, groups, call.found.shape[axis])
        tracer.holds("groups", made[:: len(made) // groups])
        tracer.bind(weight, 0, taken if turned else made)
        tracer.cost(weight, area * len(taken) / groups, made)
    tracer.bind(given["bias"], 0, made)
    tracer.holds("in_channels", taken)
    tracer.holds("out_channels", made)
    shape = [1] * call.found.ndim
    shape[axis] = len(made)
    tracer.set(call.found, np.broadcast_to(made.reshape(shape), tuple(call.found.shape)))


def _grouped(tracer: Tracer, taken: Array, groups: int, out: int) -> Array:
    """Outputs of a grouped convolution live and die with their group's inputs, all of them."""
    blocks = taken.reshape(groups, -1)
    tracer.labels.fix(blocks[(blocks == 0).any(axis=1)], "a group of a convolution takes what is no channel")
    tracer.labels.union(np.array(np.broadcast_to(blocks[:, :1], blocks.shape)), blocks)
    return np.repeat(tracer.labels.find(blocks[:, 0]), out // groups)


def batch_norm(tracer: Tracer, call: Call) -> None:
    """Normalisation of each channel alone: batch norm and instance norm."""
    given = _given("input running_mean running_var weight bias", call.args, call.kwargs)
    along = channelwise(tracer, given["input"], call.found, 1)
    tracer.holds("num_features", along)
    for each in ("running_mean", "running_var", "weight", "bias"):
        if given[each] is not None:
            tracer.bind(given[each], 0, along)


def layer_norm(tracer: Tracer, call: Call) -> None:
    """Normalisation over the last axis: its statistics run over the channels that are kept."""
    given = _given("input normalized_shape weight" + " bias" * (call.name == "layer_norm"), call.args, call.kwargs)
    source = given["input"]
    labels = tracer.zeros(source)
    if not varies(labels, source.ndim - 1):
        tracer.set(call.found, labels)
        return
    if len(given["normalized_shape"]) > 1:
        tracer.fix(source, "layer norm runs over several axes of it")
        return
    if not isinstance(tracer.modules[tracer.stack[-1]], nn.LayerNorm | nn.RMSNorm):
        tracer.fix(source, f"{call.name} is called outside of a layer of its own")
        return
    along = tracer.along(source, source.ndim - 1)
    tracer.holds("normalized_shape", along)
    for each in ("weight", "bias"):
        if given.get(each) is not None:
            tracer.bind(given[each], 0, along)
    tracer.trace.norms.add(tracer.stack[-1])
    tracer.set(call.found, np.broadcast_to(along, tuple(call.found.shape)))


def group_norm(tracer: Tracer, call: Call) -> None:
    """Normalisation of groups of channels: whole groups go."""
    given = _given("input num_groups weight bias", call.args, call.kwargs)
    along = tracer.along(given["input"], 1)
    whole = _grouped(tracer, along, given["num_groups"], len(along)) if along.any() else along
    if along.any():
        tracer.holds("num_channels", whole)
        tracer.holds("num_groups", whole[:: len(whole) // given["num_groups"]])
    for each in ("weight", "bias"):
        if given[each] is not None:
            tracer.bind(given[each], 0, whole)
    channelwise(tracer, given["input"], call.found, 1)


def prelu(tracer: Tracer, call: Call) -> None:
    """A slope for each channel, or one for all."""
    source, weight = call.args[:2]
    if weight.numel() > 1:
        tracer.bind(weight, 0, tracer.along(source, 1))
        tracer.holds("num_parameters", tracer.along(source, 1))
    tracer.set(call.found, tracer.zeros(source))


def embedding(tracer: Tracer, call: Call) -> None:
    """A table (codes, width): its width is made, its codes stay."""
    weight = _given("input weight", call.args, call.kwargs)["weight"]
    made = tracer.made(weight, 1, weight.shape[1])
    tracer.holds("embedding_dim", made)
    tracer.set(call.found, np.broadcast_to(made, tuple(call.found.shape)))


GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def recurrent(tracer: Tracer, call: Call) -> None:
    """A recurrent net: each layer and direction makes hidden units, all gates of a unit go together.

    All layers and directions must keep the same number of units, since `torch.nn.LSTM` and `GRU` have one hidden size.
    """
    if isinstance(call.args[3], list | tuple):
        tracer.fix(call.args[0], "its recurrent net takes packed sequences")
        return
    source, states, weights, has_bias, layers, _, _, both = call.args[:8]
    states = states if isinstance(states, list | tuple) else (states,)
    count, gates = 1 + bool(both), GATES[call.name]
    each = len(weights) // (layers * count)
    if each == 5 or (not has_bias and each == 3):
        tracer.fix(source, "its recurrent net projects its hidden state (proj_size)")
        return
    taken = tracer.along(source, 2)
    tracer.holds("input_size", taken)
    steps = source.shape[0] * source.shape[1]
    origins, last = [], []
    for layer in range(layers):
        outs = []
        for direction in range(count):
            start = (layer * count + direction) * each
            hidden = _cell(tracer, weights[start : start + each], taken, gates, steps)
            origins.append(int(tracer.labels.origin[hidden[0]]))
            outs.append(hidden)
        last.extend(outs)
        taken = np.concatenate(outs)
    tracer.holds("hidden_size", last[0])
    tracer.labels.alike.append(tuple(origins))
    output, *ends = call.found
    tracer.set(output, np.broadcast_to(taken, tuple(output.shape)))
    stacked = np.stack(last)[:, None, :]
    for state in states:
        known = tracer.zeros(state)
        if known.any():
            tracer.labels.union(np.array(np.broadcast_to(stacked, known.shape)), known)
    for end in ends:
        tracer.set(end, np.broadcast_to(stacked, tuple(end.shape)))


def _cell(tracer: Tracer, weights: Any, taken: Array, gates: int, steps: int) -> Array:
    """One layer and direction: weights (gates · hidden, in), (gates · hidden, hidden), and biases."""
    into, again, *biases = weights
    name = tracer.stored(again)
    known = tracer.trace.axes[name][1] if name is not None else None
    hidden = known
    if hidden is None:
        label = (name or "").replace("weight_hh_", "").removesuffix(".weight_hh")
        hidden = tracer.labels.fresh(again.shape[1], label)
    tracer.bind(again, 1, hidden)
    tracer.bind(into, 1, taken)
    gated = np.tile(hidden, gates)
    for tensor in (into, again, *biases):
        tracer.bind(tensor, 0, gated)
    tracer.cost(again, steps, gated, taken)
    tracer.cost(again, steps, gated, hidden)
    return hidden


def single_step(tracer: Tracer, call: Call) -> None:
    """One step of a recurrent cell (`torch.nn.LSTMCell`, `GRUCell`): its states are its units."""
    source, states, *weights = call.args
    states = states if isinstance(states, list | tuple) else (states,)
    gates = GATES[call.name.removesuffix("_cell")]
    given = [each for each in weights if each is not None]
    hidden = _cell(tracer, given, tracer.along(source, source.ndim - 1), gates, source.shape[0])
    tracer.holds("input_size", tracer.along(source, source.ndim - 1))
    tracer.holds("hidden_size", hidden)
    for state in states:
        known = tracer.zeros(state)
        tracer.labels.union(np.where(known == 0, 0, np.broadcast_to(hidden, known.shape)), known)
    for each in call.found if isinstance(call.found, tuple) else (call.found,):
        tracer.set(each, np.broadcast_to(hidden, tuple(each.shape)))


def multi_head(tracer: Tracer, call: Call) -> None:
    """`torch.nn.MultiheadAttention`: whole heads go; inputs and outputs are the widths around it."""
    given = _given(
        "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn "
        "dropout_p out_proj_weight out_proj_bias",
        call.args,
        call.kwargs,
    )
    query, key, value = given["query"], given["key"], given["value"]
    if call.kwargs.get("use_separate_proj_weight") or given["bias_k"] is not None or given["add_zero_attn"]:
        for each in (query, key, value):
            tracer.fix(each, "its attention has projections or biases of another form")
        return
    taken = tracer.along(query, query.ndim - 1)
    weight, last = given["in_proj_weight"], given["out_proj_weight"]
    for each in (query, key, value):
        tracer.bind(weight, 1, tracer.along(each, each.ndim - 1))
    heads, width = given["num_heads"], given["embed_dim_to_check"]
    known = tracer.trace.axes[tracer.stored(last) or ""][1]
    inner = np.repeat(tracer.labels.fresh(heads, tracer.stack[-1]), width // heads) if known is None else known
    tracer.bind(weight, 0, np.tile(inner, 3))
    tracer.bind(given["in_proj_bias"], 0, np.tile(inner, 3))
    tracer.bind(last, 1, inner)
    made = tracer.made(last, 0, width)
    tracer.bind(given["out_proj_bias"], 0, made)
    output = call.found[0]
    tracer.set(output, np.broadcast_to(made, tuple(output.shape)))
    steps = math.prod(query.shape[:-1])
    tracer.cost(weight, 3 * steps, taken, inner)
    tracer.cost(weight, steps, inner, made)
    tracer.cost(weight, 2 * steps * key.shape[0 if key.ndim == 3 else -2], inner)


ALL_RULES: dict[str, Rule] = {
    **RULES,
    "linear": linear,
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), convolution
    ),
    **dict.fromkeys(("batch_norm", "instance_norm"), batch_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), layer_norm),
    "group_norm": group_norm,
    "prelu": prelu,
    **dict.fromkeys(("embedding", "embedding_bag"), embedding),
    **dict.fromkeys(GATES, recurrent),
    **dict.fromkeys((f"{kind}_cell" for kind in GATES), single_step),
    "multi_head_attention_forward": multi_head,
}
"""Rules by the names of calls, layers included."""
