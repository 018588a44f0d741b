"""The measures of parts of the images: by size, box area, brightness, fold; and of frequent and rare classes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.evaluation.bootstrap import Interval, bootstrap_interval
from gingham.evaluation.labelled import Labelled, labelled_part
from gingham.evaluation.resampling import Resamples, accuracy, count, mean_recall, resample
from gingham.predictions import Predictions

__all__ = ["Slice", "slices"]

_GROUPS, _LEAST = 4, 10
"""At most so many groups of a value, and on average at least so many images in each."""

_MOST_FOLDS = 20


@dataclass(frozen=True)
class Slice:
    """One part of the images, or of the classes.

    Attributes:
        group: what it is a part by.
        label: which part.
        n: images with a label; labels, where classes are grouped.
        mean_class_accuracy: over the part's classes that have examples in it, 0..1.
        accuracy: share of its labels that are right, 0..1.
        mean_class_accuracy_ci95: 95% bootstrap interval over images, None if not asked for; likewise the next.
        accuracy_ci95: of the accuracy.
    """

    group: str
    label: str
    n: int
    mean_class_accuracy: float
    accuracy: float
    mean_class_accuracy_ci95: Interval | None
    accuracy_ci95: Interval | None


def slices(predictions: Predictions, *, bootstrap: int = 1000, seed: int = 0) -> tuple[Slice, ...]:
    """Measure the parts that the predictions' columns, and the numbers of examples of their classes, make.

    Longer side (of `width` and `height`), `box_share` and `brightness` are cut at quartiles into up to four groups;
    `fold` is taken as it is; classes are grouped by their examples in these predictions, at 10, 100, ... A column that
    is missing, or does not tell images apart, makes no part. Parts differ in which classes they have, so that their
    mean class accuracies are of different classes.

    Args:
        predictions: of a labelled split.
        bootstrap: number of resamples; 0 = no intervals.
        seed: of the resampling.

    Raises:
        DataError: there is no label at all, or logits are NaN.
        UserError: a negative number of resamples.
    """
    part = labelled_part(predictions)
    place = {name: row for row, name in enumerate(predictions.ids)}
    rows = np.array([place[name] for name in part.ids])
    columns = {name: np.asarray(values)[rows] for name, values in predictions.columns.items()}
    found = []
    for group, labels, places in _groupings(columns):
        for number, label in enumerate(labels):
            chosen = places == number
            if chosen.any():
                point, drawn = _counted(_take(part, chosen), bootstrap, seed)
                found.append(_measured(group, label, int(chosen.sum()), point, drawn))
    return tuple(found + _by_frequency(part, bootstrap, seed))


def _take(part: Labelled, chosen: npt.NDArray[np.bool_]) -> Labelled:
    rows = np.flatnonzero(chosen)
    ids = tuple(part.ids[row] for row in rows)
    return replace(part, ids=ids, targets=part.targets[rows], predicted=part.predicted[rows])


def _counted(part: Labelled, bootstrap: int, seed: int) -> tuple[Resamples, Resamples]:
    return (
        count(part.targets, [part.right], part.schema),
        resample(part.targets, [part.right], part.schema, bootstrap=bootstrap, seed=seed),
    )


def _measured(
    group: str,
    label: str,
    n: int,
    point: Resamples,
    drawn: Resamples,
    classes: slice | npt.NDArray[np.int64] = slice(None),
) -> Slice:
    """Of some columns of the logits; of all of them, if none are given."""
    hits, totals = point.hits[0][0, classes], point.totals[0, classes]
    many_hits, many_totals = drawn.hits[0][:, classes], drawn.totals[:, classes]
    return Slice(
        group,
        label,
        n,
        float(mean_recall(hits, totals)),
        float(accuracy(hits, totals)),
        bootstrap_interval(mean_recall(many_hits, many_totals)),
        bootstrap_interval(accuracy(many_hits, many_totals)),
    )


def _groupings(
    columns: Mapping[str, npt.NDArray[Any]],
) -> Iterator[tuple[str, list[str], npt.NDArray[np.int64]]]:
    """What parts images: name, labels, and each image's number among these (-1 = in none)."""
    if {"width", "height"} <= columns.keys():
        longer = np.maximum(columns["width"], columns["height"])
        yield from _quantiles("longer side", longer.astype(np.float64), 1.0, "{:.0f} px")
    if "box_share" in columns:
        share = columns["box_share"].astype(np.float64)
        yield from _quantiles("box area", share, 0.01, "{:.0%} of the image", missing="no box")
    if "brightness" in columns:
        yield from _quantiles("brightness", columns["brightness"].astype(np.float64), 0.01, "{:.0%}")
    if "fold" in columns:
        folds, places = np.unique(columns["fold"], return_inverse=True)
        if 1 < len(folds) <= _MOST_FOLDS:
            yield "fold", [str(fold) for fold in folds.tolist()], places.astype(np.int64)


def _quantiles(
    name: str, values: npt.NDArray[np.float64], step: float, written: str, missing: str = "unknown"
) -> Iterator[tuple[str, list[str], npt.NDArray[np.int64]]]:
    """Groups of about equally many images, cut at multiples of `step`, so that labels say exactly where."""
    known = np.isfinite(values)
    groups = min(_GROUPS, int(known.sum()) // _LEAST)
    cuts = np.empty(0)
    if groups > 1:
        quantiles = np.quantile(values[known], np.arange(1, groups) / groups)
        cuts = np.unique(np.round(np.round(quantiles / step) * step, 10))
        cuts = cuts[(cuts >= values[known].min()) & (cuts < values[known].max())]
    if not cuts.size and known.all():
        return
    ends = [written.format(cut) for cut in cuts]
    if ends:
        bare = [end.split(" ")[0] for end in ends]
        labels = [f"up to {ends[0]}", *(f"{low} to {end}" for low, end in zip(bare, ends[1:], strict=False))]
        labels.append(f"above {ends[-1]}")
    else:
        labels = ["known"] if missing == "unknown" else ["with a box"]
    places = np.where(known, np.searchsorted(cuts, np.where(known, values, 0)), len(labels))
    if known.any():
        yield name, [*labels, missing], places.astype(np.int64)


def _by_frequency(part: Labelled, bootstrap: int, seed: int) -> list[Slice]:
    """The classes by their number of examples, where these are of different orders."""
    point, drawn = _counted(part, bootstrap, seed)
    totals = point.totals[0]
    # Exact, as floor(log10) is not bound to be.
    orders = np.array([len(str(int(total))) - 1 if total else -1 for total in totals])
    present = sorted(set(orders[orders >= 0].tolist()))
    found = []
    for order in present if len(present) > 1 else []:
        classes = np.flatnonzero(orders == order)
        named = f"{len(classes)} class" + ("es" if len(classes) > 1 else "")
        label = f"{10**order:,} to {10 ** (order + 1) - 1:,} examples ({named})"
        found.append(_measured("class", label, int(totals[classes].sum()), point, drawn, classes))
    return found
