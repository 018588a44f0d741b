"""Parts of the images against a direct count over the same rows."""

from dataclasses import replace

import numpy as np
import pytest

from gingham.errors import DataError
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.slices import slices
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL, drawn_predictions, predictions_of


def _rows(predictions: Predictions, rows: np.ndarray) -> Predictions:
    assert predictions.targets is not None
    ids = tuple(np.array(predictions.ids)[rows])
    return Predictions(predictions.schema, ids, predictions.logits[rows], predictions.targets[rows])


def test_a_part_is_measured_as_if_there_were_nothing_else() -> None:
    drawn = drawn_predictions(0, 200)
    fold = np.arange(200) % 3
    found = [part for part in slices(replace(drawn, columns={"fold": fold}), bootstrap=200) if part.group == "fold"]
    assert [part.label for part in found] == ["0", "1", "2"]
    for number, part in enumerate(found):
        alone = evaluate(_rows(drawn, fold == number), bootstrap=200)
        assert (part.n, part.mean_class_accuracy) == (alone.n, pytest.approx(alone.mean_class_accuracy))
        assert part.accuracy == pytest.approx(alone.overall_accuracy)
        assert part.mean_class_accuracy_ci95 == pytest.approx(alone.mean_class_accuracy_ci95)
        assert part.accuracy_ci95 == pytest.approx(alone.overall_accuracy_ci95)


def test_labels_say_exactly_where_it_was_cut() -> None:
    drawn = drawn_predictions(1, 400, labelled=1.0)
    width = np.random.default_rng(0).integers(100, 900, size=400)
    height = np.full(400, 50)
    found = list(slices(replace(drawn, columns={"width": width, "height": height}), bootstrap=0))
    sides = [part for part in found if part.group == "longer side"]
    assert len(sides) == 4
    assert sum(part.n for part in sides) == 400
    low, high = (int(word) for word in sides[1].label.removesuffix(" px").split(" to "))
    assert sides[0].label == f"up to {low} px"
    assert sides[0].n == (width <= low).sum()
    assert sides[1].n == ((width > low) & (width <= high)).sum()
    assert sides[0].accuracy_ci95 is None


def test_what_does_not_tell_images_apart_makes_no_part() -> None:
    drawn = drawn_predictions(2, 60)
    columns = {"width": np.full(60, 9), "height": np.full(60, 9), "brightness": np.full(60, 0.5)}
    assert {part.group for part in slices(replace(drawn, columns=columns))} <= {"class"}
    few = drawn_predictions(2, 12)
    assert {part.group for part in slices(replace(few, columns={"brightness": np.linspace(0, 1, 12)}))} <= {"class"}


def test_images_without_a_box_are_a_part_of_their_own() -> None:
    drawn = drawn_predictions(3, 80, labelled=1.0)
    share = np.where(np.arange(80) < 30, np.nan, np.linspace(0.1, 0.9, 80))
    found = list(slices(replace(drawn, columns={"box_share": share}), bootstrap=0))
    boxes = {part.label: part.n for part in found if part.group == "box area"}
    assert boxes["no box"] == 30
    assert sum(boxes.values()) == 80
    one_size = np.where(np.arange(80) < 30, np.nan, 0.5)
    found = list(slices(replace(drawn, columns={"box_share": one_size}), bootstrap=0))
    assert {part.label: part.n for part in found if part.group == "box area"} == {"with a box": 50, "no box": 30}


def test_classes_are_grouped_by_their_examples() -> None:
    # 10 red (8 right), 9 green (3 right), no blue; 19 tight, all right.
    targets = [[0, 0]] * 10 + [[1, 0]] * 9
    predicted = [[0, 0]] * 8 + [[2, 0]] * 2 + [[1, 0]] * 3 + [[2, 0]] * 6
    rare, frequent = slices(predictions_of(targets, predicted, SMALL), bootstrap=50)
    assert (rare.label, rare.n) == ("1 to 9 examples (1 class)", 9)
    assert rare.mean_class_accuracy == pytest.approx(3 / 9)
    assert (frequent.label, frequent.n) == ("10 to 99 examples (2 classes)", 29)
    assert frequent.mean_class_accuracy == pytest.approx((0.8 + 1) / 2)
    assert frequent.accuracy == pytest.approx(27 / 29)


def test_without_labels_it_is_an_error() -> None:
    with pytest.raises(DataError, match="none of the 1 images has a label"):
        slices(predictions_of([[-1, -1]], [[0, 0]]))
