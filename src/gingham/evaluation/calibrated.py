"""The whole of a calibration: probabilities, promises, sets, and how good they are on photos that fitted none of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError, UserError
from gingham.evaluation.calibration import (
    Calibration,
    Measured,
    cross_fitted_probabilities,
    fit_calibration,
    measure,
)
from gingham.evaluation.decisions import Decisions, decide, fitting_part
from gingham.evaluation.labelled import labelled_part
from gingham.evaluation.sets import PredictionSets, find_sets
from gingham.predictions import Predictions

__all__ = ["Calibrated", "calibrate", "check_options", "some_rows"]


@dataclass(frozen=True)
class Calibrated:
    """What `gingham calibrate` finds.

    Attributes:
        calibration: from logits to tags and confidences.
        decisions: one for each promise, the precisions rising.
        sets: one for each coverage, rising.
        measured: scores before and after, by attribute, on photos on which the probabilities were not fitted.
        scored: those predictions (labelled), their calibrated probabilities `[N, ΣC]` and tags `[N, K]`.
        fitted: labelled photos that the calibration was fitted on.
        tested: labelled photos that promises and sets were found with; 0 where there are none.
    """

    calibration: Calibration
    decisions: tuple[Decisions, ...]
    sets: tuple[PredictionSets, ...]
    measured: Mapping[str, Measured]
    scored: tuple[Predictions, npt.NDArray[np.float64], npt.NDArray[np.int64]]
    fitted: int
    tested: int


def calibrate(
    predictions: Predictions,
    *,
    precisions: Sequence[float] = (),
    coverages: Sequence[float] = (),
    joint: bool = False,
    per_class: bool = False,
    prior_correction: bool = False,
    bootstrap: int = 2000,
) -> Calibrated:
    """Fit and measure a calibration.

    Without promises and sets, all photos fit, and what it brings is measured by cross-fitting. With them, a fifth fits
    (`fitting_part`), and the rest finds thresholds and measures.

    Args:
        predictions: of labelled photos that the model was not trained on.
        precisions: promises to find thresholds for, each 0..1.
        coverages: of prediction sets, each 0..1.
        joint: see `decide`.
        per_class: see `decide`.
        prior_correction: see `fit_calibration`.
        bootstrap: resamples behind the intervals; 0 = none.

    Raises:
        DataError: nothing is labelled, too few photos, or logits are not finite.
        UserError: a precision or coverage is not between 0 and 1, or `joint` or `per_class` without a precision.
    """
    check_options(precisions, coverages, joint=joint, per_class=per_class)
    labelled_part(predictions)
    assert predictions.targets is not None
    predictions = some_rows(predictions, np.any(predictions.targets >= 0, axis=1))
    if not precisions and not coverages:
        calibration = fit_calibration(predictions, prior_correction=prior_correction)
        scored, fitted, tested = predictions, len(predictions), 0
        probabilities = cross_fitted_probabilities(predictions)
        tags = calibration.tags(predictions.logits)
        decisions: tuple[Decisions, ...] = ()
        sets: tuple[PredictionSets, ...] = ()
    else:
        fitting = fitting_part(predictions.ids)
        if not fitting.any():
            raise DataError(f"calibration: {len(predictions)} labelled photos are too few; five are needed at least")
        calibration = fit_calibration(some_rows(predictions, fitting), prior_correction=prior_correction)
        tags, confidence = calibration.confidence(predictions.logits)
        decisions = tuple(
            decide(predictions, tags, confidence, fitting, precision=precision, joint=joint, per_class=per_class)
            for precision in sorted(set(precisions))
        )
        scored, fitted, tested = some_rows(predictions, ~fitting), int(fitting.sum()), int((~fitting).sum())
        probabilities, tags = calibration.probabilities(scored.logits), tags[~fitting]
        sets = tuple(find_sets(scored, probabilities, coverage) for coverage in sorted(set(coverages)))
    return Calibrated(
        calibration=calibration,
        decisions=decisions,
        sets=sets,
        measured=measure(scored, probabilities, tags, bootstrap=bootstrap),
        scored=(scored, probabilities, tags),
        fitted=fitted,
        tested=tested,
    )


def check_options(
    precisions: Sequence[float], coverages: Sequence[float], *, joint: bool = False, per_class: bool = False
) -> None:
    """Check what is asked of `calibrate`, before any work is done. Raises `UserError` as that does."""
    for name, values in (("precision", precisions), ("coverage", coverages)):
        for value in values:
            if not 0 < value < 1:
                raise UserError(f"--{name} {value:g}: must lie between 0 and 1, as in 0.95")
    if (joint or per_class) and not precisions:
        raise UserError(f"--{'joint' if joint else 'per-class'}: of the thresholds for a promise; give --precision too")


def some_rows(predictions: Predictions, chosen: npt.NDArray[np.bool_]) -> Predictions:
    """The images of a mask `[N]`, with their columns."""
    return Predictions(
        predictions.schema,
        tuple(name for name, kept in zip(predictions.ids, chosen, strict=True) if kept),
        predictions.logits[chosen],
        None if predictions.targets is None else predictions.targets[chosen],
        {name: values[chosen] for name, values in predictions.columns.items()},
        predictions.source,
    )
