"""From logits to probabilities that mean what they say: a temperature and a bias for each class, fitted after training.

Calibrated probabilities are softmax(z / T + b): bias-corrected temperature scaling (Alexandari et al. 2020,
https://arxiv.org/abs/1901.06852, section 2.2). The temperature alone (Guo et al. 2017,
https://arxiv.org/abs/1706.04599) does not serve networks that were trained with balanced losses: they tag as if all
classes were equally frequent, and the bias puts the frequencies back. Neither changes which class is the tag: that
stays the best logit, and its confidence is the calibrated probability that it is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.evaluation.labelled import labelled_part
from gingham.evaluation.prior import fit_prior, folds_of, with_offsets
from gingham.evaluation.reliability import Scores, calibration_scores, nll
from gingham.predictions import Predictions, softmax
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = [
    "HIGHEST_TEMPERATURE",
    "LOWEST_TEMPERATURE",
    "METHODS",
    "AttributeCalibration",
    "Calibration",
    "Measured",
    "Method",
    "cross_fitted_probabilities",
    "fit_calibration",
    "fit_scaling",
    "measure",
    "rows_of",
    "with_tags",
]

_Floats = npt.NDArray[np.float64]

Method = Literal["none", "temperature", "temperature + bias"]
METHODS: tuple[Method, ...] = get_args(Method)
"""From the simplest on."""

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0

_STRENGTH = 1.0
"""Of the pull of 1/T towards 1 and of biases towards 0, in examples: it holds them where labels are few."""

_FLOOR = -100.0
"""Differences of logits below it count as it: such a class is ruled out anyway, and no label is infinitely wrong."""

_STEPS = 100


@dataclass(frozen=True, eq=False)
class AttributeCalibration:
    """How one attribute's logits become a tag and its confidence.

    Attributes:
        temperature: T, by which logits are divided.
        bias: `[C]`, b, added after that.
        offsets: `[C]`, added to the logits before the best is chosen; it moves tags, not probabilities.
        method: how temperature and bias were chosen.
        photos: how many labels they were fitted on.
    """

    temperature: float
    bias: _Floats
    offsets: _Floats
    method: Method = "none"
    photos: int = 0

    def __eq__(self, other: object) -> bool:
        """Whether all values are equal; dataclasses cannot compare arrays."""
        return isinstance(other, AttributeCalibration) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[object, ...]:
        return self.temperature, tuple(self.bias.tolist()), tuple(self.offsets.tolist()), self.method, self.photos


@dataclass(frozen=True)
class Calibration:
    """How logits become tags and confidences, attribute by attribute in the schema's order."""

    schema: AttributeSchema
    attributes: tuple[AttributeCalibration, ...]

    @classmethod
    def identity(cls, schema: AttributeSchema) -> "Calibration":
        """That of a tagger that nobody calibrated: the softmax of the logits, and the best of them."""
        return cls(schema, tuple(AttributeCalibration(1.0, np.zeros(size), np.zeros(size)) for size in schema.sizes))

    def probabilities(self, logits: npt.NDArray[np.floating[Any]]) -> _Floats:
        """Calibrated probabilities `[N, ΣC]` of logits `[N, ΣC]`; those of the identity are exactly `softmax`'s."""
        scaled = logits.astype(np.float64)
        for part, one in zip(self.schema.slices, self.attributes, strict=True):
            scaled[:, part] = scaled[:, part] / one.temperature + one.bias
        return softmax(scaled, self.schema)

    def tags(self, logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int64]:
        """The chosen classes `[N, K]` of logits `[N, ΣC]`; the first one of equals."""
        columns = [
            (logits[:, part] + one.offsets).argmax(axis=1) if one.offsets.any() else logits[:, part].argmax(axis=1)
            for part, one in zip(self.schema.slices, self.attributes, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int64)

    def confidence(self, logits: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.int64], _Floats]:
        """The chosen classes `[N, K]` and their calibrated probabilities `[N, K]`."""
        tags, probabilities = self.tags(logits), self.probabilities(logits)
        starts = np.array([part.start for part in self.schema.slices])
        return tags, np.take_along_axis(probabilities, starts + tags, axis=1)


def with_tags(predictions: Predictions, calibration: Calibration) -> Predictions:
    """The same predictions with logits whose best classes are the tags: those of a prior correction have its offsets.

    For measures of tags alone; calibrated probabilities are of the logits without offsets.
    """
    offsets = np.concatenate([one.offsets for one in calibration.attributes])
    return with_offsets(predictions, offsets) if offsets.any() else predictions


def fit_scaling(logits: _Floats, targets: npt.NDArray[np.int64], method: Method) -> tuple[float, _Floats]:
    """Temperature and bias of one attribute, by maximum a posteriori.

    With s = 1 / T, the minimum over s and b of the negative log-likelihood of softmax(s z + b), summed over the
    images, plus ((s - 1)² + |b|²) / 2: one example's worth of pull. It is strictly convex, so that there is exactly one
    minimum, also where a class has no example or the classes can be separated; Newton's method finds it. The biases
    sum to 0. T is kept within 0.01 and 100.

    Args:
        logits: `[n, C]`, finite.
        targets: `[n]`, without -1.
        method: what may move.

    Returns:
        T and b `[C]`.
    """
    classes = logits.shape[1]
    if method == "none" or not len(targets):
        return 1.0, np.zeros(classes)
    shifted = np.maximum(logits - logits.max(axis=1, keepdims=True), _FLOOR)
    free = np.array([True] + [method == "temperature + bias"] * classes)
    slope, bias = _newton(shifted, targets, free)
    lowest = 1 / HIGHEST_TEMPERATURE
    if not lowest <= slope <= 1 / LOWEST_TEMPERATURE:
        # The minimum within the limits is on the limit, since the function is convex.
        slope = float(np.clip(slope, lowest, 1 / LOWEST_TEMPERATURE))
        free[0] = False
        _, bias = _newton(shifted, targets, free, slope)
    return 1 / slope, bias


def _newton(
    logits: _Floats, targets: npt.NDArray[np.int64], free: npt.NDArray[np.bool_], slope: float = 1.0
) -> tuple[float, _Floats]:
    """Newton's method with halved steps over (s, b), of which only the free ones move from (slope, 0)."""
    count, classes = logits.shape
    anchor = np.append(1.0, np.zeros(classes))
    point = np.append(slope, np.zeros(classes))
    right = np.arange(count), targets

    def log_shares(at: _Floats) -> _Floats:
        scaled = at[0] * logits + at[1:]
        scaled -= scaled.max(axis=1, keepdims=True)
        logs: _Floats = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return logs

    def value(at: _Floats) -> float:
        return float(-log_shares(at)[right].sum() + _STRENGTH * ((at - anchor) ** 2).sum() / 2)

    current = value(point)
    for _ in range(_STEPS):
        shares = np.exp(log_shares(point))
        mean = (shares * logits).sum(axis=1)
        excess = shares.copy()
        excess[right] -= 1
        gradient = np.append((excess * logits).sum(), excess.sum(axis=0)) + _STRENGTH * (point - anchor)
        hessian = np.empty((classes + 1, classes + 1))
        hessian[0, 0] = (shares * logits**2).sum() - (mean**2).sum()
        hessian[0, 1:] = hessian[1:, 0] = (shares * (logits - mean[:, None])).sum(axis=0)
        hessian[1:, 1:] = np.diag(shares.sum(axis=0)) - shares.T @ shares
        hessian += _STRENGTH * np.eye(classes + 1)
        step = np.zeros(classes + 1)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        decrement = float(gradient @ step)
        if decrement < 1e-12 * count:
            break
        length = 1.0
        while (new := value(point - length * step)) > current - 1e-4 * length * decrement and length > 1e-10:
            length /= 2
        point, current = point - length * step, new
    return float(point[0]), point[1:]


def fit_calibration(predictions: Predictions, *, prior_correction: bool = False) -> Calibration:
    """Fit every attribute, by the method with the lowest cross-validated negative log-likelihood.

    An attribute without labels, or with too few to cross-validate, keeps the identity.

    Args:
        predictions: of labelled images that the model was not trained on.
        prior_correction: also choose tags for the mean class accuracy (`fit_prior`), which moves some of them.

    Raises:
        DataError: there is no label at all, or logits are not finite.
    """
    _require_finite(predictions)
    folds, _ = folds_of(predictions)
    offsets = fit_prior(predictions) if prior_correction else np.zeros(predictions.schema.total)
    attributes = []
    for attribute, part in enumerate(predictions.schema.slices):
        logits, targets, rows = rows_of(predictions, attribute)
        method = _best_method(logits, targets, folds[rows])
        temperature, bias = fit_scaling(logits, targets, method)
        attributes.append(AttributeCalibration(temperature, bias, offsets[part], method, len(targets)))
    return Calibration(predictions.schema, tuple(attributes))


def rows_of(predictions: Predictions, attribute: int) -> tuple[_Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """One attribute's labelled images: logits `[n, C]`, targets `[n]`, and their rows `[n]`."""
    assert predictions.targets is not None
    rows = np.flatnonzero(predictions.targets[:, attribute] != UNLABELLED)
    part = predictions.schema.slices[attribute]
    return predictions.logits[rows, part].astype(np.float64), predictions.targets[rows, attribute], rows


def _best_method(logits: _Floats, targets: npt.NDArray[np.int64], folds: npt.NDArray[np.int64]) -> Method:
    if len(np.unique(folds)) < 2:
        return "none"
    losses = {method: _held_out_loss(logits, targets, folds, method) for method in METHODS}
    # The first of equals is the simplest.
    return min(METHODS, key=losses.__getitem__)


def _held_out_loss(
    logits: _Floats, targets: npt.NDArray[np.int64], folds: npt.NDArray[np.int64], method: Method
) -> float:
    """Summed negative log-likelihood of each fold by what was fitted on the others."""
    total = 0.0
    for fold in np.unique(folds):
        inside = folds == fold
        temperature, bias = fit_scaling(logits[~inside], targets[~inside], method)
        total += float(nll(_scaled(logits[inside], temperature, bias), targets[inside]).sum())
    return total


def _scaled(logits: _Floats, temperature: float, bias: _Floats) -> _Floats:
    scaled = logits / temperature + bias
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    probabilities: _Floats = scaled / scaled.sum(axis=1, keepdims=True)
    return probabilities


def cross_fitted_probabilities(predictions: Predictions, method: Method | None = None) -> _Floats:
    """Calibrated probabilities `[N, ΣC]` of each fold by what was fitted on the others (`folds_of`).

    Args:
        predictions: of labelled images that the model was not trained on.
        method: of all attributes; None = chosen anew for each attribute and fold, among the others.

    Raises:
        DataError: there is no label at all, logits are not finite, or all labels are in one fold.
    """
    _require_finite(predictions)
    folds, origin = folds_of(predictions)
    probabilities = np.empty(predictions.logits.shape)
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        attributes = []
        for attribute in range(len(predictions.schema)):
            logits, targets, rows = rows_of(predictions, attribute)
            others = folds[rows] != fold
            if len(targets) and not others.any():
                raise DataError(f"calibration: all labels of one attribute are in one fold of {origin}; label more")
            chosen = method or _best_method(logits[others], targets[others], folds[rows][others])
            temperature, bias = fit_scaling(logits[others], targets[others], chosen)
            attributes.append(AttributeCalibration(temperature, bias, np.zeros(len(bias)), chosen))
        own = Calibration(predictions.schema, tuple(attributes))
        probabilities[inside] = own.probabilities(predictions.logits[inside])
    return probabilities


@dataclass(frozen=True)
class Measured:
    """One attribute's scores on the same images.

    Attributes:
        before: of the softmax of the logits.
        after: of calibrated probabilities, on images that they were not fitted on.
    """

    before: Scores
    after: Scores


def measure(
    predictions: Predictions, probabilities: _Floats, tags: npt.NDArray[np.int64], *, bootstrap: int = 2000
) -> Mapping[str, Measured]:
    """Scores before and after calibration, by attribute; those without a label are left out.

    Args:
        predictions: labelled, with the logits.
        probabilities: `[N, ΣC]`, calibrated, none of them fitted on its own image.
        tags: `[N, K]`, the chosen classes after calibration.
        bootstrap: resamples behind the intervals.
    """
    found = {}
    raw, raw_tags = predictions.probabilities, predictions.predicted
    for attribute, (name, part) in enumerate(zip(predictions.schema.names, predictions.schema.slices, strict=True)):
        _, targets, rows = rows_of(predictions, attribute)
        if len(rows):
            found[name] = Measured(
                calibration_scores(raw[rows, part], targets, raw_tags[rows, attribute], bootstrap=bootstrap),
                calibration_scores(probabilities[rows, part], targets, tags[rows, attribute], bootstrap=bootstrap),
            )
    return found


def _require_finite(predictions: Predictions) -> None:
    labelled_part(predictions)
    wrong = ~np.isfinite(predictions.logits).all(axis=1)
    if wrong.any():
        raise DataError(f"image '{predictions.ids[int(wrong.argmax())]}': its logits are not finite")
