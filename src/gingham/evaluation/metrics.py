"""Mean class accuracy and its companions, from confusion matrices over the whole set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import SchemaError
from gingham.evaluation.bootstrap import Interval, bootstrap_interval
from gingham.evaluation.labelled import labelled_part
from gingham.evaluation.resampling import Resamples, accuracy, mean_recall, resample
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["AttributeMetrics", "ClassMetrics", "Metrics", "confusion_matrices", "evaluate"]


def confusion_matrices(
    targets: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], schema: AttributeSchema
) -> tuple[npt.NDArray[np.int64], ...]:
    """Count every (true class, predicted class) of every attribute.

    The matrices of parts of a set add up to those of the set. Ratios do not: the mean over batches of a batch's mean
    class accuracy is not that of the set, because most batches lack some classes.

    Args:
        targets: int64 `[N, K]`, -1 = not labelled (left out).
        predicted: int64 `[N, K]`.
        schema: what the columns mean.

    Returns:
        For each attribute int64 `[C_k, C_k]`, rows = truth, columns = predicted.

    Raises:
        SchemaError: a shape or a number does not fit the schema.
    """
    for name, values in (("targets", targets), ("predicted", predicted)):
        if values.ndim != 2 or values.shape[1] != len(schema):
            raise SchemaError(f"{name} have shape {values.shape}, expected (N, {len(schema)}) for schema {schema}")
    if len(targets) != len(predicted):
        raise SchemaError(f"there are targets of {len(targets)} images and predictions of {len(predicted)}")
    matrices = []
    for position, attribute in enumerate(schema.attributes):
        size = len(attribute)
        labelled = targets[:, position] != UNLABELLED
        truth, guess = targets[labelled, position], predicted[labelled, position]
        for name, values in (("target", truth), ("prediction", guess)):
            outside = values[(values < 0) | (values >= size)]
            if outside.size:
                raise SchemaError(f"attribute '{attribute.name}': {name} {outside[0]} is not in 0..{size - 1}")
        counts = np.bincount(truth * size + guess, minlength=size * size).astype(np.int64)
        matrices.append(counts.reshape(size, size))
    return tuple(matrices)


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class is found.

    Attributes:
        recall: share of its examples that were predicted so, 0..1; None without examples.
        precision: share of its predictions that were right, 0..1; None if it was never predicted.
        f1: 2PR / (P + R) = 2 hits / (examples + predictions); 0 if never predicted; None without examples.
        n: number of its examples.
    """

    recall: float | None
    precision: float | None
    f1: float | None
    n: int


@dataclass(frozen=True)
class AttributeMetrics:
    """How well one attribute is told; all values 0..1, None if the attribute has no label.

    Attributes:
        mean_class_accuracy: mean recall of its classes that have examples.
        accuracy: share of its labelled images that are right.
        macro_f1: mean F1 of its classes that have examples.
        n: number of labelled images.
        mean_class_accuracy_ci95: 95% interval, if asked for.
        accuracy_ci95: 95% interval, if asked for.
    """

    mean_class_accuracy: float | None
    accuracy: float | None
    macro_f1: float | None
    n: int
    mean_class_accuracy_ci95: Interval | None = None
    accuracy_ci95: Interval | None = None


@dataclass(frozen=True)
class Metrics:
    """What `gingham evaluate` reports; all fractions 0..1, None = undefined (never NaN).

    Attributes:
        mean_class_accuracy: the recall of each class over the whole set, then the plain mean over all classes, of all
            attributes, that have at least one example.
        mean_class_accuracy_challenge: the challenge's formula: the same sum over *all* classes, so that a class
            without examples counts as 0. Equal to the above where every class has an example.
        mean_class_accuracy_frequent: the mean over the classes with at least `min_count` examples.
        overall_accuracy: share of the labelled (image, attribute) pairs that are right.
        macro_f1: the plain mean of the F1 of all classes, of all attributes, that have at least one example.
        per_attribute: by attribute, in the schema's order.
        per_class: by attribute and class, in the schema's order.
        absent: `attribute/class` without any example.
        rare: `attribute/class` with examples, but fewer than `min_count`.
        n: images with at least one label.
        min_count: what `rare` means.
        mean_class_accuracy_ci95: 95% interval, if asked for; likewise the two below.
        mean_class_accuracy_frequent_ci95: of the mean over the same classes.
        overall_accuracy_ci95: of the overall accuracy.
        bootstrap: number of resamples behind the intervals; 0 = no intervals.
    """

    mean_class_accuracy: float | None
    mean_class_accuracy_challenge: float | None
    mean_class_accuracy_frequent: float | None
    overall_accuracy: float | None
    macro_f1: float | None
    per_attribute: Mapping[str, AttributeMetrics]
    per_class: Mapping[str, Mapping[str, ClassMetrics]]
    absent: tuple[str, ...]
    rare: tuple[str, ...]
    n: int
    min_count: int
    mean_class_accuracy_ci95: Interval | None = None
    mean_class_accuracy_frequent_ci95: Interval | None = None
    overall_accuracy_ci95: Interval | None = None
    bootstrap: int = 0

    @classmethod
    def from_confusions(
        cls,
        matrices: Sequence[npt.NDArray[np.int64]],
        schema: AttributeSchema,
        *,
        n: int,
        min_count: int = 5,
    ) -> "Metrics":
        """Compute all but the intervals.

        Args:
            matrices: for each attribute `[C_k, C_k]`, rows = truth, columns = predicted, as `confusion_matrices` gives.
            schema: what they mean.
            n: images with at least one label (matrices cannot tell).
            min_count: classes with fewer examples are left out of `mean_class_accuracy_frequent`.

        Raises:
            SchemaError: the matrices do not fit the schema.
        """
        shapes, expected = [matrix.shape for matrix in matrices], [(size, size) for size in schema.sizes]
        if shapes != expected:
            raise SchemaError(f"confusion matrices have shapes {shapes}, expected {expected} for schema {schema}")
        hits = np.concatenate([matrix.diagonal() for matrix in matrices]).astype(np.float64)
        totals = np.concatenate([matrix.sum(axis=1) for matrix in matrices]).astype(np.float64)
        guesses = np.concatenate([matrix.sum(axis=0) for matrix in matrices]).astype(np.float64)
        # Defined for every class with examples, and a mean over just those: the same means as of recalls, hence
        # computed by the same function.
        overlaps, sums = 2 * hits, np.where(totals > 0, totals + guesses, 0)
        frequent = totals >= max(1, min_count)
        names = np.array(schema.columns, dtype=object)
        per_attribute, per_class = {}, {}
        for attribute, part in zip(schema.attributes, schema.slices, strict=True):
            per_attribute[attribute.name] = AttributeMetrics(
                mean_class_accuracy=_number(mean_recall(hits[part], totals[part])),
                accuracy=_number(accuracy(hits[part], totals[part])),
                macro_f1=_number(mean_recall(overlaps[part], sums[part])),
                n=int(totals[part].sum()),
            )
            per_class[attribute.name] = {
                label: _class_metrics(hits[column], totals[column], guesses[column])
                for label, column in zip(attribute.classes, range(part.start, part.stop), strict=True)
            }
        return cls(
            mean_class_accuracy=_number(mean_recall(hits, totals)),
            # As if an absent class had one example that was missed.
            mean_class_accuracy_challenge=_number(mean_recall(hits, np.maximum(totals, 1))) if totals.any() else None,
            mean_class_accuracy_frequent=_number(mean_recall(hits[frequent], totals[frequent])),
            overall_accuracy=_number(accuracy(hits, totals)),
            macro_f1=_number(mean_recall(overlaps, sums)),
            per_attribute=per_attribute,
            per_class=per_class,
            absent=tuple(names[totals == 0]),
            rare=tuple(names[(totals > 0) & ~frequent]),
            n=n,
            min_count=min_count,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON: fractions 0..1, None where undefined, intervals as `[low, high]`."""
        return {
            "n": self.n,
            "mean_class_accuracy": self.mean_class_accuracy,
            "mean_class_accuracy_ci95": _ends(self.mean_class_accuracy_ci95),
            "mean_class_accuracy_challenge": self.mean_class_accuracy_challenge,
            "mean_class_accuracy_frequent": self.mean_class_accuracy_frequent,
            "mean_class_accuracy_frequent_ci95": _ends(self.mean_class_accuracy_frequent_ci95),
            "overall_accuracy": self.overall_accuracy,
            "overall_accuracy_ci95": _ends(self.overall_accuracy_ci95),
            "macro_f1": self.macro_f1,
            "per_attribute": {
                name: {
                    "mean_class_accuracy": attribute.mean_class_accuracy,
                    "mean_class_accuracy_ci95": _ends(attribute.mean_class_accuracy_ci95),
                    "accuracy": attribute.accuracy,
                    "accuracy_ci95": _ends(attribute.accuracy_ci95),
                    "macro_f1": attribute.macro_f1,
                    "n": attribute.n,
                }
                for name, attribute in self.per_attribute.items()
            },
            "per_class": {
                name: {
                    label: {"recall": one.recall, "precision": one.precision, "f1": one.f1, "n": one.n}
                    for label, one in classes.items()
                }
                for name, classes in self.per_class.items()
            },
            "absent_classes": list(self.absent),
            "rare_classes": list(self.rare),
            "min_count": self.min_count,
            "bootstrap": self.bootstrap,
        }


def evaluate(predictions: Predictions, *, bootstrap: int = 2000, seed: int = 0, min_count: int = 5) -> Metrics:
    """Measure predictions against their targets, with 95% percentile bootstrap intervals over images.

    Images without any label have no effect; nor has the order of the images.

    Args:
        predictions: of a labelled split.
        bootstrap: number of resamples; 0 = no intervals.
        seed: of the resampling.
        min_count: classes with fewer examples are left out of `mean_class_accuracy_frequent`.

    Raises:
        DataError: there is no label at all, or logits are NaN.
        UserError: a negative number of resamples.
    """
    part = labelled_part(predictions)
    schema = part.schema
    matrices = confusion_matrices(part.targets, part.predicted, schema)
    metrics = Metrics.from_confusions(matrices, schema, n=len(part), min_count=min_count)
    resamples = resample(part.targets, [part.right], schema, bootstrap=bootstrap, seed=seed)
    return _with_intervals(metrics, resamples, schema) if bootstrap else metrics


def _with_intervals(metrics: Metrics, resamples: Resamples, schema: AttributeSchema) -> Metrics:
    (hits,), totals = resamples.hits, resamples.totals
    # The classes that are frequent in the set itself, not in each resample: one statistic, not 2,000 different ones.
    unused = set(metrics.absent) | set(metrics.rare)
    frequent = [column for column, name in enumerate(schema.columns) if name not in unused]
    return replace(
        metrics,
        bootstrap=len(totals),
        mean_class_accuracy_ci95=bootstrap_interval(mean_recall(hits, totals)),
        mean_class_accuracy_frequent_ci95=bootstrap_interval(mean_recall(hits[:, frequent], totals[:, frequent])),
        overall_accuracy_ci95=bootstrap_interval(accuracy(hits, totals)),
        per_attribute={
            name: replace(
                metrics.per_attribute[name],
                mean_class_accuracy_ci95=bootstrap_interval(mean_recall(hits[:, part], totals[:, part])),
                accuracy_ci95=bootstrap_interval(accuracy(hits[:, part], totals[:, part])),
            )
            for name, part in zip(schema.names, schema.slices, strict=True)
        },
    )


def _class_metrics(hits: float, examples: float, guesses: float) -> ClassMetrics:
    return ClassMetrics(
        recall=float(hits / examples) if examples else None,
        precision=float(hits / guesses) if guesses else None,
        f1=float(2 * hits / (examples + guesses)) if examples else None,
        n=int(examples),
    )


def _number(value: npt.NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)
