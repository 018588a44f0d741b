"""Offsets for each class: by hand, as properties, and on simulated predictions whose best offsets are known."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from gingham.errors import DataError
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.prior import cross_fitted, fit_prior, folds_of, with_offsets
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from tests.evaluation.samples import SMALL, drawn_predictions

Floats = npt.NDArray[np.float64]

FABRIC = AttributeSchema.of({"fabric": ["denim", "chiffon", "cotton", "leather", "faux", "knit"]})
COUNTS = np.array([310, 702, 3399, 105, 48, 436])
"""Labelled photos of each fabric in the challenge's data."""


def of(logits: Floats, targets: npt.ArrayLike, schema: AttributeSchema = FABRIC) -> Predictions:
    truth = np.asarray(targets, dtype=np.int64).reshape(len(logits), -1)
    return Predictions(schema, tuple(f"{row}.jpg" for row in range(len(logits))), logits.astype(np.float32), truth)


class World:
    """Fabrics as clouds of points, and a network that knows where the clouds are, but is wrong about their frequency.

    Its logits are `scale` times the log-likelihoods, plus `prior` times the log-frequencies and biases `[C]`: the best
    offsets are the negatives of the last two.
    """

    def __init__(self, *, prior: float, scale: float = 1.0, bias: float = 0.0, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._centres = self._rng.normal(size=(len(COUNTS), 8)) * 0.8
        self._scale = scale
        self.frequency = np.log(COUNTS / COUNTS.sum())
        self.wrong = scale * (prior * self.frequency + self._rng.normal(size=len(COUNTS)) * bias)

    def draw(self, counts: npt.NDArray[np.int64]) -> Predictions:
        targets = np.repeat(np.arange(len(counts)), counts)
        points = self._centres[targets] + self._rng.normal(size=(len(targets), 8))
        distances = ((points[:, None] - self._centres) ** 2).sum(axis=2)
        return of(-self._scale * distances / 2 + self.wrong, targets)


def score(predictions: Predictions, offsets: Floats | float = 0.0) -> float:
    rate = evaluate(with_offsets(predictions, np.broadcast_to(offsets, FABRIC.total)), bootstrap=0).mean_class_accuracy
    assert rate is not None
    return rate


def best_tau(predictions: Predictions, frequency: Floats) -> Floats:
    """The rival: Menon et al. 2021, with the strength that serves these predictions best."""
    return max((-tau * frequency for tau in np.linspace(-0.5, 4, 46)), key=lambda offsets: score(predictions, offsets))


@pytest.mark.parametrize(("prior", "scale", "bias"), [(1, 1, 0), (1, 3, 0), (1, 2, 1), (0, 1, 0), (0, 2, 1)], ids=str)
def test_on_new_images_it_comes_near_what_is_possible_and_no_tau_beats_it(
    prior: float, scale: float, bias: float
) -> None:
    many = np.full(len(COUNTS), 2000)
    possible, without, with_it, with_tau = [], [], [], []
    for seed in range(4):
        world = World(prior=prior, scale=scale, bias=bias, seed=seed)
        known, new = world.draw(COUNTS * 4 // 5), world.draw(many)
        possible.append(score(new, -world.wrong))
        without.append(score(new))
        with_it.append(score(new, fit_prior(known)))
        with_tau.append(score(new, best_tau(known, world.frequency)))
    lost, gained = np.mean(possible) - np.mean(with_it), np.mean(with_it) - np.mean(without)
    assert lost < 0.01
    assert gained > (0.1 if prior else 0.05 if bias else -0.005)
    assert np.mean(with_it) - np.mean(with_tau) > (0.03 if bias else -0.005)


def test_the_measure_is_not_flattered() -> None:
    """Fitted on what is scored, offsets look good even where logits know nothing; cross-fitted they do not."""
    gains, flattered = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counts = COUNTS // 12
        noise = of(rng.normal(size=(counts.sum(), 6)), np.repeat(np.arange(6), counts))
        folds, _ = folds_of(noise)
        gains.append(score(cross_fitted(noise, folds)) - score(noise))
        flattered.append(score(noise, fit_prior(noise)) - score(noise))
    assert np.mean(flattered) > 3 * np.std(gains) / np.sqrt(len(gains))
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains))


def test_by_hand_a_rare_class_is_lifted_over_the_gap() -> None:
    """Every rare image lies 1 behind, every common one 3 ahead: any offset between 1 and 3 is right for all."""
    logits = np.array([[3.0, 0.0]] * 40 + [[1.0, 0.0]] * 4)
    predictions = of(logits, [0] * 40 + [1] * 4, AttributeSchema.of({"fit": ["tight", "loose"]}))
    low, high = fit_prior(predictions)
    assert 1 < high - low < 3


@pytest.mark.parametrize("seed", range(3))
def test_it_finds_the_maximum_of_what_it_says_it_maximises(seed: int) -> None:
    """The objective written out once more, and maximised by SciPy."""
    predictions = World(prior=1, bias=1, seed=seed).draw(COUNTS // 4)
    assert predictions.targets is not None
    truth = predictions.targets[:, 0]
    width = 0.2 * predictions.logits.std(axis=1).mean()

    def objective(offsets: Floats) -> float:
        right = scipy.special.softmax(predictions.logits / width + offsets, axis=1)[np.arange(len(truth)), truth]
        rates = [
            right[truth == label].mean() - offsets[label] ** 2 / (2 * (truth == label).sum()) for label in range(6)
        ]
        return float(np.mean(rates))

    reference = scipy.optimize.minimize(lambda offsets: -objective(offsets), np.zeros(6))
    assert objective(fit_prior(predictions) / width) > -reference.fun - 1e-4
    assert objective(np.zeros(6)) < -reference.fun - 1e-2


def test_each_fold_is_corrected_with_what_the_others_gave() -> None:
    predictions = World(prior=1).draw(COUNTS // 10)
    folds = np.arange(len(predictions)) % 3
    corrected = cross_fitted(predictions, folds)
    for fold in range(3):
        inside = folds == fold
        assert predictions.targets is not None
        others = of(predictions.logits[~inside].astype(np.float64), predictions.targets[~inside])
        moved = corrected.logits[inside] - predictions.logits[inside]
        assert np.allclose(moved, fit_prior(others), atol=1e-4)
    assert (corrected.targets == predictions.targets).all()


def test_labels_of_a_fold_do_not_reach_its_correction() -> None:
    predictions = World(prior=1).draw(COUNTS // 10)
    assert predictions.targets is not None
    folds = np.arange(len(predictions)) % 3
    other = predictions.targets.copy()
    other[folds == 1] = (other[folds == 1] + 1) % 6
    one, two = cross_fitted(predictions, folds), cross_fitted(replace(predictions, targets=other), folds)
    assert (one.logits[folds == 1] == two.logits[folds == 1]).all()
    assert (one.logits[folds == 0] != two.logits[folds == 0]).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(-50, 50))
def test_a_constant_per_attribute_changes_nothing(seed: int, first: float, second: float) -> None:
    predictions = drawn_predictions(seed, 60, schema=SMALL)
    constants = np.array([first] * 3 + [second] * 2)
    # In whole eighths, so that float32 logits stay exact.
    moved = with_offsets(predictions, np.round(8 * constants) / 8)
    assert np.allclose(fit_prior(moved), fit_prior(predictions), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_offsets_scale_with_the_logits(seed: int, factor: float) -> None:
    predictions = drawn_predictions(seed, 60, schema=SMALL)
    stretched = replace(predictions, logits=(predictions.logits * factor).astype(np.float32))
    assert np.allclose(fit_prior(stretched), factor * fit_prior(predictions), rtol=1e-3, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_images_without_labels_have_no_effect(seed: int) -> None:
    predictions = drawn_predictions(seed, 50, schema=SMALL)
    assert predictions.targets is not None
    rng = np.random.default_rng(seed)
    blank = rng.choice(60, 10, replace=False)
    shown = np.setdiff1d(np.arange(60), blank)
    logits, targets = np.full((60, 5), np.nan, np.float32), np.full((60, 2), -1, np.int64)
    logits[shown], targets[shown] = predictions.logits, predictions.targets
    names = np.array([f"blank-{row}" for row in range(60)], dtype=object)
    names[shown] = predictions.ids
    more = Predictions(SMALL, tuple(names), logits, targets)
    assert np.array_equal(fit_prior(more), fit_prior(predictions))
    labelled = (predictions.targets != -1).any(axis=1)
    folds, more_folds = folds_of(predictions)[0], folds_of(more)[0]
    assert (more_folds[shown][labelled] == folds[labelled]).all()


def test_a_class_without_examples_and_an_attribute_without_labels_stay_as_they_are() -> None:
    rng = np.random.default_rng(0)
    targets = np.stack([rng.integers(0, 2, 50), np.full(50, -1)], axis=1)
    offsets = fit_prior(of(rng.normal(size=(50, 5)), targets, SMALL))
    assert offsets[:2].any()
    assert not offsets[2:].any()


def test_random_folds_hold_their_share_of_every_class() -> None:
    predictions = World(prior=1).draw(COUNTS)
    folds, origin = folds_of(predictions)
    assert origin == "5 random folds"
    assert predictions.targets is not None
    for label, total in enumerate(COUNTS):
        inside = np.bincount(folds[predictions.targets[:, 0] == label], minlength=5)
        assert inside.max() - inside.min() <= 1, total
    turned = replace(
        predictions,
        ids=predictions.ids[::-1],
        logits=predictions.logits[::-1],
        targets=predictions.targets[::-1],
    )
    assert (folds_of(turned)[0][::-1] == folds).all()


def test_a_column_of_folds_is_used() -> None:
    predictions = World(prior=1).draw(COUNTS // 10)
    column = np.arange(len(predictions)) % 4
    folds, origin = folds_of(replace(predictions, columns={"fold": column}))
    assert (folds == column).all()
    assert origin == "the 4 folds of the predictions"


def test_what_cannot_be_fitted_is_said() -> None:
    predictions = World(prior=1).draw(COUNTS // 10)
    same = np.zeros(len(predictions), dtype=np.int64)
    with pytest.raises(DataError, match="all labelled images are in fold 0"):
        cross_fitted(predictions, same)
    for column in (same, np.linspace(0, 1, len(predictions))):
        with pytest.raises(DataError, match="column 'fold' must hold two or more"):
            folds_of(replace(predictions, columns={"fold": column}))
    with pytest.raises(DataError, match="there are no targets"):
        fit_prior(replace(predictions, targets=None))
