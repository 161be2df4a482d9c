"""Several models as one file: what their vote gives is the mean of what they give."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from steelyard.core.errors import InputError
from steelyard.graph.voting import vote_of

ROWS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


def net(seed: int, width: int, outputs: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


def models(export, outputs: int = 3, count: int = 3):
    return [
        onnx.load(export(net(seed, 4 + seed, outputs), torch.from_numpy(ROWS), f"{seed}.onnx")) for seed in range(count)
    ]


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": ROWS})
    return found


def softmax(scores: np.ndarray) -> np.ndarray:
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def test_the_softmax_of_a_vote_is_the_mean_of_its_members_probabilities(export):
    parts = models(export)
    before = [each.SerializeToString() for each in parts]
    vote = vote_of(parts, decides=True)
    onnx.checker.check_model(vote, full_check=True)
    wanted = np.mean([softmax(run(each)) for each in parts], axis=0)
    np.testing.assert_allclose(softmax(run(vote)), wanted, rtol=1e-5, atol=1e-6)
    assert [each.SerializeToString() for each in parts] == before


def test_a_vote_on_values_is_their_mean(export):
    parts = models(export, outputs=1)
    vote = vote_of(parts, decides=False)
    np.testing.assert_allclose(run(vote), np.mean([run(each) for each in parts], axis=0), rtol=1e-5)


def test_a_model_that_votes_with_itself_decides_as_before(export):
    (one,) = models(export, count=1)
    np.testing.assert_array_equal(run(vote_of([one, one], decides=True)).argmax(1), run(one).argmax(1))


def test_a_vote_keeps_a_free_batch_and_the_names_of_input_and_output(export):
    vote = vote_of(models(export), decides=True)
    assert [each.name for each in vote.graph.input] == ["x"]
    assert [each.name for each in vote.graph.output] == ["y"]
    assert vote.graph.output[0].type.tensor_type.shape.dim[0].dim_param


def test_int8_members_vote_beside_others(export, quantize):
    parts = models(export, count=2)
    small = onnx.load(quantize(export(net(5, 8, 3), torch.from_numpy(ROWS), "five.onnx"), ROWS))
    found = run(vote_of([*parts, small], decides=True))
    wanted = np.mean([softmax(run(each)) for each in (*parts, small)], axis=0)
    np.testing.assert_allclose(softmax(found), wanted, rtol=1e-4, atol=1e-5)


def test_one_member_is_no_vote(export):
    with pytest.raises(InputError, match=r"^a vote must have two members or more, got 1\.$"):
        vote_of(models(export, count=1), decides=True)


def test_members_of_other_inputs_or_versions_are_refused(export):
    one, other = models(export, count=2)
    other.graph.input[0].name = "z"
    with pytest.raises(InputError, match=r"^members of a vote must take the same single input\.$"):
        vote_of([one, other], decides=True)
    other.graph.input[0].name = "x"
    other.opset_import[0].version = 18
    with pytest.raises(
        InputError, match=r"^members of a vote must be of one version of ONNX's operators, got 17 and 18\.$"
    ):
        vote_of([one, other], decides=True)
