"""Which files of steelyard some modules need, found by following imports: what a kit has to carry."""

import ast
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from steelyard.core.errors import InputError

PACKAGE = "steelyard"


def needed_sources(modules: Iterable[str]) -> dict[str, Path]:
    """The source files of the modules and of all that they import from steelyard, by path relative to its parent.

    Imports inside functions count, those for type checkers only don't. Nothing is imported to find out.

    Raises:
        InputError: if a module is not steelyard's own, or has no source.
    """
    waiting, found = list(modules), {}
    while waiting:
        name = waiting.pop()
        for part in _with_parents(name):
            path = _source(part)
            relative = _relative(part, path)
            if relative not in found:
                found[relative] = path
                # A package's own `__init__` lists public names lazily; they are imported by nobody here.
                waiting += _imported(path)
    return dict(sorted(found.items()))


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))


def _source(name: str) -> Path:
    spec = importlib.util.find_spec(name) if name.partition(".")[0] == PACKAGE else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(
            f"a kit can't carry {name!r}: it is no module of steelyard's own; use a runtime that ships with it.",
            field="runtime",
        )
    return Path(spec.origin)


def _relative(name: str, path: Path) -> str:
    folder = name.replace(".", "/")
    return f"{folder}/__init__.py" if path.name == "__init__.py" else f"{folder}.py"


def _imported(path: Path) -> list[str]:
    """Modules of steelyard that a file imports when it runs."""
    names: list[str] = []
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.append(node.module)
            # `from steelyard.runtimes import onnxruntime` names a module too.
            names += [each for alias in node.names if _is_module(each := f"{node.module}.{alias.name}")]
    return [name for name in names if name.partition(".")[0] == PACKAGE]


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _running(node)


def _is_module(name: str) -> bool:
    if name.partition(".")[0] != PACKAGE:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False
