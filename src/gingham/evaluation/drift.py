"""Whether new photos are like those that a promise was made on: their tags, confidences and image statistics.

A promise holds for photos drawn as the calibration photos were. Labels of new photos are mostly not known, so that it
cannot be measured whether it is kept; but where tags, confidences or images have visibly moved, nothing vouches for it
any more. What is alike in all of these may still differ in what they do not show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, chdtrc
from scipy.stats import ks_2samp

from gingham.evaluation.calibration import Calibration
from gingham.evaluation.decisions import Decisions
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = ["ALPHA", "EFFECT", "Batch", "Finding", "Verdict", "batch_of", "compare_batches"]

_Floats = npt.NDArray[np.float64]

ALPHA = 0.01
"""Probability that any of all tests of two batches finds a difference that is chance alone (Holm 1979)."""

EFFECT = 0.1
"""Least difference that counts, however many photos show it: of shares and of distribution functions, 0..1."""

_LEAST_EXPECTED = 5
"""Classes of which fewer are expected in either batch are tested as one (Cochran 1954)."""

Status = Literal["stands", "no longer stands", "cannot be told"]


@dataclass(frozen=True)
class Batch:
    """What is known of some tagged photos.

    Attributes:
        count: how many photos were tagged.
        tags: attribute -> `[N]`, names of the chosen classes.
        confidence: attribute -> `[N]`, 0..1.
        accepted: attribute -> bool `[N]`, where a promise was asked for.
        right: attribute -> bool, of the accepted tags that have a label.
        columns: image statistics -> `[N]`; NaN = unknown.
    """

    count: int
    tags: Mapping[str, npt.NDArray[Any]]
    confidence: Mapping[str, _Floats]
    accepted: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    right: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    columns: Mapping[str, _Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One difference of two batches.

    Attributes:
        subject: the attribute, or `photos`.
        measure: what differs.
        effect: by how much, 0..1; see `compare_batches`.
        p_value: corrected for all tests of the comparison (Holm).
        moved: significant, and large enough to count.
        text: for people.
    """

    subject: str
    measure: str
    effect: float
    p_value: float
    moved: bool
    text: str


@dataclass(frozen=True)
class Verdict:
    """Of an attribute, or of the photos as such: whether the promise still stands, and why or why not."""

    subject: str
    status: Status
    reason: str


class _Test(NamedTuple):
    subject: str
    measure: str
    effect: float
    p_value: float
    text: str
    least: float


def batch_of(predictions: Predictions, calibration: Calibration, decisions: Decisions | None = None) -> Batch:
    """What predictions say of their photos.

    Args:
        predictions: with or without targets.
        calibration: that of the model; the identity for a model without.
        decisions: of the promise, if there is one.
    """
    schema = predictions.schema
    tags, confidence = calibration.confidence(predictions.logits)
    accepted = None if decisions is None else decisions.accepted(tags, confidence, schema)
    right = {}
    if accepted is not None and predictions.targets is not None:
        judged = accepted & (predictions.targets != UNLABELLED)
        hits = tags == predictions.targets
        right = {name: hits[judged[:, k], k] for k, name in enumerate(schema.names) if judged[:, k].any()}
    return Batch(
        count=len(predictions),
        tags={one.name: np.array(one.classes, dtype=object)[tags[:, k]] for k, one in enumerate(schema.attributes)},
        confidence={name: confidence[:, k] for k, name in enumerate(schema.names)},
        accepted={} if accepted is None else {name: accepted[:, k] for k, name in enumerate(schema.names)},
        right=right,
        columns={
            name: values.astype(np.float64)
            for name, values in predictions.columns.items()
            if values.dtype.kind in "iuf" and name != "fold"
        },
    )


def compare_batches(
    reference: Batch, new: Batch, *, precision: float | None = None
) -> tuple[tuple[Finding, ...], tuple[Verdict, ...]]:
    """Compare new photos with those of the reference.

    Of each attribute: class shares (chi-squared test of homogeneity; effect = total variation distance, half the sum of
    the shares' differences), confidence and image statistics (two-sample Kolmogorov-Smirnov; effect = greatest
    distance of the distribution functions), the share accepted (chi-squared), and where labels are known whether
    accepted tags are right as often as promised (exact binomial; effect = shortfall, which counts from 0 on). p-values
    are corrected by Holm's method over all of these. A difference counts if its p-value is at most 0.01 and its effect
    at least 0.1. Where nothing was found and even an effect of 0.25 could have been missed, it cannot be told.

    Args:
        reference: photos like those of the calibration; best the tested ones themselves.
        new: the photos to judge.
        precision: the promise, for which labels of accepted tags are judged.

    Returns:
        All findings, and the verdicts: of the photos as such, if both have image statistics, and of each attribute.
    """
    tests: list[_Test] = []
    for name in sorted(reference.columns.keys() & new.columns.keys()):
        tests += _values(name, "photos", reference.columns[name], new.columns[name])
    for name in reference.tags:
        tests += _shares(name, reference.tags[name], new.tags[name])
        if name in reference.confidence and name in new.confidence:
            tests += _values("confidence", name, reference.confidence[name], new.confidence[name])
        if name in reference.accepted and name in new.accepted:
            tests += _accepted(name, reference.accepted[name], new.accepted[name])
        if precision is not None and name in new.right:
            tests.append(_right(name, new.right[name], precision))
    corrected = _holm([test.p_value for test in tests])
    findings = tuple(
        Finding(test.subject, test.measure, test.effect, p_value, _counts(test, p_value), test.text)
        for test, p_value in zip(tests, corrected, strict=True)
    )
    subjects = dict.fromkeys(one.subject for one in findings)
    smallest = _smallest(reference.count, new.count, len(tests))
    return findings, tuple(_verdict(subject, findings, smallest) for subject in subjects)


def _counts(test: _Test, p_value: float) -> bool:
    return p_value <= ALPHA and test.effect >= test.least


def _verdict(subject: str, findings: Sequence[Finding], smallest: float) -> Verdict:
    own = [one for one in findings if one.subject == subject]
    moved = sorted((one for one in own if one.moved), key=lambda one: -one.effect)
    if moved:
        return Verdict(subject, "no longer stands", "; ".join(one.text for one in moved))
    if smallest > 2.5 * EFFECT:
        return Verdict(subject, "cannot be told", f"so few photos show only differences above {smallest:.2f}")
    largest = max(own, key=lambda one: one.effect)
    return Verdict(subject, "stands", f"nothing moved by {EFFECT:g} or more beyond chance; most: {largest.text}")


def _smallest(first: int, second: int, tests: int) -> float:
    """The distance of two distribution functions that is just significant, by the limit of Kolmogorov and Smirnov."""
    if not first or not second:
        return 1.0
    return float(np.sqrt(-np.log(ALPHA / max(1, tests) / 2) / 2 * (1 / first + 1 / second)))


def _holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty(len(p_values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected.tolist()


def _values(measure: str, subject: str, first: _Floats, second: _Floats) -> list[_Test]:
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if not len(first) or not len(second):
        return []
    found = ks_2samp(first, second, method="asymp")
    medians = f"median {np.median(first):.4g} -> {np.median(second):.4g}"
    text = f"{measure} moved by {found.statistic:.2f} ({medians})"
    return [_Test(subject, measure, float(found.statistic), float(found.pvalue), text, EFFECT)]


def _shares(name: str, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> list[_Test]:
    if not len(first) or not len(second):
        return []
    classes = sorted({*first.tolist(), *second.tolist()})
    counts = np.array([[int((part == label).sum()) for label in classes] for part in (first, second)], dtype=np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    moves = shares[1] - shares[0]
    most = int(np.abs(moves).argmax())
    effect = float(np.abs(moves).sum() / 2)
    text = f"class shares moved by {effect:.2f} ({classes[most]} {shares[0, most]:.0%} -> {shares[1, most]:.0%})"
    return [_Test(name, "class shares", effect, _homogeneity(counts), text, EFFECT)]


def _accepted(name: str, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> list[_Test]:
    if not len(first) or not len(second):
        return []
    counts = np.array([[part.sum(), (~part).sum()] for part in (first, second)], dtype=np.float64)
    effect = float(abs(first.mean() - second.mean()))
    text = f"share accepted {first.mean():.0%} -> {second.mean():.0%}"
    return [_Test(name, "share accepted", effect, _homogeneity(counts), text, EFFECT)]


def _right(name: str, right: npt.NDArray[np.bool_], precision: float) -> _Test:
    share = float(right.mean())
    p_value = float(bdtr(int(right.sum()), len(right), precision))
    text = f"{share:.1%} of {len(right)} accepted tags with a label are right, {precision:g} promised"
    return _Test(name, "precision", max(0.0, precision - share), p_value, text, 0.0)


def _homogeneity(counts: _Floats) -> float:
    """p-value of Pearson's chi-squared test of two rows `[2, C]`, with rare classes taken together."""
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    rare = expected.min(axis=0) < _LEAST_EXPECTED
    if rare.any():
        counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    statistic = float(((counts - expected) ** 2 / np.maximum(expected, 1e-300)).sum())
    return float(chdtrc(max(1, counts.shape[1] - 1), statistic))
