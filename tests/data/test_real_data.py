"""The readers on the real data sets; what is expected was counted by hand or is stated with the data."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from gingham.data.decode import decode
from gingham.data.folder import list_images
from gingham.data.formats import infer_schema, read_labels
from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.data.split import photo_groups
from gingham.data.table import LabelTable
from gingham.schema import AttributeSchema

CLOTHING = DataOptions(unlabelled=("Not sure", "Skip", "Other"))


@pytest.fixture(scope="module")
def fashion(shared: Path) -> LabelTable:
    return read_labels(shared / "FashionDataset")


@pytest.fixture(scope="module")
def clothing(shared: Path) -> LabelTable:
    return read_labels(shared / "clothing-cc0", CLOTHING)


def class_counts(labels: LabelTable) -> dict[str, int]:
    return dict(zip((name.split("/")[1] for name in labels.schema.columns), labels.counts().tolist(), strict=True))


def test_fashion_counts(fashion: LabelTable) -> None:
    assert fashion.schema == AttributeSchema.builtin("deepfashion")
    assert Counter(fashion.splits) == {"train": 4000, "val": 1000, "test": 1000}
    val = class_counts(fashion.split("val"))
    assert {name: val[name] for name in ("square_neckline", "faux", "leather", "lattice", "pleated")} == {
        "square_neckline": 4,
        "faux": 10,
        "leather": 21,
        "lattice": 21,
        "pleated": 22,
    }
    assert (fashion.split("test").targets == -1).all()
    # Train and val together are the challenge's 5000 training photos.
    assert list(class_counts(fashion).values()) == [
        *(768, 853, 334, 422, 109, 2408, 106),
        *(1523, 862, 2615),
        *(488, 951, 3561),
        *(2086, 826, 19, 2069),
        *(310, 702, 3399, 105, 48, 436),
        *(749, 279, 3972),
    ]


def test_fashion_rows(fashion: LabelTable) -> None:
    assert fashion.images[0] == "img/00000.jpg"
    assert fashion.targets[0].tolist() == [5, 0, 2, 0, 2, 2]
    assert fashion.boxes is not None
    assert fashion.boxes[0].tolist() == [62, 62, 165, 300]
    assert np.isfinite(fashion.boxes).all()


def test_fashion_has_six_identical_pairs(fashion: LabelTable) -> None:
    groups = Counter(photo_groups(fashion.paths(), fashion.images))
    assert sorted(groups.values())[-7:] == [1, 2, 2, 2, 2, 2, 2]


def test_fashion_boxes_lie_inside_their_photos(fashion: LabelTable) -> None:
    preprocess = Preprocess(size=32, region="box")
    assert fashion.boxes is not None
    for row in range(0, len(fashion), 100):
        assert preprocess.apply(decode(fashion.path(row)), fashion.boxes[row]).shape == (32, 32, 3)


def test_clothing_counts(clothing: LabelTable) -> None:
    assert clothing.schema.names == ("label", "kids")
    assert len(clothing) == 1500
    assert len(clothing.schema["label"]) == 17
    assert not {"Not sure", "Skip", "Other"} & set(clothing.schema["label"].classes)
    assert clothing.schema["kids"].classes == ("adult", "kids")
    assert (clothing.targets[:, 0] == -1).sum() == 72 + 3 + 21
    assert class_counts(clothing)["kids"] == 121
    assert class_counts(clothing)["Blouse"] == 7
    assert clothing.boxes is None


def test_clothing_split(clothing: LabelTable) -> None:
    train, val = clothing.split("train"), clothing.split("val")
    assert len(train) + len(val) == 1500
    assert abs(len(val) - 300) <= 3
    share = val.counts() / clothing.counts()
    assert (val.counts() >= 1).all()
    assert (abs(share - 0.2) * clothing.counts() <= 1).all()
    groups = photo_groups(clothing.paths(), clothing.images)
    assert len(set(zip(groups, clothing.splits, strict=True))) == len(set(groups))


def test_clothing_schema(shared: Path, clothing: LabelTable) -> None:
    assert infer_schema(shared / "clothing-cc0", CLOTHING) == clothing.schema


def test_plain_folder(shared: Path) -> None:
    found = list_images([shared / "FashionDataset/img"])
    assert len(found) == 6000
    assert found[0] == ("00000.jpg", shared / "FashionDataset/img/00000.jpg")
