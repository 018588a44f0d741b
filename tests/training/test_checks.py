from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.errors import DataError
from gingham.schema import AttributeSchema
from gingham.training.checks import check_boxes
from gingham.training.recipe import Recipe
from gingham.training.run import train
from tests.ears import Ears

_BOX = [1.0, 2.0, 3.0, 4.0]
_NONE = [np.nan] * 4


def _table(split: str, boxes: list[list[float]] | None) -> LabelTable:
    count = 3
    return LabelTable(
        schema=AttributeSchema.of({"hue": ["red", "blue"]}),
        root=Path(),
        images=tuple(f"{split}{number}.jpg" for number in range(count)),
        targets=np.zeros((count, 1), dtype=np.int64),
        splits=(split,) * count,
        boxes=None if boxes is None else np.array(boxes, dtype=np.float32),
        source="labels.csv",
    )


@pytest.mark.parametrize("boxes", [None, [_NONE, _NONE, _NONE]])
def test_a_model_of_boxes_is_not_trained_without_any(boxes: list[list[float]] | None) -> None:
    train, val = _table("train", boxes), _table("val", [_BOX, _BOX, _BOX])
    with pytest.raises(DataError, match=r"labels\.csv: preprocess\.region is 'box', but no training image has"):
        check_boxes(train, val, Preprocess(region="box"), Ears())
    check_boxes(train, val, Preprocess(region="image"), Ears())


def test_a_run_checks_that_before_it_begins(photos: Path, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no training image has a garment box"):
        train(photos, tiny("preprocess.region=box"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_without_a_box_are_counted() -> None:
    ears = Ears()
    check_boxes(_table("train", [_BOX, _NONE, _BOX]), _table("val", None), Preprocess(region="box"), ears)
    assert [line.split(" images")[0] for line in ears.lines] == [
        "warning: split 'train': 1 of 3",
        "warning: split 'val': 3 of 3",
    ]
    ears.lines.clear()
    check_boxes(_table("train", [_BOX] * 3), _table("val", [_BOX] * 3), Preprocess(region="box"), ears)
    assert ears.lines == []
