import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gingham.data.formats import infer_schema, read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.errors import DataError, GinghamError, RecipeError
from gingham.schema import UNLABELLED, AttributeSchema
from tests.data.builders import photo, table

PLAIN = """image,colour,sleeve,split
0.png,red,long,train
1.png,blue,,Training
2.png,blue,short,valid
3.png,,long,test
"""


def problem(path: Path, options: DataOptions | None = None, error: type[GinghamError] = DataError) -> str:
    with pytest.raises(error) as caught:
        read_labels(path, options or DataOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def schema_file(folder: Path, text: str) -> str:
    (folder / "schema.yaml").write_text(text)
    return str(folder / "schema.yaml")


def test_plain_table(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path / "labels.csv", PLAIN))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"], "sleeve": ["long", "short"]})
    assert labels.images == ("0.png", "1.png", "2.png", "3.png")
    assert labels.targets.tolist() == [[1, 0], [0, -1], [0, 1], [-1, 0]]
    assert labels.splits == ("train", "train", "val", "test")
    assert labels.boxes is None
    assert labels.root == tmp_path


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


def test_unlabelled_values(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,colour\n0.png,red\n1.png,Skip\n2.png,blue\n3.png,Not sure\n")
    labels = read_labels(path, DataOptions(unlabelled=("Skip", "Not sure", "never seen")))
    assert labels.schema == AttributeSchema.of({"colour": ["blue", "red"]})
    assert labels.targets[:, 0].tolist() == [1, -1, 0, -1]


def test_chosen_attributes_keep_their_order(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN)
    assert read_labels(path, DataOptions(attributes=("sleeve", "colour"))).schema.names == ("sleeve", "colour")
    assert read_labels(path, DataOptions(attributes=("sleeve",))).schema.names == ("sleeve",)
    assert read_labels(path, DataOptions(ignore_columns=("sleeve",))).schema.names == ("colour",)


def test_columns_of_other_names(tmp_path: Path) -> None:
    text = "file,colour,part,l,t,r,b\n0.png,red,train,0,0,4,4\n1.png,blue,val,,,,\n"
    options = DataOptions(image_column="file", split_column="part", box_columns=("l", "t", "r", "b"))
    labels = read_labels(table(tmp_path / "labels.csv", text), options)
    assert labels.schema.names == ("colour",)
    assert labels.splits == ("train", "val")
    assert labels.boxes is not None
    np.testing.assert_array_equal(labels.boxes, [[0, 0, 4, 4], [np.nan] * 4])


def test_ignored_split_column_makes_a_random_split(tmp_path: Path) -> None:
    text = "image,colour,split\n" + "".join(f"{n}.png,{'red' if n % 2 else 'blue'},test\n" for n in range(8))
    path = table(tmp_path / "labels.csv", text)
    assert read_labels(path).split_names == ("test",)
    assert read_labels(path, DataOptions(ignore_columns=("split",))).split_names == ("train", "val")


def test_integers_with_a_schema_are_indices_unless_they_are_class_names(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,colour,size,split\n0.png,0,2,train\n1.png,blue,1,val\n2.png,1,,val\n")
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\nsize: ['1', '2']\n"))
    assert read_labels(path, options).targets.tolist() == [[0, 1], [1, 0], [1, -1]]


def test_integers_without_a_schema_are_class_names(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", "image,n,split\n0.png,10,train\n1.png,2,val\n2.png,0,val\n3.png,2,val\n")
    labels = read_labels(path)
    assert labels.schema == AttributeSchema.of({"n": ["0", "2", "10"]})
    assert labels.targets[:, 0].tolist() == [2, 1, 0, 1]


def test_image_root(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,colour,split\na/x.png,red,train\na/y.png,blue,val\n")
    photo(tmp_path / "photos/a/x.png", 1)
    photo(tmp_path / "photos/a/y.png", 2)
    labels = read_labels(path, DataOptions(image_root=str(tmp_path / "photos")))
    assert labels.paths() == [tmp_path / "photos/a/x.png", tmp_path / "photos/a/y.png"]


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
        ("images,colour\n0.png,red\n", "labels.csv: no column 'image' (data.image_column); did you mean 'images'?"),
        ("image\n0.png\n", "labels.csv: no column is left to be an attribute; there are image"),
        ("image,colour\n,red\n1.png,blue\n", "labels.csv:2: column 'image' holds no image path"),
        (
            "image,colour\n0.png,red\n1.png,blue\n0.png,red\n",
            "labels.csv:4: image '0.png' is listed already at labels.csv:2; remove one",
        ),
        (
            "image,colour,split\n0.png,red,train\n1.png,blue,\n",
            "labels.csv:3: column 'split' holds ''; expected train, val (or valid, validation) or test",
        ),
        (
            "image,colour,x1,y1,x2,y2\n0.png,red,,,,\n1.png,blue,1,2,,4\n2.png,red,,,,\n",
            "labels.csv:3: expected a box of four numbers x1 y1 x2 y2, got '1 2 4'",
        ),
        (
            "image,colour,x1,y1,x2,y2\n0.png,red,,,,\n1.png,blue,5,2,1,4\n2.png,red,,,,\n",
            "labels.csv:3: the box '5 2 1 4' has no area; expected x1 < x2 and y1 < y2",
        ),
        (
            "image,colour\n0.png,red\n1.png,7\n2.png,red\n",
            "labels.csv:3: column 'colour' holds the number 7, but the class name 'red' at labels.csv:2; use one of "
            "both, or give a schema in data.schema_file",
        ),
        (
            "image,colour,width\n0.png,red,5\n1.png,blue,6\n",
            "labels.csv: column 'width' has a name that Gingham writes itself; list the attributes in "
            "data.attributes, or this column in data.ignore_columns",
        ),
        (
            "image,colour\n0.png,red\n1.png,red\n",
            "labels.csv: attribute 'colour': it has one class ('red'); name at least two; list the attributes in "
            "data.attributes, or this column in data.ignore_columns",
        ),
    ],
)
def test_malformed_csv(tmp_path: Path, text: str, expected: str) -> None:
    assert problem(table(tmp_path / "labels.csv", text)) == expected


def test_csv_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("image,colour\n0.png,red\n1.png,grün\n".encode("latin-1"))
    assert problem(path) == "labels.csv:3: not UTF-8 text; save the file as UTF-8"


def test_missing_images(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN, photos=2)
    assert problem(path) == (
        f"labels.csv:4: image '2.png' is not in {tmp_path} (the first of 2 missing files); add it, or set "
        "data.image_root"
    )


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


def test_unknown_classes_with_a_schema(tmp_path: Path) -> None:
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\n"))
    path = table(tmp_path / "labels.csv", "image,colour\n0.png,red\n1.png,bleu\n")
    assert problem(path, options) == ("labels.csv:3: attribute 'colour': unknown class 'bleu'; did you mean 'blue'?")
    path.write_text("image,colour\n0.png,red\n1.png,2\n")
    assert problem(path, options) == "labels.csv:3: attribute 'colour' has label 2, expected 0..1"
    path.write_text("image,colour\n0.png,-1\n1.png,1\n")
    assert problem(path, options) == "labels.csv:2: attribute 'colour' has label -1, expected 0..1"
    path.write_text("image,color\n0.png,red\n1.png,blue\n")
    assert problem(path, options).endswith(
        f"no column 'colour' (an attribute of the schema {options.schema_file}); did you mean 'color'?".replace(
            f"{tmp_path}/", ""
        )
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DataOptions(attributes=("color",)), "no column 'color' (data.attributes); did you mean 'colour'?"),
        (DataOptions(ignore_columns=("no",)), "no column 'no' (data.ignore_columns); there are image, colour, sleeve"),
        (DataOptions(split_column="splits"), "no column 'splits' (data.split_column); did you mean 'split'?"),
        (DataOptions(box_columns=("a", "b", "c", "d")), "no column 'a' (data.box_columns)"),
    ],
)
def test_options_that_name_no_column(tmp_path: Path, options: DataOptions, expected: str) -> None:
    assert expected in problem(table(tmp_path / "labels.csv", PLAIN), options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DataOptions(val_fraction=0.5), "data.val_fraction would have no effect: labels.csv has the split column"),
        (DataOptions(split_seed=5), "data.split_seed would have no effect: labels.csv has the split column 'split'"),
        (DataOptions(attributes=("image",)), "column 'image' cannot be an attribute and something else as well"),
        (
            DataOptions(attributes=("colour",), ignore_columns=("colour",)),
            "column 'colour' cannot be an attribute and something else as well",
        ),
    ],
)
def test_options_that_contradict(tmp_path: Path, options: DataOptions, expected: str) -> None:
    assert expected in problem(table(tmp_path / "labels.csv", PLAIN), options, RecipeError)


def test_attributes_that_are_not_those_of_the_schema(tmp_path: Path) -> None:
    options = DataOptions(schema_file=schema_file(tmp_path, "colour: [red, blue]\n"), attributes=("sleeve",))
    message = problem(table(tmp_path / "labels.csv", PLAIN), options, RecipeError)
    assert message == "data.attributes names sleeve, but schema.yaml has colour; give one of the two options"


def test_identical_photos_stay_together(tmp_path: Path) -> None:
    rows = [(f"{n}.png", "red" if n % 3 else "blue") for n in range(40)]
    path = table(tmp_path / "labels.csv", "image,colour\n" + "".join(f"{a},{b}\n" for a, b in rows), photos=0)
    for number in range(40):
        photo(tmp_path / f"{number}.png", number // 2)
    for seed in range(5):
        splits = read_labels(path, DataOptions(split_seed=seed)).splits
        assert splits[0::2] == splits[1::2]
        assert splits.count("val") == 8


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


def test_infer_schema_does_not_look_at_images(tmp_path: Path) -> None:
    path = table(tmp_path / "labels.csv", PLAIN, photos=0)
    assert infer_schema(path) == AttributeSchema.of({"colour": ["blue", "red"], "sleeve": ["long", "short"]})
    with pytest.raises(RecipeError, match=r"data\.schema_file would have no effect: the schema is inferred"):
        infer_schema(path, DataOptions(schema_file="deepfashion"))


@pytest.mark.parametrize(
    ("values", "accepted"),
    [
        ([f"v{n}" for n in range(5)], False),  # never seen twice
        ([f"v{n}" for n in range(4)], True),
        ([f"v{n % 100}" for n in range(1000)], True),
        ([f"v{n % 101}" for n in range(1000)], False),  # too many
        ([f"v{n % 11}" for n in range(21)], False),  # mostly unique
        ([f"v{n % 11}" for n in range(22)], True),
    ],
)
def test_columns_that_look_like_identifiers(tmp_path: Path, values: list[str], accepted: bool) -> None:
    text = "image,code\n" + "".join(f"{n}.png,{value}\n" for n, value in enumerate(values))
    path = table(tmp_path / "labels.csv", text, photos=0)
    if accepted:
        assert infer_schema(path)["code"].classes == tuple(sorted(set(values)))
        return
    with pytest.raises(DataError, match=r"labels\.csv: column 'code' looks like an identifier") as caught:
        infer_schema(path)
    assert str(caught.value).endswith("list the attributes in data.attributes, or this column in data.ignore_columns")
