from pathlib import Path

import pytest

from gingham.data.formats import infer_schema, read_labels
from gingham.data.infer import write_schema
from gingham.errors import DataError
from gingham.schema import AttributeSchema
from tests.data.builders import deepfashion, table

TEXT = "image,colour,split\n0.png,red,train\n1.png,blue,val\n"


@pytest.mark.parametrize("name", ["labels.csv", "images.csv", "anything.csv", "LABELS.CSV"])
def test_folder_with_one_table(tmp_path: Path, name: str) -> None:
    table(tmp_path / name, TEXT)
    assert read_labels(tmp_path).source == str(tmp_path / name)


def test_labels_win_over_other_tables(tmp_path: Path) -> None:
    table(tmp_path / "labels.csv", TEXT)
    table(tmp_path / "predictions.csv", "x\n")
    (tmp_path / ".hidden.csv").touch()
    assert read_labels(tmp_path).source == str(tmp_path / "labels.csv")


@pytest.mark.parametrize("names", [("a.csv", "b.csv"), ("images.csv", "labels.csv")])
def test_several_tables(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        table(tmp_path / name, TEXT)
    with pytest.raises(DataError, match=rf"several tables \({names[0]}, {names[1]}\); name one of them"):
        read_labels(tmp_path)


def test_folder_without_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no labels found; expected a table \(\.csv, \.parquet, \.jsonl\) in it, or"):
        read_labels(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        read_labels(tmp_path / "nowhere")


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "labels.xlsx").touch()
    with pytest.raises(DataError, match=r"labels\.xlsx: expected a file ending in \.csv, \.parquet, \.jsonl"):
        read_labels(tmp_path / "labels.xlsx")


def test_lists_win_over_a_table_in_the_same_folder(tmp_path: Path) -> None:
    deepfashion(tmp_path)
    table(tmp_path / "labels.csv", TEXT)
    assert len(read_labels(tmp_path).schema) == 6
    assert infer_schema(tmp_path) == AttributeSchema.builtin("deepfashion")


@pytest.mark.parametrize(
    "schema",
    [
        AttributeSchema.builtin("deepfashion"),
        AttributeSchema.of({"no": ["yes", "on", "null", "1", "1e3", "1_0", "0x1f", "~", "=", "2024-01-01", "1:20"]}),
        AttributeSchema.of({"färbe #1": ["grün: hell", "'rot'", '"blau"', "- weiß", "[x]", "{y}", "a, b", "👕"]}),
        AttributeSchema.of({"long": [f"class number {number}" for number in range(50)], "b": ["x", "y"]}),
    ],
)
def test_written_schema_reads_back(tmp_path: Path, schema: AttributeSchema) -> None:
    path = tmp_path / "schema.yaml"
    write_schema(schema, path)
    assert AttributeSchema.from_file(path) == schema
    assert AttributeSchema.from_file(path).fingerprint == schema.fingerprint


def test_written_schema_is_easy_to_read(tmp_path: Path) -> None:
    write_schema(AttributeSchema.of({"sleeve": ["long", "short"], "kids": ["no", "yes"]}), tmp_path / "schema.yaml")
    assert (tmp_path / "schema.yaml").read_text() == "sleeve: [long, short]\nkids: ['no', 'yes']\n"
