"""Reliability, proper scores and risk-coverage against hand-computed cases, scikit-learn and a known truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from gingham.evaluation.reliability import brier, calibration_scores, nll, reliability, risk_coverage


def test_bins_by_hand():
    confidence = np.array([0.9, 0.6, 0.7, 0.8])
    right = np.array([True, False, True, True])
    found = reliability(confidence, right, bins=2)
    # Quantiles that images have: 0.6, 0.7, 0.9; the lower edge belongs to a bin.
    assert found.edges.tolist() == [0.6, 0.7, 0.9]
    assert found.counts.tolist() == [1, 3]
    assert found.mean_confidence == pytest.approx([0.6, 0.8])
    assert found.accuracy.tolist() == [0.0, 1.0]
    assert found.ece == pytest.approx((1 * 0.6 + 3 * 0.2) / 4)


def test_equal_confidences_share_a_bin_in_any_order():
    confidence = np.array([0.5] * 6 + [0.9])
    right = np.array([True, False] * 3 + [True])
    one = reliability(confidence, right, bins=5)
    other = reliability(confidence[::-1], right[::-1], bins=5)
    assert one.counts.tolist() == other.counts.tolist() == [7]
    assert one.ece == pytest.approx(other.ece) == pytest.approx(abs(4 / 7 - 3.9 / 7))
    assert reliability(np.full(3, 1.0), np.ones(3, dtype=bool)).ece == 0


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="no image"):
        reliability(np.empty(0), np.empty(0, dtype=bool))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_bins_hold_every_image_once(images: list[tuple[float, bool]], bins: int):
    confidence, right = (np.array(values) for values in zip(*images, strict=True))
    found = reliability(confidence, right, bins=bins)
    assert found.counts.sum() == len(images)
    assert (found.counts > 0).all()
    assert len(found.counts) <= bins
    assert found.counts @ found.accuracy == pytest.approx(right.sum())
    assert found.counts @ found.mean_confidence == pytest.approx(confidence.sum())
    inside = (found.mean_confidence >= found.edges[:-1] - 1e-12) & (found.mean_confidence <= found.edges[1:] + 1e-12)
    assert inside.all()


def test_scores_equal_scikit_learn():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 2, 3], 200)
    targets = generator.integers(3, size=200)
    assert nll(probabilities, targets).mean() == pytest.approx(log_loss(targets, probabilities, labels=[0, 1, 2]))
    expected = brier_score_loss(targets, probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert brier(probabilities, targets).mean() == pytest.approx(expected)


def test_a_class_ruled_out_has_a_finite_loss():
    assert np.isfinite(nll(np.array([[1.0, 0.0]]), np.array([1]))).all()


def test_ece_of_a_calibrated_tagger_is_what_chance_gives():
    eces, chances = [], []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        confidence = generator.uniform(0.4, 1, 600)
        found = reliability(confidence, generator.random(600) < confidence)
        eces.append(found.ece)
        chances.append(found.ece_by_chance)
    assert np.mean(eces) == pytest.approx(np.mean(chances), rel=0.03)


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_the_interval_of_the_ece_holds_the_true_error(error: float):
    held = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        confidence = generator.uniform(0.6, 1, 500)
        targets = (generator.random(500) >= confidence - error).astype(np.int64)
        probabilities = np.column_stack([confidence, 1 - confidence])
        low, high = calibration_scores(probabilities, targets, bootstrap=200, seed=seed).ece.ci95 or (1, 0)
        held += low <= error <= high
    # 95% are aimed at: fewer than 87 of 100 have a probability below 0.1% then.
    assert held >= 87


def test_scores_of_other_tags_than_the_most_probable():
    probabilities = np.array([[0.7, 0.3], [0.6, 0.4]])
    scores = calibration_scores(probabilities, np.array([1, 1]), np.array([1, 1]), bins=1, bootstrap=10)
    assert scores.ece.value == pytest.approx(1 - 0.35)
    assert scores.nll.value == pytest.approx(-(np.log(0.3) + np.log(0.4)) / 2)
    low, high = scores.nll.ci95 or (1, 0)
    assert low <= scores.nll.value <= high
    assert calibration_scores(probabilities, np.array([1, 1]), bootstrap=0).brier.ci95 is None


def test_accuracy_against_coverage_by_hand():
    confidence = np.array([0.2, 0.9, 0.5, 0.5])
    right = np.array([False, True, True, False])
    coverage, accuracy = risk_coverage(confidence, right)
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert accuracy == pytest.approx([1.0, 2 / 3, 0.5])
    assert [len(part) for part in risk_coverage(np.empty(0), np.empty(0, dtype=bool))] == [0, 0]
