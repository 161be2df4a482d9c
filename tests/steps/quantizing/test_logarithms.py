"""What makes a spectrum is told from what makes features."""

import numpy as np
import onnxruntime
import torch
from torch import nn

from steelyard.graph.reading import read_model
from steelyard.runtimes.onnxruntime.export import export
from steelyard.steps.quantize import QUANTIZE
from steelyard.steps.quantizing.logarithms import before_logarithms


class Spectrum(nn.Module):
    """Squares of a convolution, their sums, a logarithm; then features, and the logarithm of a softmax at the end."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.wave = nn.Conv1d(1, 8, 16, stride=8, bias=False)
        self.bands = nn.Conv1d(8, 4, 1, bias=False)
        self.bands.weight.data.abs_()
        self.features = nn.Conv1d(4, 64, 3)
        self.last = nn.Linear(64, 32)

    def forward(self, x):
        power = self.bands(self.wave(x.unsqueeze(1)) ** 2)
        found = torch.relu(self.features(torch.log(power + 1e-6))).mean(2)
        return torch.log(torch.softmax(self.last(found), dim=1))


def written(folder):
    path = folder / "net.onnx"
    export(Spectrum().eval(), np.zeros((2, 256), np.float32), path)
    return path


def test_only_what_a_logarithm_takes_by_sums_and_powers_is_found(tmp_path):
    found = before_logarithms(read_model(written(tmp_path)))
    assert sorted(name.split("/")[1] for name in found) == ["bands", "wave"]


def test_a_spectrum_stays_in_float_and_the_quantized_model_hears_as_before(tmp_path):
    source, target = written(tmp_path), tmp_path / "small.onnx"
    rng = np.random.default_rng(0)
    # One loud tone over much that is soft.
    rows = (rng.normal(0, 1e-2, (64, 256)) + np.sin(np.arange(256) / 3)).astype(np.float32)
    report = QUANTIZE.apply(source, target, iter([rows]))
    reasons = {each["name"].split("/")[1]: each["why"] for each in report["left_float"]}
    assert reasons == dict.fromkeys(
        ("wave", "bands"), "a logarithm takes what it gives, of which the smallest counts too"
    )
    wanted, got = (onnxruntime.InferenceSession(path).run(None, {"x": rows})[0] for path in (source, target))
    assert (wanted.argmax(1) == got.argmax(1)).mean() > 0.9
