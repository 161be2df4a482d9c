"""Weights of the user's own module: read without running anything, refused by name where they don't fit."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from steelyard.core.errors import InputError
from steelyard.training.weights import as_module, load_weights


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_weights_are_read_back(tmp_path: Path, suffix) -> None:
    source, path = net(), tmp_path / f"weights{suffix}"
    with torch.no_grad():
        source[0].weight += 1
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(source.state_dict(), path)
    target = net()
    load_weights(target, path)
    assert all(torch.equal(source.state_dict()[name], each) for name, each in target.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "'weights' w.safetensors lacks '0.weight'; is it of this model?"),
        ({"head": torch.zeros(1)}, "'weights' w.safetensors has the unknown 'head'; is it of this model?"),
        (
            {"0.weight": torch.zeros(2, 4)},
            "'weights' w.safetensors has another shape for '0.weight'; is it of this model?",
        ),
        (
            dict.fromkeys(("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean")),
            "'weights' w.safetensors lacks '0.weight', '0.bias', '1.weight', '1.bias' and 1 more; is it of this model?",
        ),
    ],
)
def test_weights_of_another_model_are_refused_by_their_keys(tmp_path: Path, change, message) -> None:
    tensors = {name: each for name, each in {**net().state_dict(), **change}.items() if each is not None}
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(InputError) as error:
        load_weights(net(), tmp_path / "w.safetensors")
    assert error.value.message == message


class Hostile:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Hostile()}, tmp_path / "w.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"0.weight": Hostile()}))
    for name in ("w.pt", "plain.pt"):
        with pytest.raises(InputError, match=rf"^'weights' {name} "):
            load_weights(net(), tmp_path / name)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"", "'weights' w.safetensors can't be read; was it cut short?"),
        ("w.safetensors", b"\xff" * 64, "'weights' w.safetensors can't be read; was it cut short?"),
        ("w.bin", b"x", "'weights' must be .safetensors or .pt, got 'w.bin'."),
    ],
)
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name, content, message) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load_weights(net(), tmp_path / name)
    assert error.value.message == message


def test_a_missing_file_and_a_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which does not exist"):
        load_weights(net(), tmp_path / "none.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"^'weights' list\.pt must hold a state dictionary of tensors\.$"):
        load_weights(net(), tmp_path / "list.pt")


def test_a_function_must_return_a_module_without_arguments() -> None:
    assert not as_module(net, "net.py:net").training
    with pytest.raises(InputError, match=r"must return a torch module, got int; check its return\.$"):
        as_module(lambda: 3, "net.py:net")
    with pytest.raises(InputError, match=r"without arguments, got TypeError: .*missing 1 required positional argument"):
        as_module(lambda width: net(), "net.py:net")


def test_a_module_that_was_frozen_to_run_learns_again() -> None:
    def frozen() -> torch.nn.Module:
        return net().requires_grad_(False)

    assert all(each.requires_grad for each in as_module(frozen, "net.py:frozen").parameters())
