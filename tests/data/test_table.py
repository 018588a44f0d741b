from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gingham.data.table import LabelTable
from gingham.errors import DataError, SchemaError
from gingham.schema import AttributeSchema

SCHEMA = AttributeSchema.of({"colour": ["red", "blue"], "sleeve": ["long", "short", "none"]})


def build(**changes: Any) -> LabelTable:
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "root": Path("photos"),
        "images": ("a.jpg", "b/c.jpg", "d.jpg"),
        "targets": np.array([[0, 2], [1, -1], [0, 0]]),
        "splits": ("train", "val", "train"),
        "boxes": np.array([[0, 0, 1, 1], [np.nan] * 4, [2, 2, 3, 3]], dtype=np.float32),
        "source": "labels.csv",
    }
    return LabelTable(**{**values, **changes})


def test_paths() -> None:
    assert len(build()) == 3
    assert build().path(1) == Path("photos/b/c.jpg")
    assert build().paths() == [Path("photos/a.jpg"), Path("photos/b/c.jpg"), Path("photos/d.jpg")]
    assert build(images=("/x/a.jpg", "b", "c")).path(0) == Path("/x/a.jpg")


def test_counts_follow_the_logits() -> None:
    counts = build().counts()
    assert counts.dtype == np.int64
    assert counts.tolist() == [2, 1, 1, 0, 1]


def test_split() -> None:
    train = build().split("train")
    assert train.images == ("a.jpg", "d.jpg")
    assert train.targets.tolist() == [[0, 2], [0, 0]]
    assert train.boxes is not None
    assert train.boxes.tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    assert train.split_names == ("train",)
    assert build(splits=("test", "val", "train")).split_names == ("train", "val", "test")
    with pytest.raises(DataError, match=r"labels\.csv: no split 'test'; there are train, val$"):
        build().split("test")


def test_take_keeps_the_order_given() -> None:
    taken = build().take(np.array([2, 0]))
    assert taken.images == ("d.jpg", "a.jpg")
    assert taken.splits == ("train", "train")
    assert build(boxes=None).take([1]).boxes is None
    empty = build().take([])
    assert len(empty) == 0
    assert empty.targets.shape == (0, 2)
    assert empty.counts().tolist() == [0] * 5
    with pytest.raises(IndexError):
        build().take([3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.zeros((3, 3), dtype=np.int64)}, r"targets \(3, 3\), expected \(3, 2\)"),
        ({"targets": np.array([[0, 3], [0, 0], [0, 0]])}, "out of its attribute's range"),
        ({"targets": np.array([[0, -2], [0, 0], [0, 0]])}, "out of its attribute's range"),
        ({"splits": ("train",)}, "1 splits for 3 images"),
        ({"splits": ("train", "val", "dev")}, "unknown split 'dev'; expected one of train, val, test"),
        ({"boxes": np.zeros((2, 4), dtype=np.float32)}, r"boxes \(2, 4\), expected \(3, 4\)"),
    ],
)
def test_inconsistent_tables_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build(**changes)


def test_with_schema_matches_by_name() -> None:
    other = AttributeSchema.of({"sleeve": ["none", "extra", "short", "long"], "colour": ["blue", "red"]})
    table = build().with_schema(other)
    assert table.schema == other
    assert [other.decode(row) for row in table.targets] == [
        {"sleeve": "none", "colour": "red"},
        {"sleeve": None, "colour": "blue"},
        {"sleeve": "long", "colour": "red"},
    ]
    assert table.targets.dtype == np.int64
    assert table.images == build().images
    same = build()
    assert same.with_schema(AttributeSchema.of(SCHEMA.to_plain())) is same


@pytest.mark.parametrize(
    ("attributes", "difference"),
    [
        ({"colour": ["red", "blue"]}, "attributes sleeve"),
        ({"colour": ["red", "blue"], "sleeve": ["long", "short"]}, "attribute 'sleeve', classes none"),
        ({**SCHEMA.to_plain(), "fit": ["loose", "tight"]}, "attributes fit"),
        ({"colour": ["red", "green"], "sleeve": ["long", "short", "none"]}, "attribute 'colour', classes blue, green"),
    ],
)
def test_with_an_incompatible_schema(attributes: dict[str, list[str]], difference: str) -> None:
    with pytest.raises(SchemaError, match=rf"the schema of labels\.csv is .* differ in {difference}"):
        build().with_schema(AttributeSchema.of(attributes))
