import ast
from pathlib import Path

import pytest

import steelyard
from steelyard.core.errors import InputError
from steelyard.store.kit import MEASURING
from steelyard.store.sources import needed_sources

ROOT = Path(steelyard.__file__).parent.parent
ALLOWED = {"numpy", "steelyard", "onnxruntime"}


def test_imports_are_followed_and_packages_come_with_their_modules():
    found = needed_sources(["steelyard.core.quantity"])
    assert sorted(found) == [
        "steelyard/__init__.py",
        "steelyard/core/__init__.py",
        "steelyard/core/quantity.py",
        *(["steelyard/core/version.py"]),
    ]
    assert all((ROOT / name).samefile(path) for name, path in found.items())


def test_what_only_type_checkers_import_is_left_out():
    assert "steelyard/api.py" not in needed_sources(["steelyard.core.quantity"])


def test_what_measures_needs_nothing_but_numpy_and_the_runtime():
    import sys

    foreign = set()
    sources = needed_sources([*MEASURING, "steelyard.runtimes.onnxruntime.run"])
    # Encoded files alone are decoded by what lies in graph, with the ONNX library.
    plain = [path for name, path in sources.items() if not name.startswith("steelyard/graph/")]
    for path in plain:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            foreign |= {name.partition(".")[0] for name in names}
    assert foreign - sys.stdlib_module_names <= ALLOWED


def test_a_module_that_is_not_ours_is_refused():
    with pytest.raises(InputError) as caught:
        needed_sources(["numpy.linalg"])
    assert caught.value.message == (
        "a kit can't carry 'numpy': it is no module of steelyard's own; use a runtime that ships with it."
    )
