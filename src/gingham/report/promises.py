"""What became of a calibrated model's promises on the photos of a report."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.evaluation.bootstrap import Interval
from gingham.evaluation.decisions import Decisions, Group
from gingham.evaluation.proportion import wilson_interval
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = ["Promise", "Promised", "promises"]


@dataclass(frozen=True)
class Promised:
    """One attribute under one promise.

    Attributes:
        name: the attribute.
        groups: its thresholds, with the photos that they were found on; several if they are per class.
        photos: photos of this report.
        accepted: how many of them need no look for this attribute.
        judged: how many of the accepted ones have a label.
        right: how many of those are right.
        right_ci95: 95% score interval of their share; None if none is judged.
    """

    name: str
    groups: tuple[Group, ...]
    photos: int
    accepted: int
    judged: int
    right: int
    right_ci95: Interval | None


@dataclass(frozen=True)
class Promise:
    """The thresholds of one promise, and what they accept among the photos of this report."""

    decisions: Decisions
    attributes: tuple[Promised, ...]

    def broken(self, one: Promised) -> bool:
        """Whether even the upper end of the interval is less than what was promised."""
        return one.right_ci95 is not None and one.right_ci95[1] < self.decisions.precision


def promises(
    decisions: Sequence[Decisions], predictions: Predictions, calibrated: npt.NDArray[np.float64]
) -> tuple[Promise, ...]:
    """What each promise comes to.

    Args:
        decisions: the thresholds; they are not from these photos.
        predictions: labelled or not, with the tags of the calibrated model.
        calibrated: its calibrated probabilities `[N, ΣC]`.
    """
    schema, tags = predictions.schema, predictions.predicted
    starts = np.array([part.start for part in schema.slices])
    confidence = np.take_along_axis(calibrated, starts + tags, axis=1)
    targets = np.full(tags.shape, UNLABELLED) if predictions.targets is None else predictions.targets
    found = []
    for one in decisions:
        accepted = one.accepted(tags, confidence, schema)
        judged = accepted & (targets != UNLABELLED)
        sums = np.stack([part.sum(axis=0) for part in (accepted, judged, judged & (tags == targets))], axis=1).tolist()
        rows = [
            Promised(name, one.groups[name], len(predictions), taken, known, right, wilson_interval(right, known))
            for name, (taken, known, right) in zip(schema.names, sums, strict=True)
        ]
        found.append(Promise(one, tuple(rows)))
    return tuple(found)
