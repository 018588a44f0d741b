"""Which tags may be published without a look: thresholds on confidence that keep a promise.

Learn then test (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052) by fixed sequence testing. One part of the
photos fits the calibration, the candidate thresholds and where the tests begin; the other part, on which none of that
depends, tests them. The hypothesis of a threshold is that its accepted tags are right less often than promised. Given
how many tested photos a threshold accepts, their errors are binomial, so that its p-value is an exact binomial tail.
From the threshold with the greatest predicted chance on, ever lower ones are tested until the first one fails: then
the probability that one is kept that breaks the promise is at most 5%, however many there are, and whether accuracy
falls with confidence or not.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log

import numpy as np
import numpy.typing as npt

from gingham.predictions import Predictions
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["LEVEL", "Decisions", "Group", "decide", "find_threshold", "fitting_part", "kept", "needed"]

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

LEVEL = 0.95
"""Confidence over the draw of the calibration photos."""

_RISK = 0.05
"""What is left of it: 1 - LEVEL, without its rounding."""

_SHARE = 0.2
"""Of the photos, that fit; the others test. On simulated taggers and 500 photos, as good as any of 0.15 to 0.3."""

_CANDIDATES = 200

_OWN_GROUP = 2
"""Times the photos that a promise needs without an error: a class with as many gets a threshold of its own."""


@dataclass(frozen=True)
class Group:
    """Classes of one attribute whose tags share a threshold.

    Attributes:
        classes: their names; all of the attribute's unless thresholds are per class.
        threshold: least confidence of an accepted tag, or None: none is accepted.
        photos: tested photos with such a tag and a label.
        needed: how many of them the promise needs if none is wrong.
        accepted: how many of them the threshold accepts.
        right: how many of the accepted ones are right.
    """

    classes: tuple[str, ...]
    threshold: float | None
    photos: int
    needed: int
    accepted: int = 0
    right: int = 0


@dataclass(frozen=True)
class Decisions:
    """Thresholds that keep one promise.

    Attributes:
        precision: promised least share of right tags among the accepted ones, 0..1.
        level: probability, over the draw of the calibration photos, that the promise is kept: by each attribute, or
            if `joint` by all of them; if per class, by each group of classes at once.
        joint: see `level`.
        per_class: whether classes with enough photos have groups of their own.
        groups: by attribute; each class is in one group.
    """

    precision: float
    level: float
    joint: bool
    per_class: bool
    groups: Mapping[str, tuple[Group, ...]]

    def thresholds(self, schema: AttributeSchema) -> _Floats:
        """The least accepted confidence of each class, float64 `[ΣC]`; infinite where none is accepted."""
        found = np.full(schema.total, np.inf)
        for attribute, part in zip(schema.attributes, schema.slices, strict=True):
            for group in self.groups[attribute.name]:
                for label in group.classes:
                    if group.threshold is not None:
                        found[part.start + attribute.index[label]] = group.threshold
        return found

    def accepted(self, tags: npt.NDArray[np.int64], confidence: _Floats, schema: AttributeSchema) -> _Bools:
        """Whether each tag may go without a look, `[N, K]`, of tags `[N, K]` with their confidence `[N, K]`."""
        starts = np.array([part.start for part in schema.slices])
        accepted: _Bools = confidence >= self.thresholds(schema)[starts + tags]
        return accepted


def needed(precision: float, alpha: float) -> int:
    """Least number of tested photos that can keep a promise: that of right ones in a row with probability <= alpha."""
    # One part in a thousand million off, so that rounding asks for no photo more.
    return max(1, ceil(log(alpha) / log(precision) - 1e-9))


def fitting_part(ids: Sequence[str], share: float = _SHARE) -> _Bools:
    """Which images fit the calibration, bool `[N]`: a share of them by a hash of their names, whatever their labels."""
    marks = [hashlib.sha256(f"calibration\0{name}".encode("utf-8", "backslashreplace")).digest() for name in ids]
    order = sorted(range(len(ids)), key=marks.__getitem__)
    chosen = np.zeros(len(ids), dtype=np.bool_)
    chosen[order[: int(share * len(ids))]] = True
    return chosen


def find_threshold(
    fitted: _Floats, confidence: _Floats, right: _Bools, *, precision: float, alpha: float
) -> float | None:
    """The lowest threshold that the tests reach, or None.

    Args:
        fitted: `[m]`, confidence of photos that the test must not know otherwise: those of the fitting part.
        confidence: `[n]`, of the tested photos.
        right: `[n]`, whether their tags are right.
        precision: the promise, 0..1.
        alpha: probability of a broken promise, at most.

    Returns:
        With probability 1 - alpha over the tested photos, the tags of confidence at least this are right with
        probability at least `precision`, or it is None.
    """
    candidates = _candidates(fitted)
    start = _start(candidates, fitted, len(confidence), precision, alpha)
    # Of each candidate, as the confidence of what it accepts falls: how many, and how many of them are wrong.
    # Imported on first use: who only tags would wait for it half a second.
    from scipy.special import bdtr

    order = np.argsort(confidence)
    errors = np.append(0, np.cumsum(~right[order][::-1]))
    accepted = len(confidence) - np.searchsorted(confidence[order], candidates, side="left")
    p_values = np.where(accepted > 0, bdtr(errors[accepted], accepted, 1 - precision), 1.0)
    passed = p_values[start:] <= alpha
    count = len(passed) if passed.all() else int(passed.argmin())
    return float(candidates[start + count - 1]) if count else None


def _candidates(fitted: _Floats) -> _Floats:
    """Falling thresholds: quantiles of the fitting part's confidence, and last 0, which accepts all."""
    shares = np.linspace(0, 1, min(_CANDIDATES, len(fitted)) + 1)
    levels = np.quantile(fitted, shares, method="inverted_cdf") if len(fitted) else np.empty(0)
    return np.unique(np.append(levels, 0.0))[::-1]


def _start(candidates: _Floats, fitted: _Floats, tested: int, precision: float, alpha: float) -> int:
    """The candidate with the greatest chance to pass, if confidence means what it says; the first one of equals."""
    ranked = np.sort(fitted)[::-1]
    above = len(ranked) - np.searchsorted(ranked[::-1], candidates, side="left")
    share = above / max(1, len(ranked))
    from scipy.special import bdtr, bdtrik

    mean = np.append(0.0, np.cumsum(ranked))[above] / np.maximum(above, 1)
    expected = np.round(share * tested).astype(np.int64)
    # How many errors pass: the greatest number whose binomial tail is at most alpha, or -1.
    most = np.floor(np.nan_to_num(bdtrik(alpha, expected, 1 - precision), nan=-1.0))
    most -= bdtr(np.maximum(most, 0), expected, 1 - precision) > alpha
    power = np.where(most >= 0, bdtr(np.maximum(most, 0), expected, np.clip(1 - mean, 0, 1)), -1.0)
    # Where nothing has a chance, the one that accepts most.
    return int(power.argmax()) if power.max() >= 0 else len(candidates) - 1


def decide(
    predictions: Predictions,
    tags: npt.NDArray[np.int64],
    confidence: _Floats,
    fitting: _Bools,
    *,
    precision: float,
    joint: bool = False,
    per_class: bool = False,
) -> Decisions:
    """Thresholds of all attributes for one promise.

    With `joint`, each attribute gets an equal share of the 5%; per class, so does each group of an attribute's classes
    (Bonferroni). Then the promise is kept by all of them at once with a confidence of 95%. A class has a group of its
    own if twice as many tested photos as needed have its tag; the others share one. Which they are is a matter of tags
    alone, so that the tests are none the wiser.

    Args:
        predictions: labelled; its labels are those of photos like those to come, drawn independently.
        tags: `[N, K]`, the chosen classes.
        confidence: `[N, K]`, of a calibration that was fitted on the fitting part alone.
        fitting: `[N]`, see `fitting_part`.
        precision: the promise, 0..1, both excluded.
        joint: for all attributes at once.
        per_class: see above.
    """
    assert predictions.targets is not None
    schema = predictions.schema
    budget = _RISK / (len(schema) if joint else 1)
    found: dict[str, tuple[Group, ...]] = {}
    for column, attribute in enumerate(schema.attributes):
        labelled = predictions.targets[:, column] != UNLABELLED
        tested = labelled & ~fitting
        parts = [tuple(range(len(attribute)))]
        if per_class:
            counts = np.bincount(tags[tested, column], minlength=len(attribute))
            parts = _parts(counts, precision, budget)
        groups = []
        for part in parts:
            inside = np.isin(tags[:, column], part)
            groups.append(
                _group(
                    tuple(attribute.classes[label] for label in part),
                    confidence[inside & labelled & fitting, column],
                    confidence[inside & tested, column],
                    (tags == predictions.targets)[inside & tested, column],
                    precision,
                    budget / len(parts),
                )
            )
        found[attribute.name] = tuple(groups)
    return Decisions(precision, LEVEL, joint, per_class, found)


def kept(
    decisions: Decisions, predictions: Predictions, tags: npt.NDArray[np.int64], confidence: _Floats
) -> dict[str, tuple[int, int, int]]:
    """What became of a promise on other photos: of each attribute, how many have labels, are accepted, and right.

    Args:
        decisions: the thresholds.
        predictions: labelled; the thresholds are not from these photos.
        tags: `[N, K]`, the chosen classes.
        confidence: `[N, K]`, calibrated as when the thresholds were found.
    """
    assert predictions.targets is not None
    labelled = predictions.targets != UNLABELLED
    accepted = labelled & decisions.accepted(tags, confidence, predictions.schema)
    right = accepted & (tags == predictions.targets)
    sums = np.stack([labelled.sum(axis=0), accepted.sum(axis=0), right.sum(axis=0)], axis=1).tolist()
    return {name: (row[0], row[1], row[2]) for name, row in zip(predictions.schema.names, sums, strict=True)}


def _parts(counts: npt.NDArray[np.int64], precision: float, budget: float) -> list[tuple[int, ...]]:
    """Classes with groups of their own, and the others; by how many tested photos have each class's tag, `[C]`."""
    # The more groups, the smaller the share of each, the more photos are needed: drop classes until all have enough.
    own = np.argsort(-counts, kind="stable").tolist()
    while own:
        groups = len(own) + (len(own) < len(counts))
        if counts[own[-1]] >= _OWN_GROUP * needed(precision, budget / groups):
            break
        own.pop()
    others = tuple(label for label in range(len(counts)) if label not in own)
    return [*((label,) for label in sorted(own)), *([others] if others else [])]


def _group(
    classes: tuple[str, ...], fitted: _Floats, confidence: _Floats, right: _Bools, precision: float, alpha: float
) -> Group:
    threshold = find_threshold(fitted, confidence, right, precision=precision, alpha=alpha)
    least = needed(precision, alpha)
    if threshold is None:
        return Group(classes, None, len(confidence), least)
    accepted = confidence >= threshold
    return Group(classes, threshold, len(confidence), least, int(accepted.sum()), int((accepted & right).sum()))
