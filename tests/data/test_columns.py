"""CSV, JSON Lines and Parquet as files; what their columns mean is tested in `test_tables.py`."""

import csv
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.schema import UNLABELLED, AttributeSchema
from tests.data.builders import PLAIN, photo, problem, table


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\n\n"),
        PLAIN.rstrip("\n"),
        PLAIN.replace(",", " , ").replace(".png ", ".png"),
        PLAIN.replace("red", '"red"'),
    ],
    ids=["byte order mark", "CRLF", "empty lines", "no last newline", "blanks", "quotes"],
)
def test_varieties_of_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    table(path, "")
    path.write_bytes(text.encode())
    assert read_labels(path).targets.tolist() == [[1, 0], [0, -1], [0, 1], [-1, 0]]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    return table(path, "".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, columns: dict[str, Any]) -> Path:
    table(path, "")
    pq.write_table(pa.table(columns), path)
    return path


def test_jsonl(tmp_path: Path) -> None:
    rows = [
        {"image": "0.png", "colour": "red", "kids": True, "n": 2, "split": "train"},
        {"image": "1.png", "colour": None, "kids": False, "n": 10, "split": "val"},
        {"split": "val", "image": "2.png", "colour": "blue", "kids": True},
    ]
    labels = read_labels(write_jsonl(tmp_path / "labels.jsonl", rows))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"], "kids": ["false", "true"], "n": ["2", "10"]})
    assert labels.targets.tolist() == [[1, 1, 0], [-1, 0, 1], [0, 1, -1]]


def test_parquet(tmp_path: Path) -> None:
    columns = {
        "image": ["0.png", "1.png", "2.png"],
        "colour": pa.array(["red", None, "blue"]).dictionary_encode(),
        "kids": [True, False, None],
        "n": [1.0, float("nan"), 0.0],
        "split": ["train", "val", "val"],
        "x1": [0.0, None, 1.0],
        "y1": [0.0, None, 1.5],
        "x2": [5.0, None, 6.0],
        "y2": [6.0, None, 7.0],
    }
    labels = read_labels(write_parquet(tmp_path / "labels.parquet", columns))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"], "kids": ["false", "true"], "n": ["0", "1"]})
    assert labels.targets.tolist() == [[1, 1, 1], [-1, 0, -1], [0, -1, 0]]
    assert labels.boxes is not None
    np.testing.assert_array_equal(labels.boxes, [[0, 0, 5, 6], [np.nan] * 4, [1, 1.5, 6, 7]])


def test_a_parquet_file_in_a_folder_with_an_equals_sign(tmp_path: Path) -> None:
    columns = {"image": ["0.png", "1.png"], "colour": ["red", "blue"]}
    path = write_parquet(tmp_path / "split=val/labels.parquet", columns)
    assert read_labels(path).schema.names == ("colour",)


def test_line_numbers_with_quoted_newlines(tmp_path: Path) -> None:
    text = 'image,note,colour,split\n\n0.png,"a\nb\nc",red,train\n1.png,,blue,val\n2.png,,green,nowhere\n'
    path = table(tmp_path / "labels.csv", text)
    assert problem(path, DataOptions(ignore_columns=("note",))).startswith(
        "labels.csv:7: column 'split' holds 'nowhere'"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,colour\n0.png,red,x\n", "labels.csv:2: 3 fields, but the header has 2"),
        ("image,colour\n0.png,red\n1.png\n", "labels.csv:3: 1 fields, but the header has 2"),
        ("image,,colour\n", "labels.csv:1: column 2 has no name; name it, or remove it"),
        ("image,colour,colour\n", "labels.csv:1: two columns are called 'colour'; rename one"),
        ('image,colour\n0.png,"red\n1.png,blue\n', "labels.csv:2: not valid CSV (unexpected end of data)"),
        ('image,colour\n0.png,"red"x\n', "labels.csv:2: not valid CSV (',' expected after '\"')"),
        ("image,colour\n", "labels.csv: it has no rows"),
        ("", "labels.csv: it has no rows"),
        ("image;colour\n0.png;red\n", "labels.csv: no column 'image' (data.image_column); there are image;colour"),
    ],
)
def test_malformed_csv(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(table(tmp_path / "labels.csv", text)) == expected


def test_csv_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("image,colour\n0.png,red\n1.png,grün\n".encode("latin-1"))
    assert problem(path) == "labels.csv:3: not UTF-8 text; save the file as UTF-8"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"image": ', "labels.jsonl:2: not valid JSON ("),
        ("[1]", "labels.jsonl:2: expected an object with column names as keys, got [1]"),
        ('{"image": "1.png", "image": "2.png"}', "labels.jsonl:2: not valid JSON (a key occurs twice)"),
        ('{"image": "1.png", "colour": NaN}', "labels.jsonl:2: not valid JSON (NaN is not JSON; write null)"),
        ('{"image": "1.png", "colour": ["x"]}', "labels.jsonl:2: column 'colour' holds a list; expected text"),
        ('{"image": 7, "colour": "x"}', "labels.jsonl:2: column 'image' holds no image path"),
        ("[" * 100_000, "labels.jsonl:2: not valid JSON ("),
    ],
)
def test_malformed_jsonl(tmp_path: Path, line: str, expected: str) -> None:
    path = table(tmp_path / "labels.jsonl", '{"image": "0.png", "colour": "red"}\n' + line + "\n")
    assert problem(path).startswith(expected)


def test_malformed_parquet(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    path.write_bytes(b"PAR1 not really PAR1")
    assert problem(path).startswith("labels.parquet: not a readable Parquet file (")
    write_parquet(path, {"image": ["0.png", "1.png"], "colour": ["red", "blue"], "split": ["val", "somewhere"]})
    assert problem(path).startswith("labels.parquet: row 2: column 'split' holds 'somewhere'")
    write_parquet(path, {"image": ["0.png", "1.png"], "colour": pa.array([["red"], []])})
    assert problem(path).startswith("labels.parquet: row 1: column 'colour' holds a list")
    write_parquet(path, {"image": pa.array([], pa.string()), "colour": pa.array([], pa.string())})
    assert problem(path) == "labels.parquet: it has no rows"


_names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=6)
_class_names = _names.filter(lambda name: not name.lstrip("-").isdigit())


@st.composite
def _labelled(draw: st.DrawFn) -> tuple[AttributeSchema, np.ndarray, np.ndarray, list[str]]:
    names = draw(st.lists(_names.map(lambda name: "a " + name.replace("/", "")), min_size=1, max_size=3, unique=True))
    schema = AttributeSchema.of(
        {name.strip(): draw(st.lists(_class_names, min_size=2, max_size=4, unique=True)) for name in names}
    )
    count = draw(st.integers(1, 5))
    targets = [[draw(st.integers(UNLABELLED, size - 1)) for size in schema.sizes] for _ in range(count)]
    boxes = [
        [float("nan")] * 4
        if draw(st.booleans())
        else sorted(draw(st.sets(st.integers(0, 99), min_size=2, max_size=2))) * 2
        for _ in range(count)
    ]
    splits = [draw(st.sampled_from(["train", "val", "test"])) for _ in range(count)]
    order = np.array(boxes, dtype=np.float32)[:, [0, 2, 1, 3]]
    return schema, np.array(targets), order, splits


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=_labelled())
def test_round_trip(tmp_path: Path, kind: str, data: tuple[AttributeSchema, np.ndarray, np.ndarray, list[str]]) -> None:
    schema, targets, boxes, splits = data
    images = [photo(tmp_path / f"{number}.png", number).name for number in range(len(targets))]
    written = LabelTable(schema, tmp_path, tuple(images), targets, tuple(splits), boxes, "written")
    rows = [
        {
            "image": written.images[row],
            **schema.decode(targets[row]),
            "split": written.splits[row],
            **{
                name: None if np.isnan(boxes[row]).all() else float(boxes[row, column])
                for column, name in enumerate(("x1", "y1", "x2", "y2"))
            },
        }
        for row in range(len(written))
    ]
    path = tmp_path / f"labels.{kind}"
    if kind == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        pq.write_table(pa.table(columns), path)
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema.to_plain()), encoding="utf-8")
    read = read_labels(path, DataOptions(schema_file=str(file)))
    assert read.schema == schema
    assert read.images == written.images
    assert read.splits == written.splits
    np.testing.assert_array_equal(read.targets, targets)
    np.testing.assert_array_equal(read.boxes, boxes)


def test_text_in_parquet_that_is_no_utf8_is_named_by_its_row(tmp_path: Path) -> None:
    photo(tmp_path / "0.png")
    bad = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(struct.pack("<4i", 0, 3, 5, 8)), pa.py_buffer(b"red\xff\xfered")]
    )
    pq.write_table(pa.table({"image": ["0.png"] * 3, "colour": bad}), tmp_path / "labels.parquet")
    message = problem(tmp_path / "labels.parquet")
    assert message.startswith("labels.parquet: row 2: column 'colour' holds what cannot be read ('utf-8' codec")


def test_what_arrow_says_is_put_on_one_line(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "labels.parquet", {"image": ["0.png", "1.png"], "colour": ["red", "blue"]})
    # The first page is read from one byte further on.
    path.write_bytes(b"\0" + path.read_bytes())
    assert "\n" not in problem(path)
