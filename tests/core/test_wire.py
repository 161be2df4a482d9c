import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.core.wire import canonical, content_key, dumps, file_sha256, without_nan, write_text

finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
with_nan = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_canonical_text_comes_back_as_the_same_value(value):
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(st.text(), plain, max_size=6))
def test_the_order_of_keys_changes_neither_text_nor_key(value):
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert content_key(turned) == content_key(value)


def test_canonical_text_has_no_blanks_and_keeps_letters():
    assert canonical({"b": [1, 2.5], "a": {"é": None}}) == '{"a":{"é":null},"b":[1,2.5]}'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_canonical_text_refuses_what_is_no_number(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"loss": value})


@given(with_nan)
def test_text_for_people_is_strict_json_whatever_the_numbers(value):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(dumps(value), parse_constant=refuse)


def test_unknown_numbers_become_null_at_every_depth():
    value = {"a": math.nan, "b": [1.0, math.inf, (2, -math.inf)], 3: {"c": math.nan}}
    assert without_nan(value) == {"a": None, "b": [1.0, None, [2, None]], "3": {"c": None}}


def test_a_key_is_the_start_of_the_sha256_of_the_canonical_text():
    assert content_key({}) == "44136fa355b3"
    assert content_key({}, digits=64) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_a_files_hash_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_writing_replaces_the_text_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "report.json"
    write_text(path, "old")
    write_text(path, "new: é")
    assert path.read_text(encoding="utf-8") == "new: é"
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]
