"""From logits to tags: the chosen class, how sure it is, and on request whether it may go without a look."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gingham.errors import UserError
from gingham.evaluation.decisions import Decisions
from gingham.evaluation.sets import PredictionSets
from gingham.inference.calibration import StoredCalibration
from gingham.schema import Attribute, AttributeSchema

__all__ = ["Decider", "Tag"]


class Tag(NamedTuple):
    """What is said of one attribute.

    Attributes:
        label: the chosen class.
        confidence: its probability, 0..1; calibrated, if the model is.
        accepted: whether it may go without a look, by the promise that was asked for; None = none was.
        among: the prediction set, the most probable class first; None = not asked for.
        top: the most probable classes with their probabilities; None = not asked for. With a prior correction the
            chosen class need not be the first.
    """

    label: str
    confidence: float
    accepted: bool | None = None
    among: tuple[str, ...] | None = None
    top: tuple[tuple[str, float], ...] | None = None


class Decider:
    """Makes tags of logits.

    Args:
        schema: what the logits mean.
        stored: the model's calibration.
        precision: say whether tags are accepted, by the thresholds stored for this promise.
        coverage: give prediction sets, as stored for this coverage.
        top_k: give so many of the most probable classes, or all if there are fewer.

    Attributes:
        precision, coverage, top_k: as given.
        decisions: those of the promise; None if there is none.

    Raises:
        UserError: nothing is stored for the precision or coverage (what there is, is named), or `top_k` is below 1.
    """

    def __init__(
        self,
        schema: AttributeSchema,
        stored: StoredCalibration,
        *,
        precision: float | None = None,
        coverage: float | None = None,
        top_k: int | None = None,
    ) -> None:
        if top_k is not None and top_k < 1:
            raise UserError(f"--top-k {top_k}: must be at least 1")
        self.precision, self.coverage, self.top_k = precision, coverage, top_k
        self.decisions = None if precision is None else _decisions(stored, precision)
        self._sets = None if coverage is None else _sets(stored, coverage)
        self._schema, self._calibration = schema, stored.calibration
        self._thresholds = None if self.decisions is None else self.decisions.thresholds(schema)

    def __call__(self, logits: npt.NDArray[np.float32]) -> dict[str, Tag]:
        """The tag of each attribute, from logits `[ΣC]`."""
        return self.many(logits[None])[0]

    def many(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Tag]]:
        """The tags of many images, from logits `[N, ΣC]`; each has the bits that it has alone."""
        probabilities, best = self._calibration.probabilities(logits), self._calibration.tags(logits)
        inside = None if self._sets is None else self._sets.members(probabilities, best, self._schema)
        columns = [
            self._column(attribute, probabilities[:, part], best[:, column], part, inside)
            for column, (attribute, part) in enumerate(zip(self._schema.attributes, self._schema.slices, strict=True))
        ]
        return [dict(zip(self._schema.names, tags, strict=True)) for tags in zip(*columns, strict=True)]

    def _column(
        self,
        attribute: Attribute,
        own: npt.NDArray[np.float64],
        best: npt.NDArray[np.int64],
        part: slice,
        inside: npt.NDArray[np.bool_] | None,
    ) -> list[Tag]:
        """The tags of one attribute, from its probabilities `[N, C]` and best classes `[N]`."""
        highest = own[np.arange(len(own)), best]
        labels, confidences = [attribute.classes[one] for one in best.tolist()], highest.tolist()
        accepted: list[bool] | None = None
        if self._thresholds is not None:
            accepted = (highest >= self._thresholds[part][best]).tolist()
        if accepted is None and inside is None and self.top_k is None:
            return [Tag(label, confidence) for label, confidence in zip(labels, confidences, strict=True)]
        ranked = np.argsort(-own, axis=1, kind="stable").tolist()
        return [
            Tag(
                labels[row],
                confidences[row],
                None if accepted is None else accepted[row],
                None if inside is None else tuple(attribute.classes[one] for one in order if inside[row, part][one]),
                None
                if self.top_k is None
                else tuple((attribute.classes[one], float(own[row, one])) for one in order[: self.top_k]),
            )
            for row, order in enumerate(ranked)
        ]


def _decisions(stored: StoredCalibration, precision: float) -> Decisions:
    for one in stored.decisions:
        if one.precision == precision:
            return one
    there = _there("thresholds", (one.precision for one in stored.decisions))
    raise UserError(
        f"--precision {precision:g}: this model stores {there}; "
        f"gingham calibrate ... --precision {precision:g} makes one that does"
    )


def _sets(stored: StoredCalibration, coverage: float) -> PredictionSets:
    for one in stored.sets:
        if one.coverage == coverage:
            return one
    there = _there("prediction sets", (one.coverage for one in stored.sets))
    raise UserError(
        f"--coverage {coverage:g}: this model stores {there}; "
        f"gingham calibrate ... --coverage {coverage:g} makes one that does"
    )


def _there(what: str, values: Iterable[float]) -> str:
    listed = ", ".join(f"{value:g}" for value in values)
    return f"{what} for {listed}" if listed else f"no {what}"
