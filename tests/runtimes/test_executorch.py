import numpy as np
import pytest

from steelyard.core.errors import MissingExtraError, RuntimeFailureError
from steelyard.runtimes.executorch.export import EXPORTER
from steelyard.runtimes.executorch.run import LARGEST_BATCH, RUNTIME
from steelyard.testing import check_runtime

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def model(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("executorch") / "model.pte"
    EXPORTER.export(trained.module, trained.x[:2], path)
    return path


def test_the_contract_holds_and_the_file_gives_what_the_module_gives(model, trained, parity):
    check_runtime(RUNTIME, model, trained.x[:9])
    parity(trained.y, RUNTIME.load(model).run(trained.x))


def test_batches_up_to_what_memory_is_planned_for_and_beyond_it(model, trained, parity):
    session = RUNTIME.load(model)
    for rows in (1, LARGEST_BATCH, LARGEST_BATCH + 1, 3 * LARGEST_BATCH):
        parity(trained.y[:rows], session.run(trained.x[:rows]))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"this is none\n" * 9, "it is no ExecuTorch file"),
        (b"\x3c\0\0\0ET12eh00\x20\0\0\0" + b"\xff\xff\0\0\0\0\0\0" * 2, "the file is cut short"),
        (b"", "the file is empty"),
    ],
)
def test_garbage_is_refused_in_one_sentence(content, why, tmp_path):
    (tmp_path / "broken.pte").write_bytes(content)
    with pytest.raises(RuntimeFailureError) as caught:
        RUNTIME.load(tmp_path / "broken.pte")
    assert str(caught.value) == f"ExecuTorch can't load broken.pte: {why}."


@pytest.mark.parametrize("x", [np.ones((2, 3), np.float32), np.ones((2, 8, 8), np.int64)], ids=["shape", "type"])
def test_rows_that_do_not_fit_are_refused_in_one_sentence(model, x):
    with pytest.raises(RuntimeFailureError, match=r"^ExecuTorch failed to run the model: [^\n]+$"):
        RUNTIME.load(model).run(x)


def test_a_missing_library_is_named_with_its_install_line(model, monkeypatch):
    for name in ("executorch", "executorch.runtime"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    message = "the runtime 'executorch' needs executorch; install it with: pip install 'steelyard[executorch]'"
    for action in (lambda: RUNTIME.load(model), EXPORTER.check):
        with pytest.raises(MissingExtraError) as caught:
            action()
        assert str(caught.value) == message
