import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from steelyard.core.errors import InputError, RuntimeFailureError
from steelyard.runtimes.torch.export import EXPORTER
from steelyard.runtimes.torch.run import RUNTIME, open_session
from steelyard.testing import check_runtime


@pytest.fixture
def model(trained, tmp_path):
    EXPORTER.export(trained.module, trained.x[:2], tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


@pytest.fixture(autouse=True)
def one_thread():
    """torch has one number of threads a process; what a test asks for must not reach the next."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Evil:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile(model, target, mark):
    """A copy of a .pt2 file whose first weight is a pickle that runs code: what a stranger could send."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(target, "w") as made:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("model_weights_config.json"):
                config = json.loads(content)
                first = next(iter(config["config"].values()))
                first["use_pickle"] = True
                content = json.dumps(config).encode()
                evil = first["path_name"]
            made.writestr(name, content)
        folder = next(name for name in source.namelist() if name.endswith(f"weights/{evil}"))
    rewritten = target.with_suffix(".new")
    with zipfile.ZipFile(target) as source, zipfile.ZipFile(rewritten, "w") as made:
        for name in source.namelist():
            made.writestr(name, pickle.dumps(Evil(mark)) if name == folder else source.read(name))
    rewritten.replace(target)
    return target


@pytest.mark.slow
def test_the_contract_holds_and_the_file_gives_what_the_module_gives(model, trained, parity):
    check_runtime(RUNTIME, model, trained.x[:9])
    parity(trained.y, RUNTIME.load(model, trust=True).run(trained.x))


def test_a_hostile_file_is_refused_unopened_and_would_have_run_its_code(model, tmp_path):
    mark = tmp_path / "mark"
    path = hostile(model, tmp_path / "hostile.pt2", mark)
    message = "hostile.pt2 can run code when it is opened; if you trust whoever made it, say so with --trust."
    for action in (lambda: RUNTIME.load(path), lambda: open_session(str(path), 1)):
        with pytest.raises(InputError) as caught:
            action()
        assert str(caught.value) == message
        assert not mark.exists()
    with pytest.raises(RuntimeFailureError, match=r"^torch can't load hostile.pt2: [^\n]+$"):
        RUNTIME.load(path, trust=True)
    assert mark.exists()


def test_no_row_of_the_user_and_no_pickle_is_in_the_file(model):
    with zipfile.ZipFile(model) as archive:
        sizes = {name.partition("/")[2]: archive.getinfo(name).file_size for name in archive.namelist()}
        assert sizes["data/sample_inputs/model.pt"] == 0
        config = next(name for name in archive.namelist() if name.endswith("model_weights_config.json"))
        assert not any(each["use_pickle"] for each in json.loads(archive.read(config))["config"].values())


@pytest.mark.slow
def test_a_compiled_program_gives_the_same(trained_cnn, parity, tmp_path):
    EXPORTER.export(trained_cnn.module, trained_cnn.x[:2], tmp_path / "model.pt2")
    parity(trained_cnn.y, RUNTIME.load(tmp_path / "model.pt2", trust=True, compiled=True).run(trained_cnn.x))


def test_rows_that_do_not_fit_are_refused_in_one_sentence(model):
    x = np.ones((2, 3), np.float32)
    with pytest.raises(RuntimeFailureError, match=r"^torch failed to run the model: [^\n]+$"):
        RUNTIME.load(model, trust=True).run(x)


def test_the_first_axis_is_free(model, trained, parity):
    session = RUNTIME.load(model, trust=True)
    for rows in (1, 2, 100):
        parity(trained.y[:rows], session.run(trained.x[:rows]))


def test_a_module_that_can_not_be_exported_is_refused_in_one_sentence(tmp_path):
    import torch

    class Stubborn(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("not today\nnor tomorrow")

    with pytest.raises(RuntimeFailureError, match=r"^torch can't export the module: [^\n]+$"):
        EXPORTER.export(Stubborn(), np.ones((2, 3), np.float32), tmp_path / "m.pt2")
