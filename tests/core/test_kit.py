from dataclasses import replace

import pytest

from steelyard.core.kit import Kit, KitPoint

POINT = KitPoint("mlp (width 4)", "variants/a/model.onnx", "onnxruntime", "module:load", ("onnxruntime",))
KIT = Kit("d" * 12, "digits", {"a" * 12: POINT}, "a" * 12, "inputs.npy", "random", packages=("numpy==2",))


def test_what_was_written_is_read_back_the_same():
    assert Kit.from_json(KIT.to_json()) == KIT


def test_a_variant_keeps_its_options_and_without_any_has_no_such_field():
    point = replace(POINT, options=(("arena", False), ("threads", 2)))
    assert KitPoint.from_json(point.to_json()) == point
    assert "options" not in POINT.to_json()


def test_a_kit_that_was_changed_is_noticed():
    with pytest.raises(ValueError, match=r"^it was changed after the kit was made$"):
        Kit.from_json({**KIT.to_json(), "task": "another"})
    with pytest.raises(ValueError, match=r"^its schema is 2, where 1 is read$"):
        Kit.from_json({**KIT.to_json(), "schema": 2})
