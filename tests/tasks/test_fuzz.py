"""Whatever bytes stand in a file, a reader gives a task or one sentence."""

import io
import json
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from steelyard.core.errors import SteelyardError
from steelyard.tasks.reading import from_data

RECORDS = [{"a": row / 3, "c": "xy"[row % 2], "d": f"2024-01-{row + 1:02}", "label": row % 2} for row in range(24)]


def csv_bytes():
    return pl.DataFrame(RECORDS).write_csv().encode()


def parquet_bytes():
    stream = io.BytesIO()
    pl.DataFrame(RECORDS).write_parquet(stream)
    return stream.getvalue()


def jsonl_bytes():
    return "".join(json.dumps(row) + "\n" for row in RECORDS).encode()


def npz_bytes():
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(48.0).reshape(24, 2), y=np.arange(24) % 2)
    return stream.getvalue()


def zip_bytes(mutate=lambda content: content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(12):
            for name, form in (("cat", "PNG"), ("dog", "JPEG")):
                image = io.BytesIO()
                Image.new("RGB", (5, 5), (number, 0, 0)).save(image, form)
                archive.writestr(f"{name}/{number}.{form.lower()}", mutate(image.getvalue()))
    return stream.getvalue()


FORMS = {
    ".csv": (csv_bytes(), "tabular-classification"),
    ".parquet": (parquet_bytes(), "tabular-classification"),
    ".jsonl": (jsonl_bytes(), "tabular-classification"),
    ".npz": (npz_bytes(), "tabular-classification"),
    ".zip": (zip_bytes(), "image-classification"),
}

changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6)
fuzzing = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def changed(content, edits, cut):
    mutated = bytearray(content)
    for where, value in edits:
        mutated[int(where * len(mutated))] = value
    return bytes(mutated[: int(cut * len(mutated)) + 1])


def read(path, kind):
    try:
        from_data(path, kind)
    except SteelyardError as error:
        assert error.message
        assert "\n" not in error.message


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FORMS)
@fuzzing
@given(edits=changes, cut=st.just(1.0) | st.floats(0, 1))
def test_changed_bytes_end_in_a_task_or_a_sentence(tmp_path, suffix, edits, cut):
    content, kind = FORMS[suffix]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(changed(content, edits, cut))
    read(path, kind)


@pytest.mark.slow
@fuzzing
@given(edits=changes)
def test_changed_images_end_in_a_task_or_a_sentence(tmp_path, edits):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes(lambda content: changed(content, edits, 1.0)))
    read(path, "image-classification")


@pytest.mark.parametrize("suffix", FORMS)
@fuzzing
@given(content=st.binary(min_size=1, max_size=200))
def test_any_bytes_end_in_a_task_or_a_sentence(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    read(path, FORMS[suffix][1])


@fuzzing
@given(text=st.text(alphabet='ab,;"\n1.-?é\t', min_size=1, max_size=200))
def test_any_text_as_csv_ends_in_a_task_or_a_sentence(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text("a,b,label\n" + text, encoding="utf-8")
    read(path, "tabular-classification")
    read(path, "tabular-regression")
