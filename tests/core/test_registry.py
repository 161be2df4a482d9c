import pytest

from steelyard.builtin import registry as builtin
from steelyard.core.errors import InputError, UnknownNameError
from steelyard.core.registry import SHELVES, Lazy, Registry, import_object


def test_a_registry_is_extended_by_copy():
    first = Registry({"step": {"a": 1}})
    second = first.with_entry("step", "b", 2).with_entry("task", "c", 3)
    assert first.names("step") == ("a",)
    assert second.names("step") == ("a", "b")
    assert second.get("task", "c") == 3
    assert first.names("task") == ()


def test_an_entry_can_be_replaced():
    assert Registry({"step": {"a": 1}}).with_entry("step", "a", 2).get("step", "a") == 2


def test_a_lazy_entry_is_imported_when_it_is_used():
    registry = Registry({"step": {"good": Lazy("json:dumps"), "bad": Lazy("no_such_module_here:x")}})
    import json

    assert registry.get("step", "good") is json.dumps
    assert registry.names("step") == ("good", "bad")


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        builtin.get("strategy", "radnom")
    assert str(caught.value) == "strategy 'radnom' is not known; did you mean 'random'?"
    assert caught.value.field == "strategy"


def test_an_unknown_shelf_is_refused():
    with pytest.raises(UnknownNameError) as caught:
        builtin.with_entry("familly", "x", 1)
    assert str(caught.value) == "kind of plugin 'familly' is not known; did you mean 'family'?"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("json", "'plugin' must be 'module:name', got 'json'."),
        (":dumps", "'plugin' must be 'module:name', got ':dumps'."),
        ("json:", "'plugin' must be 'module:name', got 'json:'."),
        ("json:nothing", "module 'json' has no 'nothing'; check the name after the colon."),
        (
            "no_such_module_here:x",
            "module 'no_such_module_here' of 'no_such_module_here:x' can't be found; is it on the path?",
        ),
    ],
)
def test_a_bad_address_is_refused_in_one_sentence(address, sentence):
    with pytest.raises(InputError) as caught:
        import_object(address, field="plugin")
    assert str(caught.value) == sentence


def test_a_module_that_lacks_a_library_of_its_own_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "plugin_of_a_stranger.py").write_text("import library_that_is_missing", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="library_that_is_missing"):
        import_object("plugin_of_a_stranger:x")


def test_every_shelf_of_what_ships_is_a_kind_of_plugin():
    assert set(builtin.shelves) == set(SHELVES)


@pytest.mark.parametrize(
    ("shelf", "name"), [(s, n) for s in SHELVES if s != "task" for n in builtin.names(s)], ids=lambda each: each
)
def test_what_ships_is_registered_under_its_own_name(shelf, name):
    assert builtin.get(shelf, name).name == name
