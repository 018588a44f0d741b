"""Prediction sets: the classes among which the right one is, as often as asked for.

Split conformal prediction with the score 1 - p of the label (Vovk et al. 2005; Sadinle, Lei & Wasserman 2019,
https://arxiv.org/abs/1609.00451): the smallest sets on average, if probabilities are right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from gingham.evaluation.calibration import rows_of
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema

__all__ = ["PredictionSets", "find_sets", "least_probability"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PredictionSets:
    """Which classes are in the set of an image.

    Attributes:
        coverage: share of images whose set holds the right class, at least, over the draw of calibration photos and
            new ones alike; of all images of an attribute, not of each class.
        least: by attribute, the calibrated probability from which on a class is in the set; 0 = all classes are.
        photos: by attribute, the photos that it is from.
    """

    coverage: float
    least: Mapping[str, float]
    photos: Mapping[str, int]

    def members(
        self, probabilities: _Floats, tags: npt.NDArray[np.int64], schema: AttributeSchema
    ) -> npt.NDArray[np.bool_]:
        """Whether each class is in the set, `[N, ΣC]`; the tag always is, so that no set is empty.

        Args:
            probabilities: `[N, ΣC]`, calibrated.
            tags: `[N, K]`, the chosen classes.
            schema: what the columns mean.
        """
        inside = np.empty(probabilities.shape, dtype=np.bool_)
        for column, (name, part) in enumerate(zip(schema.names, schema.slices, strict=True)):
            inside[:, part] = probabilities[:, part] >= self.least[name]
            inside[np.arange(len(tags)), part.start + tags[:, column]] = True
        return inside


def least_probability(label: _Floats, coverage: float) -> float:
    """The probability from which on a class is in the set: the ceil((n + 1) coverage)-th greatest of the labels'.

    Args:
        label: `[n]`, the calibrated probability of each photo's label; the calibration is not fitted on them.
        coverage: 0..1.

    Returns:
        0 (all classes are in the set) where n is too small to promise anything else.
    """
    # Exact where (n + 1) coverage is a whole number but for rounding.
    rank = ceil((len(label) + 1) * coverage - 1e-9)
    return 0.0 if rank > len(label) else float(np.sort(label)[::-1][rank - 1])


def find_sets(predictions: Predictions, probabilities: _Floats, coverage: float) -> PredictionSets:
    """Sets of all attributes from labelled photos.

    Args:
        predictions: labelled.
        probabilities: `[N, ΣC]`, of a calibration that was not fitted on these photos.
        coverage: 0..1, both excluded.
    """
    least, photos = {}, {}
    for column, (name, part) in enumerate(zip(predictions.schema.names, predictions.schema.slices, strict=True)):
        _, targets, rows = rows_of(predictions, column)
        least[name] = least_probability(probabilities[rows, part.start + targets], coverage)
        photos[name] = len(rows)
    return PredictionSets(coverage, least, photos)
