"""A file that is cut gives what the extracted module gives."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steelyard.core.errors import InputError
from steelyard.elastic.blocks import without_block
from steelyard.elastic.extraction import extracted
from steelyard.elastic.files import WholeFile, check_same, stored_values
from steelyard.elastic.groups import read_anatomy, slices_of
from steelyard.runtimes.onnxruntime.export import export
from steelyard.runtimes.onnxruntime.unfolded import export_unfolded

KINDS = (
    *("cnn", "residual", "depthwise", "mlp", "dense", "hourglass", "mixer", "lstm-2", "gru-1", "encoder"),
    *("decoder", "pairs", "attention-width", "padded"),
)


def run(path, rows):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {port.name: each for port, each in zip(session.get_inputs(), rows, strict=True)})


def opened(case, folder):
    rows = [each.numpy() for each in case.example]
    feed = rows[0] if len(rows) == 1 else {f"x{place}": each for place, each in enumerate(rows)}
    path = folder / "whole.onnx"
    return WholeFile(path, export_unfolded(case.module, feed, path))


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_file_gives_what_the_extracted_module_gives(name, make, half, tmp_path):
    case = make(name)
    anatomy = read_anatomy(case.module, case.example)
    kept = half(anatomy)
    opened(case, tmp_path).write(tmp_path / "small.onnx", slices_of(anatomy, kept))
    small = extracted(case.module, anatomy, kept)
    check_same(small, tmp_path / "small.onnx", case.example, run)
    more = tuple(torch.cat([each, each[:1]]) for each in case.example)
    check_same(small, tmp_path / "small.onnx", more, run)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 4, 5), nn.ReLU(), nn.Linear(5, 3),
    ).eval()  # fmt: skip
    example = (torch.randn(2, 1, 4, 4),)
    folder = tmp_path_factory.mktemp("plain")
    unread = export_unfolded(module, example[0].numpy(), folder / "whole.onnx")
    whole = WholeFile(folder / "whole.onnx", unread)
    return module, example, read_anatomy(module, example), whole, folder / "small.onnx"


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_choice_of_channels_of_a_cnn_is_cut_as_it_is_extracted(data, plain):
    module, example, anatomy, whole, path = plain
    kept = {
        each.name: np.array(sorted(data.draw(st.sets(st.integers(0, each.size - 1), min_size=1))))
        for each in anatomy.groups
    }
    whole.write(path, slices_of(anatomy, kept))
    assert check_same(extracted(module, anatomy, kept), path, example, run) <= 1e-5


def test_a_cut_file_is_no_larger_than_an_export_and_gives_the_same(plain, half, tmp_path):
    module, example, anatomy, whole, path = plain
    whole.write(path, slices_of(anatomy, half(anatomy)))
    export(extracted(module, anatomy, half(anatomy)), example[0].numpy(), tmp_path / "exported.onnx")
    rows = [torch.randn(5, 1, 4, 4).numpy()]
    np.testing.assert_allclose(run(path, rows)[0], run(tmp_path / "exported.onnx", rows)[0], atol=1e-5)
    # Names of batch norm's own tensors, which an export folds away.
    assert path.stat().st_size < (tmp_path / "exported.onnx").stat().st_size + 2000


def test_values_of_the_sub_network_s_own_take_the_place_of_slices(plain, half):
    module, example, anatomy, whole, path = plain
    small = extracted(module, anatomy, half(anatomy))
    with torch.no_grad():
        small[1].running_mean += 1
        small[3].weight *= 2
    whole.write(path, slices_of(anatomy, half(anatomy)), stored_values(small))
    check_same(small, path, example, run)


@pytest.mark.parametrize(
    ("name", "block"),
    [("residual", "1"), ("residual", "4"), ("encoder", "layers.layers.0"), ("encoder-post", "layers.layers.1")],
)
def test_a_file_without_a_block_gives_what_the_module_without_it_gives(name, block, make, tmp_path):
    case = make(name)
    opened(case, tmp_path).write(tmp_path / "small.onnx", {}, without=[block])
    check_same(without_block(case.module, block), tmp_path / "small.onnx", case.example, run)


def test_blocks_go_beside_channels(make, half, tmp_path):
    case = make("residual")
    short = without_block(without_block(case.module, "1"), "2")
    whole, cut = (read_anatomy(module, case.example) for module in (case.module, short))
    kept = {each.name: half(cut)[each.name] for each in cut.groups}
    opened(case, tmp_path).write(tmp_path / "small.onnx", slices_of(whole, kept), without=["2", "1"])
    check_same(extracted(short, cut, kept), tmp_path / "small.onnx", case.example, run)


def test_two_directions_of_the_same_units_are_cut(make, tmp_path):
    case = make("lstm-2-both")
    anatomy = read_anatomy(case.module, case.example)
    kept = {each.name: np.arange(6) for each in anatomy.groups}
    opened(case, tmp_path).write(tmp_path / "small.onnx", slices_of(anatomy, kept))
    check_same(extracted(case.module, anatomy, kept), tmp_path / "small.onnx", case.example, run)


def test_a_part_of_a_kernel_reads_less_padding(tmp_path):
    whole, small = nn.Conv2d(2, 3, 5, padding=2, stride=2), nn.Conv2d(2, 3, 3, padding=1, stride=2)
    small.weight.data, small.bias.data = whole.weight.data[:, :, 1:4, 1:4].clone(), whole.bias.data
    rows = torch.randn(2, 2, 9, 9)
    export_unfolded(whole, rows.numpy(), tmp_path / "whole.onnx")
    index = np.arange(1, 4)
    WholeFile(tmp_path / "whole.onnx").write(tmp_path / "small.onnx", {"weight": {2: index, 3: index}})
    check_same(small, tmp_path / "small.onnx", (rows,), run)


def test_a_file_of_other_outputs_is_refused(plain, half):
    module, example, anatomy, whole, path = plain
    small = extracted(module, anatomy, half(anatomy))
    whole.write(path, slices_of(anatomy, half(anatomy)))
    with torch.no_grad():
        small[8].bias.fill_(0.5)
        module[8].bias.fill_(0)
    whole.write(path, slices_of(anatomy, half(anatomy)), {"8.bias": torch.zeros(3)})
    with pytest.raises(InputError) as caught:
        check_same(small, path, example, run)
    assert str(caught.value).startswith("the sliced file's outputs differ from the module's by 0.5, more than 1")
    assert str(caught.value).endswith("e-05; export the smaller module itself.")


def test_a_file_of_outputs_of_another_shape_is_refused(plain):
    module, example, _, whole, path = plain
    whole.write(path, {"8.weight": {0: np.arange(2)}, "8.bias": {0: np.arange(2)}})
    with pytest.raises(InputError) as caught:
        check_same(module, path, example, run)
    assert str(caught.value) == (
        "the sliced file gives outputs of shapes (2, 2) where the module gives (2, 3); export the smaller module "
        "itself."
    )


def test_directions_of_different_units_are_refused(make, half, tmp_path):
    case = make("gru-1-both")
    anatomy = read_anatomy(case.module, case.example)
    with pytest.raises(InputError) as caught:
        opened(case, tmp_path).write(tmp_path / "small.onnx", slices_of(anatomy, half(anatomy)))
    assert str(caught.value) == (
        "the file can't be sliced: operator '/net/Concat_11' (Concat): its inputs keep different channels of axis 1; "
        "export the smaller module itself."
    )
    assert not (tmp_path / "small.onnx").exists()


def test_a_tensor_that_the_file_lacks_is_refused(plain):
    with pytest.raises(InputError) as caught:
        plain[3].write(plain[4], {"0.wieght": {0: np.arange(2)}})
    assert str(caught.value) == (
        "the file can't be sliced: it stores no tensor '0.wieght'; export the whole module unfolded, or the smaller "
        "module itself."
    )


def test_a_value_of_another_shape_is_refused(plain):
    with pytest.raises(InputError) as caught:
        plain[3].write(plain[4], {"0.bias": {0: np.arange(2)}}, {"0.bias": torch.zeros(3)})
    assert str(caught.value) == "value of '0.bias' must have the shape (2,) of its slice, got (3,)."
