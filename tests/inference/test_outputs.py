"""Submission, model card, and the sheet of tagged pictures."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from gingham.data.formats import read_labels
from gingham.errors import SchemaError
from gingham.evaluation.metrics import evaluate
from gingham.inference.card import model_card
from gingham.inference.member import Member
from gingham.inference.sheet import tagged_sheet
from gingham.inference.submission import write_submission
from gingham.inference.tagger import Tagger
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from tests import tiny


def predictions_of(classes: list[list[int]], targets: list[list[int]] | None = None) -> Predictions:
    logits = np.zeros((len(classes), tiny.SCHEMA.total), dtype=np.float32)
    for row, chosen in enumerate(classes):
        for part, number in zip(tiny.SCHEMA.slices, chosen, strict=True):
            logits[row, part.start + number] = 2.0
    ids = tuple(f"{row}.jpg" for row in reversed(range(len(classes))))
    return Predictions(tiny.SCHEMA, ids, logits, None if targets is None else np.array(targets, np.int64))


def test_a_submission_is_one_file_of_integers_in_order(tmp_path: Path) -> None:
    classes = [[0, 1, 2, 3, 0, 1], [6, 2, 2, 3, 5, 2], [1, 1, 1, 1, 1, 1]]
    write_submission(predictions_of(classes), tiny.SCHEMA, tmp_path / "s.zip")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == ["prediction.txt"]
        assert archive.testzip() is None
        assert archive.read("prediction.txt") == b"0 1 2 3 0 1\n6 2 2 3 5 2\n1 1 1 1 1 1\n"
    write_submission(predictions_of(classes), tiny.SCHEMA, tmp_path / "t.zip")
    assert (tmp_path / "s.zip").read_bytes() == (tmp_path / "t.zip").read_bytes()


def test_a_submission_has_the_numbers_of_the_test_split(tmp_path: Path) -> None:
    theirs = AttributeSchema.of({"fit": ["loose", "tight", "snug"], "sleeve": ["none", "long"]})
    mine = AttributeSchema.of({"sleeve": ["long", "none"], "fit": ["tight", "loose"]})
    logits = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]], dtype=np.float32)
    predictions = Predictions(mine, ("a.jpg", "b.jpg", "c.jpg"), logits)
    write_submission(predictions, theirs, tmp_path / "s.zip")
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.read("prediction.txt") == b"1 1\n1 0\n0 1\n"
    with pytest.raises(SchemaError, match="attribute 'fit': the test split has no number for tight"):
        write_submission(predictions, AttributeSchema.of({"fit": ["loose", "x"]}), tmp_path / "t.zip")
    assert not (tmp_path / "t.zip").exists()


def test_a_card_has_front_matter_classes_and_numbers() -> None:
    metrics = evaluate(predictions_of([[0] * 6, [1] * 6], [[0] * 6, [0, 1, 1, 1, 1, -1]]), bootstrap=50)
    member = Member(model=tiny.MODEL, preprocess=tiny.preprocess())
    card = model_card(
        name="tagger",
        schema=tiny.SCHEMA,
        members=[member],
        trained={"training_images": 3},
        metrics=metrics,
    )
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "gingham"
    assert "# tagger" in body
    assert "attributes: backbone `test_resnet`, head `query2label`; 1 view: whole image." in body
    assert "- training images: 3" in body
    for attribute in tiny.SCHEMA.attributes:
        assert f"- **{attribute.name}**: {', '.join(attribute.classes)}" in body
    assert f"Mean class accuracy {metrics.mean_class_accuracy:.4f} (95% bootstrap interval" in body
    table = [line for line in body.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(tiny.SCHEMA)
    assert {line.count("|") for line in table} == {6}
    unmeasured = model_card(name="t", schema=tiny.SCHEMA, members=[member], trained={}, metrics=None)
    assert "Not measured." in unmeasured


def test_a_sheet_shows_wrong_tags_in_red(tagger: Tagger, wardrobe: Path, tmp_path: Path) -> None:
    table = read_labels(wardrobe).split("train")
    right = Predictions(
        tagger.schema,
        table.images,
        predictions_of(table.targets.tolist()).logits,
        table.targets,
    )
    wrong = Predictions(tagger.schema, table.images, -right.logits, table.targets)
    reds = []
    for name, predictions in (("right", right), ("wrong", wrong)):
        tagged_sheet(predictions, table.paths(), tmp_path / f"{name}.png", columns=3, rows=2)
        with Image.open(tmp_path / f"{name}.png") as page:
            assert page.format == "PNG"
            pixels = np.asarray(page.convert("RGB"))
        reds.append(int((pixels == (0xB3, 0x26, 0x1E)).all(axis=2).sum()))
    assert reds[0] < 50 < reds[1]


def test_a_sheet_takes_fewer_photos_than_it_has_room_for(wardrobe: Path, tmp_path: Path) -> None:
    table = read_labels(wardrobe).take([0])
    few = Predictions(table.schema, table.images, np.zeros((1, table.schema.total), np.float32))
    tagged_sheet(few, table.paths(), tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as page:
        assert page.height < page.width
