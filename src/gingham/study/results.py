"""The figures of a study: means over seeds, and differences to the baseline, from out-of-fold predictions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.evaluation.bootstrap import Difference, Interval, bootstrap_interval, paired_difference
from gingham.evaluation.labelled import labelled_part
from gingham.evaluation.prior import cross_fitted
from gingham.evaluation.resampling import Resamples, accuracy, count, mean_recall, resample
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema

__all__ = ["BOOTSTRAP", "Figure", "Repeat", "Row", "rarest_class", "summarise"]

BOOTSTRAP = 2000
"""Resamples behind each interval."""

_Floats = npt.NDArray[np.float64]
_Measure = Callable[[_Floats, _Floats], _Floats]


@dataclass(frozen=True)
class Repeat:
    """One run with one seed: every photo predicted by the model that has not seen it.

    Attributes:
        predictions: with targets, and the column `fold`.
        seconds: of training, over all folds.
        ids: the labelled images, sorted.
        targets: theirs, int64 `[N, K]`.
        points: hits and totals of each class, of the images themselves.
        resampled: likewise of `BOOTSTRAP` resamples of the images, the same for all repeats on the same images.
        corrected: as `points`, with the prior correction that was fitted on the other folds.
    """

    predictions: Predictions
    seconds: float
    ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    points: Resamples
    resampled: Resamples
    corrected: Resamples

    @property
    def mean_class_accuracy(self) -> float:
        """Out of fold, 0..1."""
        return float(mean_recall(self.points.hits[0][0], self.points.totals[0]))

    @classmethod
    def measured(cls, predictions: Predictions, seconds: float) -> "Repeat":
        """Measure out-of-fold predictions.

        Raises:
            DataError: no label, or logits that are NaN.
        """
        part = labelled_part(predictions)
        schema = part.schema
        corrected = labelled_part(cross_fitted(predictions, predictions.columns["fold"]))
        return cls(
            predictions,
            seconds,
            part.ids,
            part.targets,
            count(part.targets, [part.right], schema),
            resample(part.targets, [part.right], schema, bootstrap=BOOTSTRAP, seed=0),
            count(corrected.targets, [corrected.right], schema),
        )


@dataclass(frozen=True)
class Figure:
    """A measure of one run, 0..1; None = undefined.

    Attributes:
        value: mean over the seeds.
        sd: standard deviation over the seeds; None for one seed.
        ci95: 95% bootstrap interval of the mean over seeds, over images.
    """

    value: float | None
    sd: float | None
    ci95: Interval | None


@dataclass(frozen=True)
class Row:
    """One run of the table.

    Attributes:
        seeds: that it was trained with so far.
        mean_class_accuracy: out of fold.
        overall_accuracy: share of the labels that are right.
        without_rarest: mean class accuracy over all classes but the rarest of all.
        prior_corrected: mean class accuracy with the prior correction fitted on the other folds.
        difference: of the mean class accuracy to the baseline's, over the seeds that both have; None for the baseline
            itself, or if they have none.
        per_attribute: mean class accuracy of each attribute.
        differences: likewise, to the baseline.
        recalls: of each class, `attribute/class`, mean over the seeds; None without examples.
        corrected_recalls: likewise, with the prior correction.
        seconds: of training, over all folds; mean over the seeds.
    """

    seeds: tuple[int, ...]
    mean_class_accuracy: Figure
    overall_accuracy: Figure
    without_rarest: Figure
    prior_corrected: Figure
    difference: Difference | None
    per_attribute: Mapping[str, Figure]
    differences: Mapping[str, Difference | None]
    recalls: Mapping[str, float | None]
    corrected_recalls: Mapping[str, float | None]
    seconds: float


def rarest_class(repeat: Repeat) -> int:
    """The column of the class with the fewest examples, but at least one; the first of equals."""
    totals = repeat.points.totals[0]
    return int(np.where(totals > 0, totals, np.inf).argmin())


def summarise(results: Mapping[str, Mapping[int, Repeat]], baseline: str) -> dict[str, Row]:
    """One row for each run that has been trained with a seed or more.

    Args:
        results: run -> seed -> what came out.
        baseline: the run that the others are compared with; without results there are no differences.

    Raises:
        DataError: two repeats are of different images or labels.
    """
    repeats = [repeat for seeds in results.values() for repeat in seeds.values()]
    if any(repeat.ids != repeats[0].ids or (repeat.targets != repeats[0].targets).any() for repeat in repeats):
        raise DataError("the study's runs have predicted different photos or labels; start it again in a new --out")
    base = results.get(baseline, {})
    return {run: _row(seeds, None if run == baseline else base) for run, seeds in results.items() if seeds}


def _row(seeds: Mapping[int, Repeat], base: Mapping[int, Repeat] | None) -> Row:
    repeats = [seeds[seed] for seed in sorted(seeds)]
    schema = repeats[0].predictions.schema
    frequent = np.arange(schema.total) != rarest_class(repeats[0])
    everything = np.ones(schema.total, dtype=np.bool_)
    parts = {name: _columns(schema, part) for name, part in zip(schema.names, schema.slices, strict=True)}

    def gain(columns: npt.NDArray[np.bool_]) -> Difference | None:
        return None if base is None else _difference(base, seeds, columns)

    return Row(
        seeds=tuple(sorted(seeds)),
        mean_class_accuracy=_figure(repeats, mean_recall, everything),
        overall_accuracy=_figure(repeats, accuracy, everything),
        without_rarest=_figure(repeats, mean_recall, frequent),
        prior_corrected=_spread([_at(repeat.corrected, mean_recall, everything)[0] for repeat in repeats]),
        difference=gain(everything),
        per_attribute={name: _figure(repeats, mean_recall, columns) for name, columns in parts.items()},
        differences={name: gain(columns) for name, columns in parts.items()},
        recalls=_recalls([repeat.points for repeat in repeats], schema),
        corrected_recalls=_recalls([repeat.corrected for repeat in repeats], schema),
        seconds=float(np.mean([repeat.seconds for repeat in repeats])),
    )


def _columns(schema: AttributeSchema, part: slice) -> npt.NDArray[np.bool_]:
    columns = np.zeros(schema.total, dtype=np.bool_)
    columns[part] = True
    return columns


def _at(counts: Resamples, measure: _Measure, columns: npt.NDArray[np.bool_]) -> _Floats:
    """A measure over some classes, of each row of counts: `[R]`."""
    return measure(counts.hits[0][:, columns], counts.totals[:, columns])


def _figure(repeats: Sequence[Repeat], measure: _Measure, columns: npt.NDArray[np.bool_]) -> Figure:
    resampled = np.mean([_at(repeat.resampled, measure, columns) for repeat in repeats], axis=0)
    return _spread(
        [_at(repeat.points, measure, columns)[0] for repeat in repeats], interval=bootstrap_interval(resampled)
    )


def _spread(values: Sequence[float], interval: Interval | None = None) -> Figure:
    if np.isnan(values).any():
        return Figure(None, None, None)
    return Figure(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, interval)


def _difference(
    base: Mapping[int, Repeat], seeds: Mapping[int, Repeat], columns: npt.NDArray[np.bool_]
) -> Difference | None:
    """Paired over images: each resample draws the same images for all; averaged over the seeds that both have."""
    shared = sorted(base.keys() & seeds.keys())
    if not shared:
        return None

    def means(results: Mapping[int, Repeat]) -> tuple[float, _Floats]:
        chosen = [results[seed] for seed in shared]
        points = [_at(repeat.points, mean_recall, columns)[0] for repeat in chosen]
        return float(np.mean(points)), np.mean([_at(one.resampled, mean_recall, columns) for one in chosen], axis=0)

    (a, values_a), (b, values_b) = means(base), means(seeds)
    return paired_difference(a, b, values_b - values_a)


def _recalls(counts: Sequence[Resamples], schema: AttributeSchema) -> dict[str, float | None]:
    totals = counts[0].totals[0]
    hits = np.mean([one.hits[0][0] for one in counts], axis=0)
    return {
        name: float(hits[column] / totals[column]) if totals[column] else None
        for column, name in enumerate(schema.columns)
    }
