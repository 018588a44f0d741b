"""Resampled counts, and intervals against a known truth and against SciPy."""

import numpy as np
import pytest
from scipy import stats

from gingham.evaluation import resampling
from gingham.evaluation.bootstrap import bootstrap_interval
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.resampling import accuracy, count, mean_recall, resample
from gingham.schema import AttributeSchema
from tests.evaluation.samples import SMALL, drawn_predictions, predictions_of

TARGETS = np.array([[0, 0], [0, -1], [1, 1], [-1, 1]])
RIGHT = np.array([[True, False], [False, False], [True, True], [False, True]])
OTHER = np.array([[True, True], [True, False], [False, False], [False, True]])


def test_counts_by_hand():
    counts = count(TARGETS, [RIGHT, OTHER], SMALL)
    assert counts.totals.tolist() == [[2, 1, 0, 1, 2]]
    assert counts.hits[0].tolist() == [[1, 1, 0, 0, 2]]
    assert counts.hits[1].tolist() == [[2, 0, 0, 1, 1]]


def test_every_resample_counts_the_drawn_images():
    resamples = resample(TARGETS, [RIGHT, OTHER], SMALL, bootstrap=50, seed=3)
    drawn = np.random.default_rng(3).integers(4, size=(50, 4))
    for row, images in enumerate(drawn):
        expected = count(TARGETS[images], [RIGHT[images], OTHER[images]], SMALL)
        assert (resamples.totals[row] == expected.totals[0]).all()
        assert (resamples.hits[0][row] == expected.hits[0][0]).all()
        assert (resamples.hits[1][row] == expected.hits[1][0]).all()


def test_pieces_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch):
    whole = resample(TARGETS, [RIGHT], SMALL, bootstrap=101, seed=1)
    monkeypatch.setattr(resampling, "_DRAWS", 13)
    pieces = resample(TARGETS, [RIGHT], SMALL, bootstrap=101, seed=1)
    assert (whole.totals == pieces.totals).all()
    assert (whole.hits[0] == pieces.hits[0]).all()


def test_classes_absent_from_a_resample_are_left_out_of_its_mean():
    # Three resamples: both classes, only the first, none.
    totals, hits = np.array([[2.0, 1], [3, 0], [0, 0]]), np.array([[1.0, 1], [2, 0], [0, 0]])
    means = mean_recall(hits, totals)
    assert means[:2].tolist() == [0.75, pytest.approx(2 / 3)]
    assert np.isnan(means[2])
    assert accuracy(hits, totals)[:2].tolist() == [pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert np.isnan(accuracy(hits, totals)[2])


def test_class_of_one_missed_image_gives_exactly_the_two_possible_means():
    # Recall 1 for the many, 0 for the one: the mean is 1/2 with it and 1 without it, never (1 + 0) / 2 without it.
    targets = np.zeros((30, 2), dtype=np.int64)
    targets[0, 0] = 1
    targets[:, 1] = -1
    predicted = np.zeros_like(targets)
    resamples = resample(targets, [targets == predicted], SMALL, bootstrap=500, seed=0)
    values, frequency = np.unique(mean_recall(resamples.hits[0], resamples.totals), return_counts=True)
    assert values.tolist() == [0.5, 1.0]
    assert frequency[1] / 500 == pytest.approx((1 - 1 / 30) ** 30, abs=0.06)


def test_interval_leaves_undefined_values_out():
    assert bootstrap_interval(np.array([np.nan, np.nan])) is None
    assert bootstrap_interval(np.array([])) is None
    assert bootstrap_interval(np.array([0.5, np.nan])) == (0.5, 0.5)
    assert bootstrap_interval(np.linspace(0, 1, 101), level=0.8) == (pytest.approx(0.1), pytest.approx(0.9))


def test_equal_seeds_give_equal_intervals_and_others_nearly():
    predictions = drawn_predictions(0, 300)
    first, again, other = (evaluate(predictions, bootstrap=500, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.mean_class_accuracy_ci95 is not None
    assert other.mean_class_accuracy_ci95 != first.mean_class_accuracy_ci95
    assert other.mean_class_accuracy_ci95 == pytest.approx(first.mean_class_accuracy_ci95, abs=0.02)


def test_interval_of_accuracy_agrees_with_scipy():
    predictions = drawn_predictions(5, 250, labelled=1)
    assert predictions.targets is not None
    right = (predictions.targets == predictions.predicted).mean(axis=1)
    theirs = stats.bootstrap(
        (right,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0)
    ).confidence_interval
    mine = evaluate(predictions, bootstrap=4000).overall_accuracy_ci95
    assert mine == (pytest.approx(theirs.low, abs=0.004), pytest.approx(theirs.high, abs=0.004))


def test_interval_of_mean_class_accuracy_agrees_with_scipy():
    schema = AttributeSchema.of({"fit": ["tight", "loose", "conventional"]})
    predictions = drawn_predictions(2, 200, schema=schema, labelled=1)
    assert predictions.targets is not None
    truth, right = predictions.targets[:, 0], (predictions.targets == predictions.predicted)[:, 0]

    def mean_of_recalls(images: np.ndarray) -> float:
        drawn = images.astype(int)
        return float(np.mean([right[drawn][truth[drawn] == number].mean() for number in np.unique(truth[drawn])]))

    theirs = stats.bootstrap(
        (np.arange(200),),
        mean_of_recalls,
        method="percentile",
        n_resamples=2000,
        vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval
    mine = evaluate(predictions).mean_class_accuracy_ci95
    assert mine == (pytest.approx(theirs.low, abs=0.01), pytest.approx(theirs.high, abs=0.01))


def test_interval_covers_the_truth_about_95_times_in_100():
    recalls = [np.array([0.8, 0.6, 0.4]), np.array([0.9, 0.5])]
    shares = [np.array([0.5, 0.3, 0.2]), np.array([0.7, 0.3])]
    truth = np.concatenate(recalls).mean()
    generator = np.random.default_rng(0)
    covered, trials, images = 0, 300, 150
    for trial in range(trials):
        targets = np.stack([generator.choice(len(share), images, p=share) for share in shares], axis=1)
        chance = np.stack([recall[targets[:, k]] for k, recall in enumerate(recalls)], axis=1)
        wrong = (targets + 1) % np.array(SMALL.sizes)
        predicted = np.where(generator.random(targets.shape) < chance, targets, wrong)
        interval = evaluate(predictions_of(targets, predicted), bootstrap=300, seed=trial).mean_class_accuracy_ci95
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert 0.90 <= covered / trials <= 0.985
