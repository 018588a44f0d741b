"""Whether a model in another form still gives the same answers: differences, agreement, and the bounds for both."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gingham.errors import SchemaError
from gingham.evaluation.metrics import Metrics, confusion_matrices
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = ["BOUNDS", "Agreement", "Bound", "agreement"]


@dataclass(frozen=True)
class Bound:
    """What a precision may change.

    Attributes:
        tags: least share of tags that stay, over all attributes.
        accuracy: most that the mean class accuracy may move, either way.
        logits: most that a logit may move, in standard deviations of the logits: where tags mean nothing.
    """

    tags: float
    accuracy: float
    logits: float


BOUNDS = {
    "fp32": Bound(tags=0.999, accuracy=0.01, logits=1e-4),
    "bf16": Bound(tags=0.99, accuracy=0.01, logits=0.05),
    "int8": Bound(tags=0.98, accuracy=0.01, logits=0.3),
}
"""By precision."""


@dataclass(frozen=True)
class Agreement:
    """Two predictions of the same photos, before and after.

    Attributes:
        n: photos.
        logit_difference: the largest.
        logit_deviation: the standard deviation of all logits before, of all photos and classes.
        probability_difference: the largest, of probabilities that are not calibrated.
        per_attribute: share of photos with the same tag, by attribute.
        tags: share of all tags that are the same.
        accuracy_before: mean class accuracy; None without labels.
        accuracy_after: likewise.
    """

    n: int
    logit_difference: float
    logit_deviation: float
    probability_difference: float
    per_attribute: dict[str, float]
    tags: float
    accuracy_before: float | None
    accuracy_after: float | None

    @property
    def relative_difference(self) -> float:
        """The largest difference of a logit, in standard deviations; infinite where these are 0 and logits move."""
        if self.logit_deviation:
            return self.logit_difference / self.logit_deviation
        return float("inf") if self.logit_difference else 0.0

    def broken(self, bound: Bound, *, trained: bool = True) -> str | None:
        """Which bound is not kept, in words; None if all are.

        With labels, tags and the mean class accuracy are judged. Without, or if nobody trained the model, the
        difference of logits: near the border between two classes any rounding decides, and there random logits lie.

        Args:
            bound: of the precision.
            trained: whether tags mean something.
        """
        if self.accuracy_before is None or self.accuracy_after is None or not trained:
            if self.relative_difference <= bound.logits:
                return None
            return (
                f"a logit differs by {self.relative_difference:.2g} of the logits' standard deviation, more than "
                f"{bound.logits:g}"
            )
        if self.tags < bound.tags:
            return f"{self.tags:.2%} of the tags stay the same, fewer than {bound.tags:.1%}"
        change = self.accuracy_after - self.accuracy_before
        if abs(change) > bound.accuracy:
            return f"the mean class accuracy moves by {change:+.4f}, more than {bound.accuracy:g}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def agreement(before: Predictions, after: Predictions) -> Agreement:
    """Compare two predictions of the same photos; the targets are those of the first.

    Raises:
        SchemaError: they are of other attributes, or of other photos.
    """
    before.schema.require_same(after.schema, "the model before", "the model after")
    if before.ids != after.ids or not before.ids:
        raise SchemaError("predictions before and after are not of the same photos, at least one")
    schema = before.schema
    same = before.predicted == after.predicted
    accuracy = [_mean_class_accuracy(before, predictions) for predictions in (before, after)]
    return Agreement(
        n=len(before),
        logit_difference=float(np.abs(before.logits.astype(np.float64) - after.logits).max()),
        logit_deviation=float(before.logits.astype(np.float64).std()),
        probability_difference=float(np.abs(before.probabilities - after.probabilities).max()),
        per_attribute={name: float(column.mean()) for name, column in zip(schema.names, same.T, strict=True)},
        tags=float(same.mean()),
        accuracy_before=accuracy[0],
        accuracy_after=accuracy[1],
    )


def _mean_class_accuracy(labels: Predictions, predictions: Predictions) -> float | None:
    if labels.targets is None or not (labels.targets != UNLABELLED).any():
        return None
    matrices = confusion_matrices(labels.targets, predictions.predicted, labels.schema)
    return Metrics.from_confusions(matrices, labels.schema, n=len(labels)).mean_class_accuracy
