"""Pairs, boxes and classes by hand-made tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from gingham.audit.collect import audit
from gingham.audit.labels import class_counts, new_combinations
from gingham.audit.pictures import boxes_outside
from gingham.audit.report import Report
from gingham.data.facts import ImageFacts
from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.schema import AttributeSchema

_SCHEMA = AttributeSchema.of({"hue": ["red", "green"], "tone": ["dark", "light"]})


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def picture(seed: int) -> Image.Image:
    """Large soft blobs: unlike any other seed's."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((90, 120), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """a, b, c are one picture; d is a's mirror image, smaller; e and f are two more; g cannot be read."""
    picture(1).save(tmp_path / "a.png")
    picture(1).save(tmp_path / "b.webp", lossless=True)
    picture(1).save(tmp_path / "c.bmp")
    ImageOps.mirror(picture(1)).resize((60, 80)).save(tmp_path / "d.jpg", quality=85)
    picture(2).save(tmp_path / "e.png")
    picture(3).save(tmp_path / "f.jpg")
    (tmp_path / "g.jpg").write_text("nothing")
    rows = ("a.png,red,dark,train", "b.webp,red,light,train", "c.bmp,red,,val", "d.jpg,green,dark,test")
    more = ("e.png,green,light,val", "f.jpg,green,light,test", "g.jpg,red,dark,train")
    (tmp_path / "labels.csv").write_text("\n".join(["image,hue,tone,split", *rows, *more]))
    return tmp_path


@pytest.fixture
def report(folder: Path) -> Report:
    return audit(read_labels(folder))


def test_pairs_splits_and_disagreements(report: Report) -> None:
    assert report.identical == [("a.png", "b.webp", "c.bmp")]
    pairs = {pair.images: pair for pair in report.pairs}
    assert {images for images, pair in pairs.items() if pair.kind == "identical"} == {
        ("a.png", "b.webp"),
        ("a.png", "c.bmp"),
        ("b.webp", "c.bmp"),
    }
    assert {images for images, pair in pairs.items() if pair.kind == "near"} == {
        ("a.png", "d.jpg"),
        ("b.webp", "d.jpg"),
        ("c.bmp", "d.jpg"),
    }
    assert pairs["a.png", "d.jpg"].mirrored
    assert not pairs["a.png", "b.webp"].straddles
    assert len(report.straddling) == 5
    assert [pair.images for pair in report.disagreeing][:1] == [("a.png", "b.webp")]
    assert pairs["a.png", "b.webp"].differing == {"tone": ("dark", "light")}
    assert pairs["b.webp", "d.jpg"].differing == {"hue": ("red", "green"), "tone": ("light", "dark")}
    assert pairs["a.png", "c.bmp"].differing == {}, "unlabelled is no disagreement"
    assert [entry.image for entry in report.unreadable] == ["g.jpg"]


def test_the_json_is_plain_and_complete(report: Report) -> None:
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["format"] == 1
    assert plain["counts"] == {
        "images": 7,
        "unreadable": 1,
        "odd": 1,
        "identical_pairs": 3,
        "near_duplicate_pairs": 3,
        "pairs_across_splits": 5,
        "pairs_with_different_labels": 4,
        "boxes_outside": 0,
        "new_combinations": 2,
    }
    assert plain["odd"] == {"tiny": [{"kind": "tiny", "image": "d.jpg", "split": "test", "detail": "60 x 80"}]}
    assert plain["splits"] == {"train": 3, "val": 2, "test": 2}
    assert plain["label_errors"] is None
    assert plain["pairs"][0]["across_splits"] is False


def test_classes_and_combinations(folder: Path, report: Report) -> None:
    table = read_labels(folder)
    assert class_counts(table)["hue"] == {
        "green": {"train": 0, "val": 1, "test": 2},
        "red": {"train": 3, "val": 1, "test": 0},
    }
    assert report.unlabelled == {"hue": 0, "tone": 1}
    assert report.imbalance("hue") is None
    assert report.imbalance("tone") == 2.0
    new = {tuple(entry.labels.values()): entry.images for entry in new_combinations(table)}
    assert new == {("green", "light"): ("e.png", "f.jpg"), ("green", "dark"): ("d.jpg",)}


def test_boxes_that_leave_the_image_by_more_than_a_pixel() -> None:
    boxes = [[0, 0, 100, 50], [-1, 0, 101, 51], [50, 0, 150, 50], [100, 50, 110, 60], [np.nan] * 4, [-20, -50, 60, 50]]
    facts = ImageFacts("", 100, 50, 50.0, b"", "PNG", ())
    count = len(boxes)
    table = LabelTable(
        _SCHEMA,
        Path(),
        tuple(map(str, range(count))),
        np.zeros((count, 2), dtype=np.int64),
        ("train",) * count,
        np.array(boxes, dtype=np.float32),
        "made up",
    )
    found = {entry.image: entry.outside for entry in boxes_outside(table, [facts] * count)}
    assert found == {"2": 0.5, "3": 1.0, "5": pytest.approx(1 - 60 * 50 / 8000)}
