import gzip
import io
import json
import os
import re
import stat
import struct
import zipfile
import zlib

import numpy as np
import polars
import pytest
from PIL import Image

from steelyard.core.errors import DataError, InputError, SteelyardError
from steelyard.tasks.arrays import read_npz
from steelyard.tasks.folders import File
from steelyard.tasks.frames import read_columns
from steelyard.tasks.pictures import Form, decode_pictures
from steelyard.tasks.reading import from_arrays, from_data

IMAGES = "image-classification"
CLASSES = "tabular-classification"
VALUES = "tabular-regression"

TABLE = "a,b,label\n" + "".join(f"{n},{n * 2},{'ny'[n % 2]}\n" for n in range(40))


def message_of(call):
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def refused(tmp_path, name, content, kind=CLASSES, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return message_of(lambda: from_data(path, kind, **options)).replace(str(path), "FILE")


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def zipped(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return path


def png(size=(4, 4)):
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG")
    return stream.getvalue()


def test_an_unknown_kind_names_the_nearest():
    assert message_of(lambda: from_data(".", "image-clasification")) == (
        "task 'image-clasification' is not known; did you mean 'image-classification'?"
    )


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.csv"
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"'data' must be a file or folder, got {str(path)!r}, which does not exist; check the path."
    )


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl", "a.jsonl.gz", "a.npz", "a.zip"])
def test_an_empty_file(tmp_path, name):
    kind = IMAGES if name == "a.zip" else CLASSES
    assert refused(tmp_path, name, b"", kind) == "FILE must hold data, got an empty file; was it written to the end?"


def test_a_file_of_another_form(tmp_path):
    assert refused(tmp_path, "a.xlsx", b"x") == (
        "'data' must be .npz, .csv, .parquet, .jsonl, .jsonl.gz, or a folder or .zip of class folders, got 'a.xlsx'; "
        "convert it to one of them."
    )


def test_a_folder_for_a_table(tmp_path):
    assert message_of(lambda: from_data(tmp_path, CLASSES)) == (
        "'data' must be a file for tabular-classification (.npz, .csv, .parquet, .jsonl or .jsonl.gz), "
        f"got the folder {tmp_path}."
    )


def test_a_table_for_images(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE, IMAGES) == (
        "'data' must be .npz, or a folder or .zip of class folders, for image-classification, got the table FILE; "
        "is tabular-classification meant?"
    )


def test_text_that_is_not_utf8(tmp_path):
    latin = TABLE.encode() + "é,2,n\n".encode("latin-1")
    assert refused(tmp_path, "a.csv", latin) == "FILE must be UTF-8 text, but line 42 is not; save it as UTF-8."
    assert refused(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n') == (
        "FILE must be UTF-8 text, but line 2 is not; save it as UTF-8."
    )


def test_a_truncated_csv(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE[:-4]) == (
        "FILE must have 3 cells in every line, got 2 in the last; was it cut off?"
    )


def test_a_csv_without_names(tmp_path):
    assert refused(tmp_path, "a.csv", "1,2,0\n3,4,1\n") == (
        "FILE must name its columns in its first line, got numbers (1,2,0); add a line of names."
    )


def test_a_csv_with_names_only(tmp_path):
    assert refused(tmp_path, "a.csv", "a,label\n") == "FILE must hold at least one row, got none; is it the right file?"


def test_a_csv_with_a_longer_line(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE + "1,2,n,4\n") == (
        "FILE can't be read as CSV (found more fields than defined in 'Schema'); mend the file."
    )


def test_a_csv_with_the_line_ends_of_old_macs(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE.replace("\n", "\r")) == (
        "FILE can't be read as CSV (new-line character seen in unquoted field - do you need to open the file in "
        "universal-newline mode?); mend the file."
    )


def test_a_truncated_parquet(tmp_path):
    found = refused(tmp_path, "a.parquet", b"PAR1 and then nothing")
    assert re.fullmatch(r"FILE can't be read as Parquet \(.+\); was it cut off\?", found)


def test_a_truncated_gzip(tmp_path):
    packed = gzip.compress((json.dumps({"a": 1, "label": 0}) + "\n").encode() * 1000)
    assert refused(tmp_path, "a.jsonl.gz", packed[:-20]) == (
        "FILE can't be unpacked (Compressed file ended before the end-of-stream marker was reached); was it cut off?"
    )


def test_a_truncated_line_of_json(tmp_path):
    assert refused(tmp_path, "a.jsonl", '{"a": 1, "label": 0}\n{"a": 1, "la') == (
        "FILE must hold one JSON object a line, but line 2 can't be read (Unterminated string starting at: line 1 "
        "column 10 (char 9)); was it cut off?"
    )


def test_a_line_of_json_that_is_no_object(tmp_path):
    assert refused(tmp_path, "a.jsonl", "[1, 2]\n") == (
        "FILE must hold one JSON object a line, got list in line 1; write each row as an object."
    )


def test_nested_json(tmp_path):
    assert refused(tmp_path, "a.jsonl", '{"a": {"b": 1}, "label": 0}\n') == (
        "field 'a' of FILE must hold single values, got dict in line 1; flatten or drop it."
    )


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_huge_integer(tmp_path, name):
    huge = "9" * 400
    rows = [(n if n else huge, n % 2) for n in range(40)]
    if name == "a.csv":
        content = "a,label\n" + "".join(f"{a},{label}\n" for a, label in rows)
    else:
        content = "".join(f'{{"a": {a}, "label": {label}}}\n' for a, label in rows)
    assert refused(tmp_path, name, content) == (
        "column 'a' must hold numbers within float32 (up to 3.4e38), got inf in row 1; "
        "rescale the column, or leave the value empty where it is unknown."
    )


def test_an_integer_too_long_for_python(tmp_path):
    assert refused(tmp_path, "a.jsonl", f'{{"a": {"9" * 5000}, "label": 0}}\n').startswith(
        "FILE must hold one JSON object a line, but line 1 can't be read (Exceeds the limit (4300 digits)"
    )


def test_columns_without_any_value(tmp_path):
    content = "a,b,label\n" + "".join(f"nan,,{'ny'[n % 2]}\n" for n in range(40))
    assert refused(tmp_path, "a.csv", content) == (
        "FILE must have a column to learn from; left out: a (no value in train); b (no value in train)."
    )


def test_a_target_without_any_value(tmp_path):
    content = "a,label\n" + "".join(f"{n},\n" for n in range(40))
    assert refused(tmp_path, "a.csv", content) == (
        "target 'label' of FILE must hold values, got none in 40 rows; name another column with --target."
    )


def test_images_without_any_number(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.full((20, 4, 4), np.nan), y=np.arange(20) % 2)
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"images of {path} must hold finite numbers within float32, got NaN, infinite or larger ones; clean the pixels."
    )


def test_a_target_column_that_does_not_exist(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE, target="lable") == (
        "FILE: column 'lable' is not known; did you mean 'label'?"
    )
    assert refused(tmp_path, "a.csv", TABLE, group="patient") == (
        "FILE: column 'patient' is not known; known: a, b, label."
    )


def test_a_target_of_one_class(tmp_path):
    assert refused(tmp_path, "a.csv", "a,label\n" + "".join(f"{n},yes\n" for n in range(40))) == (
        "target 'label' of FILE must have at least two classes, got only 'yes'; name another column with --target."
    )


def test_text_as_the_target_of_a_regression(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE, VALUES) == (
        "target 'label' of FILE must hold numbers for a regression, got n in row 1; is a classification meant?"
    )


def test_fractions_as_the_target_of_a_classification(tmp_path):
    content = "a,price\n" + "".join(f"{n},{n / 7}\n" for n in range(3000))
    assert refused(tmp_path, "a.csv", content) == (
        "target 'price' of FILE must be a class to be classified, got 3,000 distinct numbers; "
        "is a regression (tabular-regression) meant?"
    )


def test_names_as_the_target_of_a_classification(tmp_path):
    content = "a,name\n" + "".join(f"{n},user {n}\n" for n in range(300))
    assert refused(tmp_path, "a.csv", content) == (
        "target 'name' of FILE must repeat its classes to be learned, got 300 of them in 300 rows; "
        "name another column with --target."
    )


def test_a_class_that_train_lacks(tmp_path):
    content = "a,label,split\n" + "".join(f"{n},{'xy'[n % 2]},train\n{n},{'xy'[n % 2]},test\n" for n in range(20))
    assert refused(tmp_path, "a.csv", content + "1,z,test\n") == (
        "class 'z' of FILE must have rows to train on, but its 1 row stands elsewhere (in test); "
        "add rows of it to train or drop the class."
    )


def test_a_split_column_with_an_unknown_name(tmp_path):
    content = "a,label,split\n" + "".join(f"{n},{n % 2},train\n" for n in range(20)) + "1,1,holdout\n"
    assert refused(tmp_path, "a.csv", content) == (
        "column 'split' of FILE must hold train, valid or test, got 'holdout' in row 21; "
        "correct it or name another column with --split-by."
    )


def test_an_order_with_gaps(tmp_path):
    content = "day,a,label\n" + "".join(f"{n or ''},{n},{n % 2}\n" for n in range(20))
    assert refused(tmp_path, "a.csv", content, split_by="day") == (
        "column 'day' of FILE must have a value in every row to be split by, got none in row 1; "
        "fill it in or drop the row."
    )


def test_one_column_for_two_things(tmp_path):
    assert refused(tmp_path, "a.csv", TABLE, target="label", group="label") == (
        "column 'label' must be one of target, group and split-by, got it for two; name two columns."
    )


def test_too_few_rows(tmp_path):
    assert refused(tmp_path, "a.csv", "a,label\n1,0\n2,1\n") == (
        "FILE must have at least 3 rows to be split, got 2; add rows."
    )


def test_arrays_of_different_lengths(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros((10, 3)), y=np.zeros(9))
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"'x' and 'y' of {path} must have as many rows, got shapes (10, 3) and (9,); was one cut off?"
    )
    assert message_of(lambda: from_arrays(np.zeros((10, 3)), np.zeros(9))) == (
        "'x' must hold as many rows of x as of y, got 10 and 9; was it cut off?"
    )


def test_an_npz_without_the_arrays(tmp_path):
    path = npz(tmp_path / "a.npz", images=np.zeros((10, 3)))
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"{path} must hold arrays x_train and y_train, or x and y, got images."
    )
    path = npz(tmp_path / "b.npz", x=np.zeros((10, 3)), labels=np.zeros(10))
    assert message_of(lambda: from_data(path, CLASSES, target="label")) == (
        f"{path} must hold an array 'label'; did you mean 'labels'?"
    )


def test_pickled_arrays_are_refused_and_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    path = tmp_path / "a.npz"
    objects = np.empty(3, dtype=object)
    objects[:] = [Bomb(), Bomb(), Bomb()]
    np.savez(path, x=objects, y=np.zeros(3))
    for trust in (False, True):
        assert message_of(lambda trust=trust: from_data(path, CLASSES, trust=trust)) == (
            f"'x' of {path} must be a plain array, but it holds pickled Python objects, which could run code and are "
            "never loaded; save it as numbers or text."
        )


def test_a_truncated_npz(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros((10, 3)), y=np.zeros(10))
    content = path.read_bytes()
    assert refused(tmp_path, "a.npz", content[:-40]) == (
        "FILE can't be opened as a zip archive (File is not a zip file); was it cut off?"
    )


def test_an_array_whose_header_promises_more(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    path = zipped(tmp_path / "a.npz", ("x.npy", stream.getvalue() + b"\0" * 240))
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"'x' of {path} must hold the 24,000,000,000,000 bytes that its shape (1000000000000, 3) needs, got 240; "
        "was it cut off?"
    )


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png"])
def test_zip_entries_that_climb_out(tmp_path, name):
    path = zipped(tmp_path / "a.zip", ("cat/1.png", png()), (name, png()))
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"{path} must hold entries within its own folder, got {name!r}; pack it anew."
    )
    assert not (tmp_path.parent / "evil.png").exists()


def test_zip_entries_that_are_links(tmp_path):
    link = zipfile.ZipInfo("cat/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zipped(tmp_path / "a.zip", (link, "/etc/passwd"))
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"{path} must hold plain files, but 'cat/1.png' is a link; pack the file itself."
    )


def test_a_zip_that_unpacks_to_gigabytes(tmp_path):
    path = zipped(tmp_path / "a.zip", ("cat/1.png", b"\0" * 1_234_567), ("dog/1.png", b"\0" * 1_234_567))
    content = path.read_bytes().replace(struct.pack("<L", 1_234_567), struct.pack("<L", 4 * 10**9))
    assert refused(tmp_path, "b.zip", content, IMAGES) == (
        "FILE must unpack to at most 4.3 GB in 2,000,000 files, 1000 times its own size, got 8.0 GB in 2 files "
        f"from {len(content) / 1e6:.3g} MB; pass --trust if you made it."
    )
    assert refused(tmp_path, "c.npz", content).startswith("FILE must unpack to at most 4.3 GB")


def test_a_zip_that_declares_less_than_it_holds(tmp_path):
    path = zipped(tmp_path / "a.zip", ("cat/1.png", b"\0" * 100_000))
    content = path.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 10))
    assert re.fullmatch(
        r"'cat/1.png' of FILE can't be read \(Bad CRC-32 for file 'cat/1.png'\); was the archive cut off\?",
        refused(tmp_path, "b.zip", content, IMAGES),
    )


def test_jsonl_that_unpacks_to_more_than_the_limit(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps({"a": 1, "label": 0}) + "\n").encode() * 10_000))
    assert message_of(lambda: read_columns(path, most_bytes=10**5)) == (
        f"{path} must unpack to at most 0.0 GB, got more; pass --trust if you made it."
    )
    assert len(read_columns(path, most_bytes=10**5, trust=True)["a"]) == 10_000


def test_jsonl_of_one_endless_line(tmp_path):
    assert refused(tmp_path, "a.jsonl.gz", gzip.compress(b" " * 65_000_000, 1)) == (
        "FILE must hold one JSON object a line, but line 1 is longer than 64 MB; was it cut into lines?"
    )


def test_parquet_that_unpacks_to_gigabytes(tmp_path):
    path = tmp_path / "a.parquet"
    polars.select(a=polars.repeat(1, 10**6), label=polars.repeat(0, 10**6)).write_parquet(path)
    assert message_of(lambda: read_columns(path, most_bytes=10**6)) == (
        f"{path} must unpack to at most 0.0 GB, got 1,000,000 rows of 2 columns; pass --trust if you made it."
    )


def test_a_folder_without_images(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.wav").write_bytes(b"x")
    assert message_of(lambda: from_data(tmp_path, IMAGES)) == (
        f"{tmp_path} must hold image files (.bmp, .gif, .jpeg, .jpg, .pbm, .pgm, .png, .ppm, .tif, .tiff, .webp) in "
        "class folders, got none among 1 files; is it the right folder?"
    )


def test_images_outside_class_folders(tmp_path):
    (tmp_path / "1.png").write_bytes(png())
    assert message_of(lambda: from_data(tmp_path, IMAGES)) == (
        f"{tmp_path} must hold its images in class folders (CLASS/1.png), but 1 of 1 are in none; "
        "move each into a folder named after its class."
    )


def test_images_directly_in_splits(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "1.png").write_bytes(png())
    assert message_of(lambda: from_data(tmp_path, IMAGES)) == (
        f"{tmp_path} must hold class folders under train, valid and test (test/CLASS/1.png), but images stand directly "
        "in test; move each into a folder named after its class."
    )


def test_many_damaged_images(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.png").write_bytes(png() if number % 5 else png()[:40])
    assert message_of(lambda: from_data(tmp_path, IMAGES)) == (
        f"{tmp_path} must hold images that can be read, but 4 of 20 are damaged (cat/0.png, cat/5.png, dog/0.png, …); "
        "at most 5% are passed over."
    )


def test_only_damaged_images(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"no image")
    assert message_of(lambda: from_data(tmp_path, IMAGES)) == (
        f"{tmp_path} must hold images that can be read, got damaged files only (1)."
    )


@pytest.mark.parametrize("side", [8_000, 60_000])
def test_an_image_that_is_a_bomb(tmp_path, side):
    def chunk(kind, body):
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    header = struct.pack(">LLBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    path = zipped(tmp_path / "a.zip", ("cat/1.png", bomb), ("dog/1.png", png()))
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"'cat/1.png' of {path} must have at most 50 million pixels, got more; shrink or remove it."
    )


def test_images_that_decode_to_gigabytes(tmp_path):
    many = [File((f"{number}.png",), png) for number in range(1000)]
    assert message_of(lambda: decode_pictures(many, Form(2000, 1000, 3), tmp_path)) == (
        f"{tmp_path} must decode to at most 4.3 GB, got 6.0 GB (1,000 images of 2000 × 1000); "
        "resize them first, or pass --trust."
    )


def test_a_target_for_class_folders(tmp_path):
    assert message_of(lambda: from_data(tmp_path, IMAGES, target="label")) == (
        f"{tmp_path} has class folders and no columns; leave out --target, --group and --split-by."
    )


def test_flat_rows_for_images(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros((20, 784)), y=np.arange(20) % 2)
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"{path} must hold images for image-classification, got a table."
    )


def test_images_for_a_table(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros((20, 8, 8)), y=np.arange(20) % 2)
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"{path} must hold a table for tabular-classification, got images."
    )


def test_one_hot_targets(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros((20, 8, 8)), y=np.zeros((20, 3)))
    assert message_of(lambda: from_data(path, IMAGES)) == (
        f"'y' of {path} must hold one target a row, got shape (20, 3); save class numbers or values."
    )


def test_structured_arrays(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros(20, dtype=[("a", "f8"), ("b", "i4")]), y=np.arange(20) % 2)
    assert message_of(lambda: from_data(path, CLASSES)) == (
        f"'x' of {path} must hold real numbers or text, got [('a', '<f8'), ('b', '<i4')]; save its parts."
    )


def test_inputs_without_targets():
    for x in (np.zeros((10, 2)), [1, 2, 3], 7):
        assert message_of(lambda x=x: from_arrays(x)) == (
            "'y' must hold a target for each row of 'x', got none; pass it, or pairs as 'x'."
        )


def test_rows_of_several_shapes():
    found = message_of(lambda: from_arrays([[1, 2], [3]], [0, 1]))
    assert re.fullmatch(r"'x' must hold rows of one shape, but .+; make them equal\.", found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are a matter of Unix")
def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    assert message_of(lambda: from_data(tmp_path / "a.csv", CLASSES)) == (
        f"'data' must be a file or folder, got {tmp_path / 'a.csv'}, which is neither; copy it to a file."
    )


def test_every_refusal_names_the_field():
    with pytest.raises(DataError) as caught:
        from_data("/nowhere", CLASSES)
    assert caught.value.field == "data"
    assert isinstance(caught.value, SteelyardError)


def test_an_array_whose_header_is_no_literal_is_refused_in_one_sentence(tmp_path) -> None:
    path = tmp_path / "rows.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00\x12\x00{'descr': (((((\n\n")
    with pytest.raises(DataError, match=r"^'x' of [^\n]+ can't be read as an array \([^\n]+\)\.$"):
        read_npz(path)
