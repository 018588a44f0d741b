"""What holds for all predictions."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gingham.evaluation.metrics import Metrics, confusion_matrices, evaluate
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL, any_predictions, logits_of


def _take(predictions: Predictions, rows: list[int]) -> Predictions:
    assert predictions.targets is not None
    ids = tuple(predictions.ids[row] for row in rows)
    return replace(predictions, ids=ids, logits=predictions.logits[rows], targets=predictions.targets[rows])


@settings(max_examples=50)
@given(any_predictions(), st.randoms(use_true_random=False))
def test_order_of_images_has_no_effect_on_numbers_or_intervals(predictions: Predictions, random: np.random.Generator):
    rows = list(range(len(predictions)))
    random.shuffle(rows)
    assert evaluate(_take(predictions, rows), bootstrap=20) == evaluate(predictions, bootstrap=20)


@settings(max_examples=50)
@given(any_predictions(), st.integers(0, 12))
def test_matrices_of_parts_add_up(predictions: Predictions, cut: int):
    targets, predicted = predictions.targets, predictions.predicted
    assert targets is not None
    whole = confusion_matrices(targets, predicted, SMALL)
    first = confusion_matrices(targets[:cut], predicted[:cut], SMALL)
    second = confusion_matrices(targets[cut:], predicted[cut:], SMALL)
    for all_of_it, one, other in zip(whole, first, second, strict=True):
        assert (all_of_it == one + other).all()


@settings(max_examples=50)
@given(any_predictions())
def test_images_without_labels_have_no_effect(predictions: Predictions):
    assert predictions.targets is not None
    blank = np.full((3, 2), -1, dtype=np.int64)
    more = Predictions(
        SMALL,
        ("a.jpg", *predictions.ids, "zz.jpg", "z.jpg"),
        np.concatenate([logits_of(blank[:1], SMALL), predictions.logits, np.full((2, 5), np.nan, np.float32)]),
        np.concatenate([blank[:1], predictions.targets, blank[:2]]),
    )
    assert evaluate(more, bootstrap=20) == evaluate(predictions, bootstrap=20)


@settings(max_examples=50)
@given(any_predictions())
def test_predictions_of_missing_labels_have_no_effect(predictions: Predictions):
    assert predictions.targets is not None
    elsewhere = np.where(predictions.targets == -1, 0, predictions.predicted)
    changed = replace(predictions, logits=logits_of(elsewhere, SMALL))
    assert evaluate(changed, bootstrap=20) == evaluate(predictions, bootstrap=20)


@settings(max_examples=50)
@given(any_predictions())
def test_fractions_are_bounded_and_ordered(predictions: Predictions):
    metrics = evaluate(predictions, bootstrap=20)
    value = metrics.to_json()
    fractions = [value[name] for name in value if "accuracy" in name or name == "macro_f1"]
    fractions += [
        one for name in ("per_attribute", "per_class") for inner in value[name].values() for one in _leaves(inner)
    ]
    flat = [part for fraction in fractions for part in (fraction if isinstance(fraction, list) else [fraction])]
    assert all(part is None or 0 <= part <= 1 for part in flat)
    assert metrics.mean_class_accuracy is not None
    assert metrics.mean_class_accuracy_challenge is not None
    assert metrics.mean_class_accuracy_challenge <= metrics.mean_class_accuracy
    assert (metrics.mean_class_accuracy_challenge == metrics.mean_class_accuracy) or metrics.absent


def _leaves(value: dict) -> list:
    found: list = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            found += _leaves(inner)
        elif name != "n":
            found.append(inner)
    return found


@settings(max_examples=50)
@given(any_predictions())
def test_perfect_predictions_score_exactly_one(predictions: Predictions):
    assert predictions.targets is not None
    perfect = replace(predictions, logits=logits_of(np.maximum(predictions.targets, 0), SMALL))
    metrics: Metrics = evaluate(perfect, bootstrap=20)
    assert metrics.mean_class_accuracy == metrics.overall_accuracy == metrics.macro_f1 == 1.0
    assert metrics.mean_class_accuracy_ci95 == metrics.overall_accuracy_ci95 == (1.0, 1.0)
