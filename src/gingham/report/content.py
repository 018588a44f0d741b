"""What a report shows, as numbers: the page and the plots draw these and compute nothing of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError, SchemaError
from gingham.evaluation.bootstrap import Comparison, Interval, paired_bootstrap
from gingham.evaluation.decisions import Decisions
from gingham.evaluation.labelled import labelled_part
from gingham.evaluation.metrics import AttributeMetrics, Metrics, confusion_matrices, evaluate
from gingham.evaluation.proportion import wilson_interval
from gingham.evaluation.reliability import Reliability, Scores, calibration_scores, reliability, risk_coverage
from gingham.evaluation.slices import Slice, slices
from gingham.predictions import Predictions
from gingham.report.promises import Promise, promises
from gingham.schema import UNLABELLED

__all__ = [
    "GOAL",
    "HISTOGRAM_BINS",
    "AttributeContent",
    "Certainty",
    "ClassRow",
    "Confusion",
    "Content",
    "collect",
    "confusions",
    "has_labels",
]

_Floats = npt.NDArray[np.float64]
_Counts = npt.NDArray[np.int64]

HISTOGRAM_BINS = 20
"""Of confidence, equally wide over 0..1."""

GOAL = 0.95
"""The accuracy that coverage is stated for."""

_CURVE_POINTS = 201
"""A longer curve of accuracy against coverage is thinned to these, at even coverage."""

_BOOTSTRAP = 1000
"""Resamples behind the intervals that are not those of the metrics."""


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        label: its name.
        n: its examples; 0 where nothing is labelled.
        tagged: photos that were given this tag, labelled or not.
        recall: share of its examples that were tagged so; None without examples.
        recall_ci95: 95% score interval of the recall.
        precision: share of its tags on labelled photos that were right; None without any.
        f1: of both; None without examples.
    """

    label: str
    n: int
    tagged: int
    recall: float | None
    recall_ci95: Interval | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Certainty:
    """What one attribute's confidence is worth, on its labelled photos.

    Attributes:
        reliability: confidence against accuracy, in bins.
        scores: ECE, NLL and Brier score.
        coverage: `[m]`, shares of the photos, the most confident first, rising to 1.
        accuracy: `[m]`, of these photos.
        covered: the largest share, taken in that order, of which `GOAL` are right; 0 if there is none. It was found on
            these very photos, and so promises nothing about others.
    """

    reliability: Reliability
    scores: Scores
    coverage: _Floats
    accuracy: _Floats
    covered: float


@dataclass(frozen=True)
class AttributeContent:
    """One attribute.

    Attributes:
        name: its name.
        metrics: None where nothing at all is labelled.
        classes: in the schema's order.
        confusion: int64 `[C, C]`, rows = truth; None where the attribute has no label.
        certainty: by the softmax of the logits; None where the attribute has no label.
        calibrated: by calibrated probabilities, if there are any.
        confidence: int64 `[20]`, photos by confidence of their tag, in equal steps of 0..1.
        mean_confidence: of all photos' tags.
    """

    name: str
    metrics: AttributeMetrics | None
    classes: tuple[ClassRow, ...]
    confusion: _Counts | None
    certainty: Certainty | None
    calibrated: Certainty | None
    confidence: _Counts
    mean_confidence: float


@dataclass(frozen=True)
class Content:
    """Everything that a report shows but for photos.

    Attributes:
        title: what it is about.
        photos: how many were predicted.
        metrics: None where nothing is labelled.
        attributes: in the schema's order.
        slices: parts of the photos, measured by themselves.
        history: columns of a training's history; None if there is none.
        comparison: another system's predictions (first) against these (second).
        compared_with: what the other one is called.
        source: where the predictions come from.
        promises: what became of the promises of a calibrated model.
    """

    title: str
    photos: int
    metrics: Metrics | None
    attributes: tuple[AttributeContent, ...]
    slices: tuple[Slice, ...]
    history: Mapping[str, Sequence[float | None]] | None
    comparison: Comparison | None
    compared_with: str
    source: Mapping[str, Any]
    promises: tuple[Promise, ...] = ()


@dataclass(frozen=True)
class Confusion:
    """One way to go wrong: `n` photos of class `truth` were tagged `tag`, which is `share` of that class."""

    truth: str
    tag: str
    n: int
    share: float


def has_labels(targets: _Counts | None) -> bool:
    """Whether any of the targets `[N, K]` is a label."""
    return targets is not None and bool((targets != UNLABELLED).any())


def collect(
    predictions: Predictions,
    *,
    title: str,
    metrics: Metrics | None = None,
    history: Mapping[str, Sequence[float | None]] | None = None,
    calibrated: _Floats | None = None,
    other: Predictions | None = None,
    compared_with: str = "",
    decisions: Sequence[Decisions] = (),
) -> Content:
    """Compute what a report shows; see `write_report`.

    Args:
        predictions: of one split, labelled or not.
        title: what the report is about.
        metrics: of these predictions, if they are known already.
        history: columns of a training's history, as `plot_curves` takes them.
        calibrated: calibrated probabilities `[N, ΣC]`, to be shown beside those of the logits.
        other: predictions of another system for the same images, to compare with.
        compared_with: what that one is called.
        decisions: thresholds on `calibrated`, which they need.

    Raises:
        DataError: there is no image, logits are NaN, or `other` cannot be compared.
        SchemaError: `calibrated` has another shape, or `other` another schema.
    """
    if not len(predictions):
        raise DataError("there are no predictions to report on")
    if calibrated is not None and calibrated.shape != predictions.logits.shape:
        raise SchemaError(f"calibrated probabilities have shape {calibrated.shape}, logits {predictions.logits.shape}")
    labelled = has_labels(predictions.targets)
    if not labelled and other is not None:
        raise DataError("there are no labels to compare by; predict on a labelled split")
    if not labelled and np.isnan(predictions.logits).any():
        raise DataError("logits are NaN: the model has diverged; train again with a lower learning rate")
    if labelled and metrics is None:
        metrics = evaluate(predictions)
    return Content(
        title=title,
        photos=len(predictions),
        metrics=metrics if labelled else None,
        attributes=_attributes(predictions, metrics if labelled else None, calibrated),
        slices=slices(predictions, bootstrap=_BOOTSTRAP) if labelled else (),
        history=history,
        comparison=None if other is None else paired_bootstrap(other, predictions),
        compared_with=compared_with,
        source=dict(predictions.source),
        promises=() if calibrated is None else promises(decisions, predictions, calibrated),
    )


def confusions(attribute: AttributeContent, most: int) -> list[Confusion]:
    """The most frequent ways to go wrong in an attribute; equal ones in the order of the classes."""
    if attribute.confusion is None:
        return []
    wrong = attribute.confusion.copy()
    np.fill_diagonal(wrong, 0)
    totals = attribute.confusion.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    labels = [row.label for row in attribute.classes]
    return [
        Confusion(labels[truth], labels[tag], int(wrong[truth, tag]), float(wrong[truth, tag] / totals[truth]))
        for truth, tag in pairs
        if wrong[truth, tag]
    ]


def _attributes(
    predictions: Predictions, metrics: Metrics | None, calibrated: _Floats | None
) -> tuple[AttributeContent, ...]:
    schema, predicted = predictions.schema, predictions.predicted
    matrices: Sequence[_Counts | None] = [None] * len(schema)
    targets = np.full(predicted.shape, UNLABELLED)
    if metrics is not None:
        part = labelled_part(predictions)
        matrices = confusion_matrices(part.targets, part.predicted, schema)
        assert predictions.targets is not None
        targets = predictions.targets
    shown = predictions.probabilities
    contents = []
    for k, (attribute, columns) in enumerate(zip(schema.attributes, schema.slices, strict=True)):
        own = slice(columns.start, columns.stop)
        known = targets[:, k] != UNLABELLED
        confidence = shown[:, own].max(axis=1)
        matrix = matrices[k] if known.any() else None
        after = None
        if calibrated is not None and known.any():
            after = _certainty(calibrated[known, own], targets[known, k], predicted[known, k])
        bins = np.minimum((confidence * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
        contents.append(
            AttributeContent(
                name=attribute.name,
                metrics=None if metrics is None else metrics.per_attribute[attribute.name],
                classes=_rows(attribute.name, attribute.classes, metrics, matrix, predicted[:, k]),
                confusion=matrix,
                certainty=_certainty(shown[known, own], targets[known, k], predicted[known, k])
                if known.any()
                else None,
                calibrated=after,
                confidence=np.bincount(bins, minlength=HISTOGRAM_BINS),
                mean_confidence=float(confidence.mean()),
            )
        )
    return tuple(contents)


def _rows(
    name: str, classes: Sequence[str], metrics: Metrics | None, matrix: _Counts | None, predicted: _Counts
) -> tuple[ClassRow, ...]:
    tagged = np.bincount(predicted, minlength=len(classes))
    rows = []
    for number, label in enumerate(classes):
        if metrics is None or matrix is None:
            rows.append(ClassRow(label, 0, int(tagged[number]), None, None, None, None))
            continue
        one = metrics.per_class[name][label]
        interval = wilson_interval(int(matrix[number, number]), one.n)
        rows.append(ClassRow(label, one.n, int(tagged[number]), one.recall, interval, one.precision, one.f1))
    return tuple(rows)


def _certainty(probabilities: _Floats, targets: _Counts, tags: _Counts) -> Certainty:
    confidence = probabilities[np.arange(len(tags)), tags]
    right = tags == targets
    coverage, accuracy = risk_coverage(confidence, right)
    covered = float(coverage[accuracy >= GOAL].max(initial=0.0))
    if len(coverage) > _CURVE_POINTS:
        kept = np.unique(
            np.searchsorted(coverage, np.linspace(coverage[0], 1, _CURVE_POINTS)).clip(max=len(coverage) - 1)
        )
        coverage, accuracy = coverage[kept], accuracy[kept]
    return Certainty(
        reliability(confidence, right),
        calibration_scores(probabilities, targets, tags, bootstrap=_BOOTSTRAP),
        coverage,
        accuracy,
        covered,
    )
