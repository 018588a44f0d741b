"""Prediction sets: the quantile by hand, and coverage on taggers whose truth is known."""

import numpy as np
import pytest

from gingham.evaluation.calibrated import calibrate
from gingham.evaluation.sets import PredictionSets, least_probability
from tests.evaluation.samples import SMALL
from tests.evaluation.simulation import SCHEMA, draw, labelled


@pytest.mark.parametrize(
    ("coverage", "expected"),
    # ceil(10 coverage) of nine labels: 9th greatest, 5th, 1st, and beyond all of them.
    [(0.9, 0.1), (0.5, 0.5), (0.05, 0.9), (0.91, 0.0)],
)
def test_the_quantile_by_hand(coverage: float, expected: float):
    label = np.random.default_rng(0).permutation(np.arange(1, 10) / 10)
    assert least_probability(label, coverage) == expected


def test_too_few_photos_put_every_class_in_the_set():
    assert least_probability(np.array([0.9]), 0.9) == 0
    assert least_probability(np.empty(0), 0.9) == 0


def test_the_tag_is_always_in_the_set():
    sets = PredictionSets(0.9, {"colour": 0.35, "fit": 0.6}, {"colour": 9, "fit": 9})
    probabilities = np.array([[0.4, 0.35, 0.25, 0.5, 0.5]])
    assert sets.members(probabilities, np.array([[2, 1]]), SMALL).tolist() == [[True, True, True, False, True]]


def test_coverage_is_what_was_asked_for():
    logits, truths = draw(20_000, 77)
    covered = []
    for seed in range(12):
        found = calibrate(labelled(400, seed), coverages=(0.9,), bootstrap=0)
        probabilities = found.calibration.probabilities(logits)
        inside = found.sets[0].members(probabilities, found.calibration.tags(logits), SCHEMA)
        covered.append([(truths * inside)[:, part].sum(axis=1).mean() for part in SCHEMA.slices])
    # 320 photos and 12 draws: the mean has a standard error of about 0.005. The tags alone may cover more.
    assert np.mean(covered, axis=0).min() > 0.885
    assert min(np.mean(covered, axis=0)) < 0.915
