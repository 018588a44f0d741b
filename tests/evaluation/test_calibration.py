"""Calibration against SciPy's minimiser, known truths, and predictions that others break on."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax

from gingham.errors import DataError
from gingham.evaluation.calibration import (
    HIGHEST_TEMPERATURE,
    LOWEST_TEMPERATURE,
    AttributeCalibration,
    Calibration,
    cross_fitted_probabilities,
    fit_calibration,
    fit_scaling,
    measure,
)
from gingham.evaluation.prior import fit_prior
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL, drawn_predictions

Floats = npt.NDArray[np.float64]


def simulated(
    seed: int, images: int, *, temperature: float = 2.0, bias: tuple[float, ...] = (1.0, 0.0, -1.0)
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Logits and labels of which softmax(z / temperature + bias) is exactly the truth."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(0, 2, (images, len(bias)))
    shares = np.exp(log_softmax(truth, axis=1))
    targets = (generator.random(images)[:, None] > shares.cumsum(axis=1)).sum(axis=1)
    return temperature * (truth - np.array(bias)), targets


def small(seed: int, images: int) -> Predictions:
    """Predictions of two attributes, both miscalibrated in the same way."""
    colour, fit = simulated(seed, images), simulated(seed + 1, images, bias=(0.5, -0.5))
    logits = np.hstack([colour[0], fit[0]]).astype(np.float32)
    ids = tuple(f"img/{number:05}.jpg" for number in range(images))
    return Predictions(SMALL, ids, logits, np.stack([colour[1], fit[1]], axis=1))


@pytest.mark.parametrize("images", [30, 400])
def test_the_minimum_is_that_of_an_independent_minimiser(images: int):
    logits, targets = simulated(3, images)

    def objective(point: Floats) -> float:
        logs = log_softmax(point[0] * logits + point[1:], axis=1)
        return float(-logs[np.arange(images), targets].sum() + ((point[0] - 1) ** 2 + (point[1:] ** 2).sum()) / 2)

    expected = minimize(objective, np.array([1.0, 0, 0, 0]), method="BFGS", options={"gtol": 1e-8}).x
    temperature, bias = fit_scaling(logits, targets, "temperature + bias")
    assert [1 / temperature, *bias] == pytest.approx(expected, abs=1e-4)
    assert bias.sum() == pytest.approx(0, abs=1e-9)
    alone = minimize(lambda slope: objective(np.array([slope[0], 0, 0, 0])), np.array([1.0]), method="BFGS").x
    temperature, bias = fit_scaling(logits, targets, "temperature")
    assert 1 / temperature == pytest.approx(alone[0], abs=1e-4)
    assert not bias.any()


def test_the_truth_is_found_again():
    logits, targets = simulated(0, 20_000)
    temperature, bias = fit_scaling(logits, targets, "temperature + bias")
    assert temperature == pytest.approx(2, rel=0.03)
    assert bias == pytest.approx([1, 0, -1], abs=0.06)
    assert fit_scaling(logits, targets, "none") == (1.0, pytest.approx(np.zeros(3)))


def test_an_absent_class_and_separable_classes_stay_finite():
    logits = np.array([[5.0, 0, 0], [0, 5, 0], [6, 0, 0], [0, 4, 0]])
    temperature, bias = fit_scaling(logits, np.array([0, 1, 0, 1]), "temperature + bias")
    assert LOWEST_TEMPERATURE <= temperature < 1
    assert np.isfinite(bias).all()
    assert bias[2] < 0


def test_a_model_that_knows_the_opposite_gets_the_highest_temperature():
    logits, targets = simulated(1, 500, temperature=-1.0)
    temperature, bias = fit_scaling(logits, targets, "temperature + bias")
    assert temperature == HIGHEST_TEMPERATURE
    assert np.isfinite(bias).all()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-3e38, 3e38), st.integers(0, 1)), min_size=1, max_size=20),
    st.sampled_from(["temperature", "temperature + bias"]),
)
def test_any_finite_logits_give_finite_numbers(images: list[tuple[float, int]], method):
    logits = np.array([[value, 0.0] for value, _ in images])
    temperature, bias = fit_scaling(logits, np.array([target for _, target in images]), method)
    assert LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE
    assert np.isfinite(bias).all()


def test_calibrating_moves_no_tag_unless_asked():
    predictions = small(0, 400)
    calibration = fit_calibration(predictions)
    assert [one.method for one in calibration.attributes] == ["temperature + bias"] * 2
    assert (calibration.tags(predictions.logits) == predictions.predicted).all()
    tags, confidence = calibration.confidence(predictions.logits)
    probabilities = calibration.probabilities(predictions.logits)
    assert confidence[7].tolist() == [probabilities[7, tags[7, 0]], probabilities[7, 3 + tags[7, 1]]]


def test_prior_correction_chooses_tags_with_the_fitted_offsets():
    predictions = small(0, 400)
    calibration = fit_calibration(predictions, prior_correction=True)
    moved = predictions.logits + fit_prior(predictions)
    expected = np.stack([moved[:, part].argmax(axis=1) for part in SMALL.slices], axis=1)
    assert (calibration.tags(predictions.logits) == expected).all()
    assert (expected != predictions.predicted).any()
    plain = fit_calibration(predictions)
    assert (calibration.probabilities(predictions.logits) == plain.probabilities(predictions.logits)).all()


def test_a_calibrated_model_is_left_alone_or_almost():
    logits, targets = simulated(5, 2000, temperature=1.0, bias=(0.0, 0.0, 0.0))
    predictions = small(0, 2000)
    predictions = Predictions(
        SMALL,
        predictions.ids,
        np.hstack([logits, predictions.logits[:, 3:]]).astype(np.float32),
        np.stack([targets, np.full(2000, -1)], axis=1),
    )
    first, second = fit_calibration(predictions).attributes
    assert first.temperature == pytest.approx(1, abs=0.1)
    assert (second.method, second.temperature, second.photos) == ("none", 1.0, 0)


def test_the_identity_is_the_softmax():
    predictions = small(0, 50)
    identity = Calibration.identity(SMALL)
    assert (identity.probabilities(predictions.logits) == predictions.probabilities).all()
    assert (identity.tags(predictions.logits) == predictions.predicted).all()


def test_cross_fitting_does_not_look_at_the_fold_itself():
    predictions = small(0, 300)
    folds = np.arange(300) % 3
    with_folds = Predictions(SMALL, predictions.ids, predictions.logits, predictions.targets, {"fold": folds})
    before = cross_fitted_probabilities(with_folds)
    assert predictions.targets is not None
    other = predictions.targets.copy()
    other[folds == 0, 0] = 0
    changed = cross_fitted_probabilities(
        Predictions(SMALL, predictions.ids, predictions.logits, other, {"fold": folds})
    )
    assert (before[folds == 0] == changed[folds == 0]).all()
    assert (before[folds == 1] != changed[folds == 1]).any()


def test_calibration_lowers_every_score_of_a_miscalibrated_model():
    predictions = small(0, 2000)
    tags = fit_calibration(predictions).tags(predictions.logits)
    measured = measure(predictions, cross_fitted_probabilities(predictions), tags, bootstrap=0)
    for one in measured.values():
        assert one.after.nll.value < one.before.nll.value - 0.05
        assert one.after.brier.value < one.before.brier.value
        assert one.after.ece.value < one.before.ece.value / 2


def test_predictions_that_cannot_be_calibrated():
    predictions = drawn_predictions(0, 20)
    with pytest.raises(DataError, match="no targets"):
        fit_calibration(Predictions(predictions.schema, predictions.ids, predictions.logits))
    logits = predictions.logits.copy()
    logits[3, 0] = np.inf
    with pytest.raises(DataError, match=r"00003\.jpg.*not finite"):
        fit_calibration(Predictions(predictions.schema, predictions.ids, logits, predictions.targets))


def test_one_photo_changes_nothing():
    predictions = small(0, 1)
    assert all(isinstance(one, AttributeCalibration) for one in fit_calibration(predictions).attributes)
