"""Trees as an ONNX file: skl2onnx's conversion, and around it what turns raw rows into what the trees were given."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from steelyard.families.categories import Recoding

OPSET = 18
ML_OPSET = 3
INPUT, TREES_INPUT, SCORES, OUTPUT = "input", "columns", "scores", "output"


def write_trees(model: Any, recoding: Recoding, width: int, path: Path) -> None:
    """Write fitted histogram gradient boosting; the file takes raw rows (n, columns) and gives (n, width).

    Thresholds are rounded down to float32 first: a value in float32 is below the one exactly when it is below the
    other, so no row goes another way in the file than in the model.
    """
    _round_thresholds(model)
    columns = len(recoding.kept) + len(recoding.recoded)
    nodes, tensors = _recoding_nodes(recoding)
    source = TREES_INPUT if nodes else INPUT
    result = SCORES if width == 2 else OUTPUT
    nodes.append(_ensemble(model, source, result))
    if width == 2:
        # One sum is the log-odds of the second class; each class is given half of it.
        tensors["halves"] = np.array([[-0.5, 0.5]], dtype=np.float32)
        nodes.append(helper.make_node("Mul", [SCORES, "halves"], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, ["batch", columns])],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="steelyard")
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())


def _round_thresholds(model: Any) -> None:
    for trees in model._predictors:
        for tree in trees:
            exact = tree.nodes["num_threshold"]
            rounded = exact.astype(np.float32)
            above = rounded.astype(np.float64) > exact
            rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
            tree.nodes["num_threshold"] = rounded


def _ensemble(model: Any, source: str, result: str) -> onnx.NodeProto:
    """All trees in one operator that sums their leaves, a target a class where there are three or more.

    skl2onnx writes each tree. Its converter of whole models can't be used: it gives classifiers an operator that
    computes labels too, and with onnx 1.23 it fails on the truth values among its attributes.
    """
    from skl2onnx.common.tree_ensemble import (  # noqa: PLC0415  an extra
        add_tree_to_attribute_pairs_hist_gradient_boosting,
        get_default_tree_regressor_attribute_pairs,
    )

    pairs = get_default_tree_regressor_attribute_pairs()
    number = 0
    for trees in model._predictors:
        for target, tree in enumerate(trees):
            add_tree_to_attribute_pairs_hist_gradient_boosting(
                pairs, False, tree, number, 1.0, target, False, dtype=np.float32
            )
            number += 1
    start = np.atleast_1d(np.asarray(model._baseline_prediction, dtype=np.float64).ravel())
    attributes = {name: _plain(values) for name, values in pairs.items() if values}
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        [result],
        domain="ai.onnx.ml",
        **{**attributes, "name": "trees", "n_targets": len(start), "base_values": start.astype(np.float32).tolist()},
    )


def _plain(values: Any) -> Any:
    """Numbers as onnx takes them: whole ones for whole ones and truth values, which skl2onnx mixes."""
    if isinstance(values, str):
        return values
    array = np.asarray(values)
    if array.dtype.kind in "buiO":
        return [int(each) for each in values]
    return values if array.dtype.kind in "US" else [float(each) for each in values]


def _recoding_nodes(recoding: Recoding) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Operators that turn codes into ranks by one look-up for all columns; none where no column is recoded."""
    if not recoding.recoded:
        return [], {}
    sizes = np.array([len(ranks) for ranks in recoding.ranks], dtype=np.int64)
    tensors: dict[str, Any] = {
        "recoded": np.array(recoding.recoded, dtype=np.int64),
        "offsets": np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)[None],
        "sizes": sizes.astype(np.float32)[None],
        "ranks": np.concatenate(recoding.ranks).astype(np.float32),
        "nothing": np.zeros(1, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Gather", [INPUT, "recoded"], ["raw_codes"], axis=1),
        # A code that there is none of counts as unknown, which is code 0; NaN is below nothing.
        helper.make_node("Less", ["raw_codes", "sizes"], ["is_low"]),
        helper.make_node("GreaterOrEqual", ["raw_codes", "nothing"], ["is_high"]),
        helper.make_node("And", ["is_low", "is_high"], ["is_known"]),
        helper.make_node("Where", ["is_known", "raw_codes", "nothing"], ["codes"]),
        helper.make_node("Cast", ["codes"], ["places"], to=onnx.TensorProto.INT64),
        helper.make_node("Add", ["places", "offsets"], ["entries"]),
        helper.make_node("Gather", ["ranks", "entries"], ["ranked"], axis=0),
    ]
    if not recoding.kept:
        nodes[-1].output[0] = TREES_INPUT
        return nodes, tensors
    tensors["kept"] = np.array(recoding.kept, dtype=np.int64)
    nodes += [
        helper.make_node("Gather", [INPUT, "kept"], ["numbers"], axis=1),
        helper.make_node("Concat", ["numbers", "ranked"], [TREES_INPUT], axis=1),
    ]
    return nodes, tensors
