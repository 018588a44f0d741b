"""Metrics against numbers worked out by hand and against scikit-learn."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from gingham.errors import DataError, SchemaError, UserError
from gingham.evaluation.metrics import Metrics, confusion_matrices, evaluate
from gingham.predictions import Predictions
from tests.evaluation.samples import DEEPFASHION, SMALL, drawn_predictions, predictions_of

RED, GREEN, BLUE, TIGHT, LOOSE, NONE = 0, 1, 2, 0, 1, -1

# Six images. colour: red 2 of 3 right, green 1 of 1, blue absent but guessed once. fit: tight 1 of 2, loose 0 of 1.
TARGETS = [[RED, TIGHT], [RED, TIGHT], [RED, NONE], [GREEN, NONE], [NONE, LOOSE], [NONE, NONE]]
PREDICTED = [[RED, TIGHT], [RED, LOOSE], [BLUE, LOOSE], [GREEN, TIGHT], [GREEN, TIGHT], [BLUE, TIGHT]]


@pytest.fixture
def by_hand() -> Metrics:
    return evaluate(predictions_of(TARGETS, PREDICTED), bootstrap=0, min_count=2)


def test_confusion_matrices_have_truth_in_rows_and_leave_unlabelled_out():
    colour, fit = confusion_matrices(np.array(TARGETS), np.array(PREDICTED), SMALL)
    assert colour.tolist() == [[2, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert fit.tolist() == [[1, 1], [1, 0]]
    assert colour.dtype == fit.dtype == np.int64


def test_overall_numbers_by_hand(by_hand: Metrics):
    assert by_hand.mean_class_accuracy == pytest.approx((2 / 3 + 1 + 1 / 2 + 0) / 4)
    assert by_hand.mean_class_accuracy_challenge == pytest.approx((2 / 3 + 1 + 0 + 1 / 2 + 0) / 5)
    assert by_hand.mean_class_accuracy_frequent == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert by_hand.overall_accuracy == pytest.approx(4 / 7)
    # F1: red 2*2/(3+2), green 2*1/(1+1), tight 2*1/(2+2), loose 0; blue has no examples.
    assert by_hand.macro_f1 == pytest.approx((4 / 5 + 1 + 1 / 2 + 0) / 4)
    assert by_hand.absent == ("colour/blue",)
    assert by_hand.rare == ("colour/green", "fit/loose")
    assert by_hand.n == 5
    assert by_hand.mean_class_accuracy_ci95 is None


def test_attributes_and_classes_by_hand(by_hand: Metrics):
    colour, fit = by_hand.per_attribute["colour"], by_hand.per_attribute["fit"]
    assert (colour.n, fit.n) == (4, 3)
    assert colour.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert colour.accuracy == pytest.approx(3 / 4)
    assert colour.macro_f1 == pytest.approx((4 / 5 + 1) / 2)
    assert fit.mean_class_accuracy == pytest.approx(1 / 4)
    red, blue = by_hand.per_class["colour"]["red"], by_hand.per_class["colour"]["blue"]
    assert (red.recall, red.precision, red.n) == (pytest.approx(2 / 3), 1.0, 3)
    assert (blue.recall, blue.precision, blue.f1, blue.n) == (None, 0.0, None, 0)


def test_class_never_predicted_has_no_precision_and_f1_zero():
    metrics = evaluate(predictions_of([[RED, TIGHT], [GREEN, TIGHT]], [[RED, TIGHT], [RED, TIGHT]]), bootstrap=0)
    green = metrics.per_class["colour"]["green"]
    assert (green.recall, green.precision, green.f1) == (0.0, None, 0.0)


def test_attribute_without_labels_is_undefined_and_does_not_count():
    metrics = evaluate(predictions_of([[RED, NONE], [GREEN, NONE]], [[RED, TIGHT], [RED, TIGHT]]), bootstrap=20)
    fit = metrics.per_attribute["fit"]
    assert (fit.mean_class_accuracy, fit.accuracy, fit.macro_f1, fit.n) == (None, None, None, 0)
    assert (fit.mean_class_accuracy_ci95, fit.accuracy_ci95) == (None, None)
    assert metrics.mean_class_accuracy == 0.5


def test_no_frequent_class_is_undefined():
    metrics = evaluate(predictions_of(TARGETS, PREDICTED), bootstrap=10, min_count=100)
    assert metrics.mean_class_accuracy_frequent is None
    assert metrics.mean_class_accuracy_frequent_ci95 is None


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int):
    predictions = drawn_predictions(seed, 300)
    metrics = evaluate(predictions, bootstrap=0)
    assert predictions.targets is not None
    recalls, f1s, right, labels = [], [], 0, 0
    matrices = confusion_matrices(predictions.targets, predictions.predicted, DEEPFASHION)
    for position, attribute in enumerate(DEEPFASHION.attributes):
        known = predictions.targets[:, position] != NONE
        truth, guess = predictions.targets[known, position], predictions.predicted[known, position]
        present = np.unique(truth)
        recall = recall_score(truth, guess, labels=present, average=None)
        f1 = f1_score(truth, guess, labels=present, average=None)
        precision = precision_score(truth, guess, labels=present, average=None, zero_division=0)
        assert (matrices[position] == confusion_matrix(truth, guess, labels=range(len(attribute)))).all()
        mine = metrics.per_attribute[attribute.name]
        assert mine.mean_class_accuracy == pytest.approx(recall.mean())
        assert mine.macro_f1 == pytest.approx(f1.mean())
        assert mine.accuracy == pytest.approx(accuracy_score(truth, guess))
        for row, number in enumerate(present):
            one = metrics.per_class[attribute.name][attribute.classes[number]]
            assert one.recall == pytest.approx(recall[row])
            assert one.f1 == pytest.approx(f1[row])
            assert (one.precision or 0) == pytest.approx(precision[row])
        recalls += recall.tolist()
        f1s += f1.tolist()
        right += int((truth == guess).sum())
        labels += len(truth)
    assert metrics.mean_class_accuracy == pytest.approx(np.mean(recalls))
    assert metrics.mean_class_accuracy_challenge == pytest.approx(np.sum(recalls) / 26)
    assert metrics.macro_f1 == pytest.approx(np.mean(f1s))
    assert metrics.overall_accuracy == pytest.approx(right / labels)


def test_perfect_model_scores_one_though_batches_lack_classes():
    generator = np.random.default_rng(0)
    rare = [np.r_[0.01, np.full(size - 1, 0.99 / (size - 1))] for size in DEEPFASHION.sizes]
    targets = np.stack([generator.choice(len(share), 1000, p=share) for share in rare], axis=1)
    batches = [slice(start, start + 64) for start in range(0, 1000, 64)]
    parts = [confusion_matrices(targets[batch], targets[batch], DEEPFASHION) for batch in batches]
    per_batch = [Metrics.from_confusions(part, DEEPFASHION, n=64).mean_class_accuracy_challenge for part in parts]
    assert np.mean(np.array(per_batch, dtype=float)) < 0.95
    whole = [np.sum(matrices, axis=0) for matrices in zip(*parts, strict=True)]
    metrics = Metrics.from_confusions(whole, DEEPFASHION, n=1000)
    assert metrics.mean_class_accuracy == metrics.mean_class_accuracy_challenge == metrics.macro_f1 == 1.0


def test_guessing_one_class_of_each_attribute_scores_their_number_by_the_number_of_classes():
    # One class of each attribute has recall 1, the others 0: 6 of 26, 23.1%, however the classes are distributed.
    targets = np.stack([np.arange(210) % size for size in DEEPFASHION.sizes], axis=1)
    metrics = evaluate(predictions_of(targets, np.zeros_like(targets), DEEPFASHION), bootstrap=0)
    assert metrics.mean_class_accuracy == pytest.approx(6 / 26)
    assert round(100 * 6 / 26, 1) == 23.1


def test_json_has_the_promised_keys_and_no_nan(by_hand: Metrics):
    value = evaluate(predictions_of(TARGETS, PREDICTED), bootstrap=50).to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    overall = {"mean_class_accuracy", "overall_accuracy", "macro_f1", "mean_class_accuracy_frequent"}
    overall |= {"mean_class_accuracy_challenge", "mean_class_accuracy_ci95", "absent_classes", "n"}
    assert overall | {"per_attribute", "per_class"} <= set(value)
    assert list(value["per_attribute"]) == ["colour", "fit"]
    assert {"mean_class_accuracy", "accuracy", "macro_f1", "n"} <= set(value["per_attribute"]["fit"])
    assert {"recall", "n"} <= set(value["per_class"]["colour"]["blue"])
    assert value["per_class"]["colour"]["blue"]["recall"] is None
    assert value["absent_classes"] == ["colour/blue"]
    low, high = value["mean_class_accuracy_ci95"]
    assert 0 <= low <= value["mean_class_accuracy"] <= high <= 1
    assert by_hand.to_json()["mean_class_accuracy_ci95"] is None


def test_nothing_to_measure_against_is_an_error_that_says_so():
    predictions = predictions_of(TARGETS, PREDICTED)
    with pytest.raises(DataError, match="no targets to measure against; predict on a labelled split"):
        evaluate(replace(predictions, targets=None))
    with pytest.raises(DataError, match="none of the 6 images has a label"):
        evaluate(replace(predictions, targets=np.full((6, 2), NONE)))
    empty = Predictions(SMALL, (), np.zeros((0, 5), np.float32), np.zeros((0, 2), np.int64))
    with pytest.raises(DataError, match="none of the 0 images"):
        evaluate(empty)


def test_nan_logits_are_refused_and_not_counted_as_the_first_class():
    predictions = predictions_of(TARGETS, PREDICTED)
    predictions.logits[1, 0] = np.nan
    with pytest.raises(DataError, match=r"logits of 1 images are NaN, first 'img/00001\.jpg'"):
        evaluate(predictions)


def test_negative_number_of_resamples_is_refused():
    with pytest.raises(UserError, match="give a positive number, or 0"):
        evaluate(predictions_of(TARGETS, PREDICTED), bootstrap=-1)


@pytest.mark.parametrize(
    ("targets", "predicted", "message"),
    [
        ([[0, 0, 0]], [[0, 0]], r"targets have shape \(1, 3\), expected \(N, 2\)"),
        ([[0, 0]], [[0]], r"predicted have shape \(1, 1\)"),
        ([[0, 0]], [[0, 0], [0, 0]], "targets of 1 images and predictions of 2"),
        ([[0, 2]], [[0, 0]], r"attribute 'fit': target 2 is not in 0\.\.1"),
        ([[0, -2]], [[0, 0]], r"attribute 'fit': target -2"),
        ([[0, 0]], [[3, 0]], r"attribute 'colour': prediction 3 is not in 0\.\.2"),
    ],
)
def test_arrays_that_do_not_fit_the_schema_are_refused(targets: list, predicted: list, message: str):
    with pytest.raises(SchemaError, match=message):
        confusion_matrices(np.array(targets), np.array(predicted), SMALL)


def test_matrices_of_another_schema_are_refused():
    matrices = confusion_matrices(np.array(TARGETS), np.array(PREDICTED), SMALL)
    with pytest.raises(SchemaError, match="confusion matrices have shapes"):
        Metrics.from_confusions(matrices, DEEPFASHION, n=5)


def test_needs_neither_torch_nor_scikit_learn():
    modules = ("bootstrap", "curves", "metrics", "tables")
    lines = [f"import gingham.evaluation.{module}" for module in modules]
    lines += ["import sys", "assert not {'torch', 'sklearn', 'scipy', 'matplotlib.pyplot'} & set(sys.modules)"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
