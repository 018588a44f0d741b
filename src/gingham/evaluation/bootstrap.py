"""How sure a measured number is: the percentile bootstrap over images, of one system or of two on the same images.

Images are the unit of resampling, since the labels of one image are not independent of each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.evaluation.labelled import Labelled, labelled_part
from gingham.evaluation.resampling import Resamples, accuracy, count, mean_recall, resample
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = [
    "AttributeComparison",
    "Comparison",
    "Difference",
    "Interval",
    "bootstrap_interval",
    "mcnemar_p_value",
    "paired_bootstrap",
    "paired_difference",
]

Interval = tuple[float, float]
"""Lower and upper end."""

_Floats = npt.NDArray[np.float64]


def bootstrap_interval(values: _Floats, level: float = 0.95) -> Interval | None:
    """Percentile interval of a statistic's resampled values (Efron & Tibshirani 1993, ch. 13).

    Args:
        values: `[R]`, the statistic of each resample; NaN where it is undefined, which is left out.
        level: the coverage that is aimed at, 0..1.

    Returns:
        The two ends, or None if no resample has a value.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """One measure of two systems on the same images; fractions 0..1, None = undefined.

    Attributes:
        a: the first system's value.
        b: the second system's value.
        difference: b - a.
        ci95: 95% percentile interval of the difference over paired resamples.
        probability_b_better: share of resamples in which b is ahead; ties count half.
        p_value: two-sided, of "no difference": twice the smaller share of resamples at or beyond 0, that is one minus
            the level of the percentile interval that just reaches 0; at least 2 / (resamples + 1).
    """

    a: float | None
    b: float | None
    difference: float | None
    ci95: Interval | None
    probability_b_better: float | None
    p_value: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, the interval as `[low, high]`."""
        return {**asdict(self), "ci95": None if self.ci95 is None else list(self.ci95)}


@dataclass(frozen=True)
class AttributeComparison:
    """Two systems on one attribute.

    Attributes:
        mean_class_accuracy: of the attribute's classes that have examples.
        accuracy: share of labelled images that are right.
        n: number of labelled images.
        only_a_right: labelled images that only the first system has right.
        only_b_right: labelled images that only the second system has right.
        mcnemar_p_value: of these two counts, exact and two-sided.
    """

    mean_class_accuracy: Difference
    accuracy: Difference
    n: int
    only_a_right: int
    only_b_right: int
    mcnemar_p_value: float


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same labelled images.

    Attributes:
        mean_class_accuracy: over the classes that have examples.
        overall_accuracy: share of the labelled (image, attribute) pairs that are right.
        per_attribute: by attribute, in the schema's order. Of many attributes some differ by chance.
        n: images with at least one label.
        differing: those among them whose predicted class differs for at least one labelled attribute.
        bootstrap: number of resamples; 0 = no intervals.
    """

    mean_class_accuracy: Difference
    overall_accuracy: Difference
    per_attribute: Mapping[str, AttributeComparison]
    n: int
    differing: int
    bootstrap: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON: fractions 0..1, None where undefined, intervals as `[low, high]`."""
        return {
            "n": self.n,
            "differing": self.differing,
            "bootstrap": self.bootstrap,
            "mean_class_accuracy": self.mean_class_accuracy.to_json(),
            "overall_accuracy": self.overall_accuracy.to_json(),
            "per_attribute": {
                name: {
                    "mean_class_accuracy": attribute.mean_class_accuracy.to_json(),
                    "accuracy": attribute.accuracy.to_json(),
                    "n": attribute.n,
                    "only_a_right": attribute.only_a_right,
                    "only_b_right": attribute.only_b_right,
                    "mcnemar_p_value": attribute.mcnemar_p_value,
                }
                for name, attribute in self.per_attribute.items()
            },
        }


def paired_bootstrap(a: Predictions, b: Predictions, *, bootstrap: int = 2000, seed: int = 0) -> Comparison:
    """Compare two systems by resampling the images that both have predicted.

    Each resample draws the same images for both, so what is hard for both cancels out. Images are matched by id; their
    order may differ, and those without any label are left out.

    Args:
        a: predictions of the first system.
        b: predictions of the second system, of the same images with the same targets.
        bootstrap: number of resamples; 0 = no intervals.
        seed: of the resampling.

    Raises:
        SchemaError: the schemas differ.
        DataError: ids or targets differ (the first difference is named), there is no label at all, or logits are NaN.
        UserError: a negative number of resamples.
    """
    first, second = "the first predictions", "the second predictions"
    a.schema.require_same(b.schema, first, second)
    left, right = labelled_part(a, first), labelled_part(b, second)
    _require_same_images(left, right)
    schema, targets, hits = left.schema, left.targets, [left.right, right.right]
    points = count(targets, hits, schema)
    resamples = resample(targets, hits, schema, bootstrap=bootstrap, seed=seed)
    labelled = targets != UNLABELLED
    only_a, only_b = (hits[0] & ~hits[1]).sum(axis=0), (hits[1] & ~hits[0]).sum(axis=0)
    return Comparison(
        mean_class_accuracy=_difference(mean_recall, points, resamples),
        overall_accuracy=_difference(accuracy, points, resamples),
        per_attribute={
            name: AttributeComparison(
                mean_class_accuracy=_difference(mean_recall, points, resamples, part),
                accuracy=_difference(accuracy, points, resamples, part),
                n=int(labelled[:, position].sum()),
                only_a_right=int(only_a[position]),
                only_b_right=int(only_b[position]),
                mcnemar_p_value=mcnemar_p_value(int(only_a[position]), int(only_b[position])),
            )
            for position, (name, part) in enumerate(zip(schema.names, schema.slices, strict=True))
        },
        n=len(left),
        differing=int((labelled & (left.predicted != right.predicted)).any(axis=1).sum()),
        bootstrap=bootstrap,
    )


def paired_difference(a: float, b: float, gains: _Floats) -> Difference:
    """What paired resamples say about a difference.

    Args:
        a: the first system's value; NaN = undefined, and so is everything then.
        b: the second system's value.
        gains: `[R]`, b - a in each resample; NaN where it is undefined, which is left out; none = no interval.
    """
    if np.isnan(a):
        return Difference(None, None, None, None, None, None)
    gains = gains[~np.isnan(gains)]
    if not gains.size:
        return Difference(a, b, b - a, None, None, None)
    behind, ahead = int((gains < 0).sum()), int((gains > 0).sum())
    ties = gains.size - behind - ahead
    # One is added above and below, so that no finite number of resamples claims that a difference is impossible.
    p_value = min(1.0, 2 * (min(behind, ahead) + ties + 1) / (gains.size + 1))
    return Difference(a, b, b - a, bootstrap_interval(gains), (ahead + ties / 2) / gains.size, p_value)


def mcnemar_p_value(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of McNemar's test (McNemar 1947), from the binomial distribution.

    Args:
        only_a: cases that only the first system has right.
        only_b: cases that only the second system has right.

    Returns:
        Probability, 0..1, of a split at least as uneven if both were equally good; 1 if there are no such cases.
    """
    total, fewer = only_a + only_b, min(only_a, only_b)
    # log of C(total, i) for i = 0 .. fewer; in logs, since the numbers themselves overflow above 1,000 cases.
    steps = np.arange(1, fewer + 1)
    log_choices = np.concatenate([[0.0], np.cumsum(np.log((total - steps + 1) / steps))])
    return float(min(1.0, 2 * np.exp(log_choices - total * np.log(2)).sum()))


def _difference(
    measure: Callable[[_Floats, _Floats], _Floats], points: Resamples, resamples: Resamples, part: slice = slice(None)
) -> Difference:
    a, b = (float(measure(hits[0, part], points.totals[0, part])) for hits in points.hits)
    values = [measure(hits[:, part], resamples.totals[:, part]) for hits in resamples.hits]
    return paired_difference(a, b, values[1] - values[0])


def _require_same_images(a: Labelled, b: Labelled) -> None:
    if a.ids != b.ids:
        unshared = min(set(a.ids) ^ set(b.ids))
        has, lacks = ("first", "second") if unshared in set(a.ids) else ("second", "first")
        raise DataError(
            f"image '{unshared}' is labelled in the {has} predictions and not in the {lacks}; "
            "compare predictions of the same split"
        )
    rows, attributes = np.nonzero(a.targets != b.targets)
    if rows.size:
        row, name = rows[0], a.schema.names[attributes[0]]
        mine, theirs = (part.schema.decode(part.targets[row])[name] for part in (a, b))
        raise DataError(
            f"image '{a.ids[row]}', attribute '{name}': the label is {mine or 'missing'} in the first predictions and "
            f"{theirs or 'missing'} in the second; compare predictions made with the same labels"
        )
