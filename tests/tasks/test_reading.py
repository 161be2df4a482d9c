import gzip
import json
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from steelyard.core.task import ClassOutput, ImageInput, TableInput
from steelyard.tasks.preprocess import encode
from steelyard.tasks.reading import from_arrays, from_data
from steelyard.tasks.rows import read_rows

IMAGES = "image-classification"
CLASSES = "tabular-classification"
VALUES = "tabular-regression"


def sizes(task):
    return len(task.train), len(task.valid), len(task.test)


def fact(task, name):
    return next(fact for fact in task.facts if fact.name == name)


def records(rows=40):
    rng = np.random.default_rng(0)
    return [
        {"age": float(rng.integers(20, 60)), "city": ["Bonn", "Rome", None][row % 3], "label": ["no", "yes"][row % 2]}
        for row in range(rows)
    ]


def write_table(path, rows):
    frame = pl.DataFrame(rows)
    if path.name.endswith(".csv"):
        frame.write_csv(path)
    elif path.name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    return path


def write_images(folder, *, classes=("cat", "dog"), each=10, size=(6, 4), mode="RGB", splits=("",)):
    rng = np.random.default_rng(0)
    for split in splits:
        for name in classes:
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(each):
                shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels, mode=None).save(folder / split / name / f"{number}.png")
    return folder


def packed(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".jsonl.gz"])
def test_every_form_of_a_table_is_the_same_task(tmp_path, suffix):
    task = from_data(write_table(tmp_path / f"rows{suffix}", records()), CLASSES)
    expected = from_data(write_table(tmp_path / "rows.jsonl", records()), CLASSES)
    assert task.data_hash == expected.data_hash
    assert sizes(task) == (24, 6, 10)
    assert [(column.name, column.kind) for column in task.input.columns] == [("age", "number"), ("city", "category")]
    assert task.output == ClassOutput(("no", "yes"))
    assert task.input.columns[1].has_missing


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e30, 1e30) | st.none(), min_size=5, max_size=30).filter(any))
def test_numbers_survive_every_form(tmp_path, values):
    rows = [{"a": value, "b": row, "label": float(row)} for row, value in enumerate(values)]
    for suffix in (".csv", ".jsonl"):
        path = write_table(tmp_path / f"n{suffix}", rows)
        found = read_rows(path, TableInput(()))["a"]
        expected = np.array([np.nan if value is None else value for value in values])
        assert np.array_equal(np.asarray(found, dtype=np.float64), expected, equal_nan=True)


def test_the_split_column_is_obeyed(tmp_path):
    rows = records()
    for row, record in enumerate(rows):
        record["split"] = ["train", "train", "validation", "test"][row * 4 // len(rows)]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES)
    assert sizes(task) == (20, 10, 10)
    assert "split" not in [column.name for column in task.input.columns]
    assert task.split_how == "train, valid and test as the data name them"


def test_a_split_column_of_another_meaning_is_an_input(tmp_path):
    rows = [{**record, "split": ["left", "right"][row % 2]} for row, record in enumerate(records())]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES, target="label")
    assert "split" in [column.name for column in task.input.columns]


def test_the_target_is_label_or_the_last_column(tmp_path):
    rows = [{"a": row, "b": row * 2.5, "split": "train"} for row in range(20)]
    task = from_data(write_table(tmp_path / "a.csv", rows), VALUES)
    assert fact(task, "target").value == "b"
    assert fact(from_data(write_table(tmp_path / "b.csv", records()), CLASSES), "target").value == "label"


def test_groups_stay_together(tmp_path):
    rows = [{**record, "patient": row // 4} for row, record in enumerate(records(80))]
    task = from_data(write_table(tmp_path / "a.parquet", rows), CLASSES, target="label", group="patient")
    held = [set(split.groups.tolist()) for split in (task.train, task.valid, task.test)]
    assert sum(len(groups) for groups in held) == 20
    assert "patient" not in [column.name for column in task.input.columns]


def test_splits_follow_dates(tmp_path):
    rows = [{**record, "day": f"2024-01-{28 - row:02}"} for row, record in enumerate(records(28))]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES, target="label", split_by="day")
    assert sizes(task) == (17, 4, 7)
    assert task.split_how == "in order: the first 60 % train, the next 15 % valid, the last 25 % test"
    assert task.train.x[0, 0] == rows[-1]["age"]


def test_missing_markers_are_missing_in_numbers_and_categories(tmp_path):
    cells = ["1", "?", "NA", "nan", "", "null", "2", "3"] * 5
    lines = "".join(f"{cell},{cell},{'ab'[row % 2]}{cell},{row % 2}\n" for row, cell in enumerate(cells))
    path = tmp_path / "a.csv"
    path.write_text("n,m,c,y\n" + lines)
    task = from_data(path, CLASSES)
    number = task.input.columns[0]
    assert (number.kind, number.has_missing) == ("number", True)
    assert np.isnan(task.train.x[:, 0]).any()
    assert set(np.unique(task.train.x[:, 0][~np.isnan(task.train.x[:, 0])])) <= {1, 2, 3}


def test_categories_are_fitted_on_train_and_unknown_ones_are_zero(tmp_path):
    rows = [{"c": "seen", "d": row, "label": row % 2, "split": "train"} for row in range(20)]
    rows += [{"c": "new", "d": row, "label": row % 2, "split": "test"} for row in range(20)]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES)
    assert task.input.columns[0].categories == ("seen",)
    assert set(task.test.x[:, 0]) == {0.0}


def test_names_of_rows_are_left_out_and_said_so(tmp_path):
    rows = [{"id": row, "name": f"user {row}", **record} for row, record in enumerate(records(300))]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES)
    assert [column.name for column in task.input.columns] == ["age", "city"]
    assert fact(task, "left out").text == "left out: id (it numbers the rows); name (180 different texts in 180 rows)"


def test_categories_are_capped_and_said_so(tmp_path):
    rows = [{"c": f"c{row % 150}", "label": row % 2} for row in range(1500)]
    task = from_data(write_table(tmp_path / "a.csv", rows), CLASSES)
    assert len(task.input.columns[0].categories) == 100
    assert fact(task, "column c").text == "column c: the 100 commonest of 150 categories"


def test_rows_without_a_target_are_left_out_and_counted(tmp_path):
    rows = [{"a": row, "label": None if row % 4 == 0 else row / 2} for row in range(40)]
    task = from_data(write_table(tmp_path / "a.parquet", rows), VALUES)
    assert sum(sizes(task)) == 30
    assert fact(task, "no target").text == "10 rows without a target were left out"


def test_semicolons_and_tabs_separate_columns_too(tmp_path):
    for number, separator in enumerate(";\t|"):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"a{separator}y\n" + "".join(f"{n}{separator}{n % 2}\n" for n in range(20)))
        assert sizes(from_data(path, CLASSES)) == (12, 3, 5)


def test_labels_keep_the_users_form(tmp_path):
    for written, labels in (([0, 1], (0, 1)), (["0x", "1x"], ("0x", "1x")), ([True, False], ("false", "true"))):
        rows = [{"a": row, "label": written[row % 2]} for row in range(20)]
        for suffix in (".parquet", ".jsonl", ".csv"):
            task = from_data(write_table(tmp_path / f"a{suffix}", rows), CLASSES)
            assert task.output.labels == labels


def test_a_constant_column_has_spread_one(tmp_path):
    task = from_data(write_table(tmp_path / "a.csv", [{"a": 5, "b": n, "label": n % 2} for n in range(20)]), CLASSES)
    assert (task.input.columns[0].mean, task.input.columns[0].std) == (5, 1)
    assert fact(task, "constant").value == ["a"]


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((4, 5), "hw", (4, 5, 1)),
        ((4, 5, 3), "hwc", (4, 5, 3)),
        ((3, 4, 5), "chw", (4, 5, 3)),
        ((4, 5, 1), "hwc", (4, 5, 1)),
    ],
)
def test_images_of_an_npz_keep_layout_and_bytes(tmp_path, shape, layout, expected):
    x = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(40) % 4)
    task = from_data(tmp_path / "a.npz", IMAGES)
    assert isinstance(task.input, ImageInput)
    assert (task.input.layout, (task.input.height, task.input.width, task.input.channels)) == (layout, expected)
    assert task.train.x.dtype == np.uint8
    assert task.train.x.flags.writeable
    axis = {"hw": (0, 1, 2), "hwc": (0, 1, 2), "chw": (0, 2, 3)}[layout]
    assert np.allclose(task.input.mean, task.train.x.mean(axis=axis))
    assert np.allclose(task.input.std, task.train.x.std(axis=axis))


def test_an_npz_may_bring_some_splits(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.normal(size=(80, 3)), "y_train": np.arange(80) % 2}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    assert sizes(from_data(tmp_path / "a.npz", CLASSES)) == (48, 12, 20)
    arrays.update(x_test=rng.normal(size=(10, 3)), y_test=np.arange(10) % 2)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    assert sizes(from_data(tmp_path / "b.npz", CLASSES)) == (64, 16, 10)
    arrays.update(x_valid=rng.normal(size=(6, 3)), y_valid=np.arange(6) % 2)
    np.savez_compressed(tmp_path / "c.npz", **arrays)
    assert sizes(from_data(tmp_path / "c.npz", CLASSES)) == (80, 6, 10)


def test_an_npz_may_name_splits_and_groups_by_arrays(tmp_path):
    split = np.array(["train"] * 10 + ["valid"] * 5 + ["test"] * 5)
    np.savez(tmp_path / "a.npz", x=np.eye(20), y=np.arange(20) / 3, split=split, who=np.arange(20) // 5)
    task = from_data(tmp_path / "a.npz", VALUES, group="who")
    assert sizes(task) == (10, 5, 5)
    assert set(task.test.groups.tolist()) == {3}
    assert [column.name for column in task.input.columns][:2] == ["x0", "x1"]


@pytest.mark.parametrize("splits", [("",), ("train", "val", "test"), ("train", "test"), ("data/train", "data/test")])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_class_folders_with_and_without_splits(tmp_path, splits, form):
    folder = write_images(tmp_path / "images", splits=splits)
    (folder / ".hidden.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image")
    path = folder if form == "folder" else packed(folder, tmp_path / "images.zip")
    task = from_data(path, IMAGES)
    expected = {1: (12, 3, 5), 2: (16, 4, 20), 3: (20, 20, 20)}[len(splits)]
    assert sizes(task) == expected
    assert task.output.labels == ("cat", "dog")
    assert task.input.shape == (4, 6, 3)
    assert set(task.train.y[:8].tolist()) == {0, 1}


def test_grey_images_have_one_channel(tmp_path):
    assert from_data(write_images(tmp_path, mode="L"), IMAGES).input.shape == (4, 6)


def test_images_of_other_sizes_are_resized_and_said_so(tmp_path):
    write_images(tmp_path, each=10)
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / "other.png")
    task = from_data(tmp_path, IMAGES)
    assert task.input.shape == (4, 6, 3)
    assert fact(task, "resized").text == "2 sizes of images, all resized to the commonest, 4 × 6 (others: 1)"


def test_a_few_damaged_images_are_passed_over_and_named(tmp_path):
    write_images(tmp_path, each=30)
    (tmp_path / "cat" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    task = from_data(tmp_path, IMAGES)
    assert sum(sizes(task)) == 60
    assert fact(task, "damaged").text == "damaged images passed over: 1 (cat/bad.png)"


def test_arrays_in_memory_are_a_task():
    rng = np.random.default_rng(0)
    assert from_arrays(rng.normal(size=(40, 3)), np.arange(40) % 2).kind == CLASSES
    assert from_arrays(rng.normal(size=(40, 3)), rng.normal(size=40)).kind == VALUES
    task = from_arrays(rng.integers(0, 9, (40, 5, 5)), [["a", "b"][row % 2] for row in range(40)])
    assert (task.kind, task.output.labels) == (IMAGES, ("a", "b"))


def test_frames_in_memory_are_a_task():
    rows = records()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    by_mapping = from_arrays(columns)
    assert by_mapping.output.labels == ("no", "yes")
    assert from_arrays(pl.DataFrame(columns)).data_hash == by_mapping.data_hash
    inputs = {"age": columns["age"], "city": columns["city"]}
    assert from_arrays(inputs, columns["label"]).data_hash == by_mapping.data_hash


def test_a_pandas_frame_in_memory_is_the_same_task():
    pandas = pytest.importorskip("pandas")
    rows = records()
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert from_arrays(pandas.DataFrame(columns)).data_hash == from_arrays(columns).data_hash


def test_pairs_such_as_a_torch_data_set_are_a_task():
    pairs = [(np.full((4, 4), row, dtype=np.float32), row % 2) for row in range(20)]
    assert sizes(from_arrays(pairs)) == (12, 3, 5)


def test_one_flat_input_is_one_column():
    x = np.arange(40.0)
    assert from_arrays(x, x / 3).input.columns[0].name == "x0"


def test_given_splits_of_arrays_are_obeyed():
    split = ["train"] * 10 + ["valid"] * 5 + ["test"] * 5
    assert sizes(from_arrays(np.eye(20), np.arange(20) % 2, split=split)) == (10, 5, 5)


def test_rows_to_predict_need_no_target(tmp_path):
    task = from_data(write_table(tmp_path / "a.csv", records()), CLASSES)
    path = write_table(tmp_path / "b.jsonl", [{"city": "Rome", "age": 33}, {"age": None, "city": "Paris"}])
    encoded = encode(task.input, read_rows(path, task.input))
    assert np.array_equal(encoded, np.array([[33, 2], [np.nan, 0]], dtype=np.float32), equal_nan=True)


def test_image_files_to_predict_take_the_form_of_the_task(tmp_path):
    task = from_data(write_images(tmp_path / "train"), IMAGES)
    (tmp_path / "new").mkdir()
    Image.new("L", (9, 9), 200).save(tmp_path / "new" / "a.png")
    for path in (tmp_path / "new", tmp_path / "new" / "a.png", packed(tmp_path / "new", tmp_path / "n.zip")):
        encoded = encode(task.input, read_rows(path, task.input))
        assert (encoded.shape, encoded.min(), encoded.max()) == ((1, 4, 6, 3), 200, 200)


def test_an_npz_to_predict_holds_x_or_one_array(tmp_path):
    task = from_arrays(np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2)
    np.savez(tmp_path / "a.npz", anything=np.zeros((2, 3)))
    np.savez(tmp_path / "b.npz", x_test=np.ones((2, 3)), y_test=np.zeros(2))
    assert encode(task.input, read_rows(tmp_path / "a.npz", task.input)).sum() == 0
    assert encode(task.input, read_rows(tmp_path / "b.npz", task.input)).sum() == 6
