"""Whether confidence means what it says: reliability in bins, proper scores, and accuracy against coverage.

All functions take plain arrays of one attribute's labelled images; what confidence is, is the caller's matter.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.evaluation.bootstrap import Interval, bootstrap_interval

__all__ = ["Reliability", "Score", "Scores", "brier", "calibration_scores", "nll", "reliability", "risk_coverage"]

_Floats = npt.NDArray[np.float64]

# Draws that are in memory at a time: 8 MiB of weights (or one resample, if that is more).
_DRAWS = 2**20


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy in B bins of (nearly) equally many images.

    Attributes:
        edges: `[B + 1]`, rising; a bin holds `edges[b] <= confidence < edges[b + 1]`, the last one its upper edge too.
        counts: int64 `[B]`, images of each bin, none 0.
        mean_confidence: `[B]`.
        accuracy: `[B]`, share of each bin's images that are right.
    """

    edges: _Floats
    counts: npt.NDArray[np.int64]
    mean_confidence: _Floats
    accuracy: _Floats

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |accuracy - mean confidence| over the bins, weighted by their images.

        Of the top class (Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3), but in bins of equal mass, whose
        bias is smaller (Roelofs et al. 2022, https://arxiv.org/abs/2012.08668). It is still biased upwards: see
        `ece_by_chance`.
        """
        return float(self.counts @ np.abs(self.accuracy - self.mean_confidence) / self.counts.sum())

    @property
    def ece_by_chance(self) -> float:
        """The ECE to expect on as many images if confidence were exactly right: noise alone, never 0.

        Each bin's mean of Bernoulli draws is taken as normal, so that the mean of its absolute deviation is
        sqrt(2 v / (π n)), where v = p (1 - p) of the bin's mean confidence p.
        """
        variances = self.mean_confidence * (1 - self.mean_confidence)
        return float(self.counts @ np.sqrt(2 * variances / (np.pi * self.counts)) / self.counts.sum())


def reliability(confidence: _Floats, right: npt.NDArray[np.bool_], *, bins: int = 15) -> Reliability:
    """Sort images into bins of equal mass by confidence.

    The edges are quantiles that images have; equal confidences share a bin, so that there may be fewer bins, and the
    order of the images has no effect.

    Args:
        confidence: `[n]`, 0..1, of the chosen class; at least one.
        right: `[n]`, whether the chosen class is the label.
        bins: how many at most.

    Raises:
        ValueError: there is no image.
    """
    if not len(confidence):
        raise ValueError("reliability of no image")
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1), method="inverted_cdf"))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    place = _places(confidence, edges)
    size = len(edges) - 1
    counts = np.bincount(place, minlength=size)
    kept = counts > 0
    sums = [np.bincount(place, values, minlength=size)[kept] / counts[kept] for values in (confidence, right)]
    return Reliability(np.append(edges[:-1][kept], edges[-1]), counts[kept].astype(np.int64), *sums)


def _places(confidence: _Floats, edges: _Floats) -> npt.NDArray[np.int64]:
    places: npt.NDArray[np.int64] = np.searchsorted(edges[1:-1], confidence, side="right").astype(np.int64)
    return places


def nll(probabilities: _Floats, targets: npt.NDArray[np.int64]) -> _Floats:
    """Negative log-likelihood of each image, `[n]`, in nats: probabilities `[n, C]`, targets `[n]` without -1."""
    likelihood = probabilities[np.arange(len(targets)), targets]
    losses: _Floats = -np.log(np.maximum(likelihood, np.finfo(np.float64).tiny))
    return losses


def brier(probabilities: _Floats, targets: npt.NDArray[np.int64]) -> _Floats:
    """Brier score of each image, `[n]`, 0..2: the squared distance to the label, over all classes (Brier 1950).

    Args:
        probabilities: `[n, C]`.
        targets: `[n]`, without -1.
    """
    losses: _Floats = ((probabilities - np.eye(probabilities.shape[1])[targets]) ** 2).sum(axis=1)
    return losses


def risk_coverage(confidence: _Floats, right: npt.NDArray[np.bool_]) -> tuple[_Floats, _Floats]:
    """Accuracy of the most confident share of images, for every share that a threshold can give.

    Args:
        confidence: `[n]`.
        right: `[n]`.

    Returns:
        coverage `[m]`, rising to 1, and the accuracy `[m]` of the images covered; m = number of different confidences
        (equal ones come together).
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, dtype=np.int64)
    hits = np.cumsum(right[order], dtype=np.float64)[ends]
    return (ends + 1) / max(1, len(ranked)), hits / (ends + 1)


@dataclass(frozen=True)
class Score:
    """A measured value; `ci95` = its 95% bootstrap interval over images, None if not asked for."""

    value: float
    ci95: Interval | None


@dataclass(frozen=True)
class Scores:
    """How well one attribute's probabilities fit its labels; all of them the lower the better.

    Attributes:
        n: labelled images.
        ece: expected calibration error of the chosen class, see `Reliability`.
        ece_by_chance: what of it a perfectly calibrated tagger would show.
        nll: mean negative log-likelihood, nats.
        brier: mean Brier score, 0..2.
    """

    n: int
    ece: Score
    ece_by_chance: float
    nll: Score
    brier: Score


def calibration_scores(
    probabilities: _Floats,
    targets: npt.NDArray[np.int64],
    tags: npt.NDArray[np.int64] | None = None,
    *,
    bins: int = 15,
    bootstrap: int = 2000,
    seed: int = 0,
) -> Scores:
    """ECE, NLL and Brier score with 95% bootstrap intervals over images.

    The ECE is biased upwards, and in resamples twice so: their percentiles would leave out an error of 0 always. Its
    interval is from value - q to value + 1.96 s, cut off at 0, with the bins held: q is the 97.5% quantile over
    resamples of the mean distance Σ_b |gap*_b - gap_b| by which the gaps of the bins move (no ECE can change by more:
    the lower end is safe, also where the true error is 0), s the standard deviation of the resamples' ECE.
    The intervals of the means are percentiles.

    Args:
        probabilities: `[n, C]`; at least one image.
        targets: `[n]`, without -1.
        tags: `[n]`, the chosen classes; None = the most probable.
        bins: of the ECE.
        bootstrap: number of resamples; 0 = no intervals.
        seed: of the resampling.
    """
    chosen = probabilities.argmax(axis=1) if tags is None else tags
    confidence, right = probabilities[np.arange(len(chosen)), chosen], chosen == targets
    diagram = reliability(confidence, right, bins=bins)
    # Of each image: what it adds to the gap of its bin, and its losses.
    place = _places(confidence, diagram.edges)
    gaps = np.eye(len(diagram.counts))[place] * (right - confidence)[:, None]
    parts = np.column_stack([gaps, nll(probabilities, targets), brier(probabilities, targets)])
    means = _resampled_means(parts, bootstrap, seed)
    return Scores(
        n=len(chosen),
        ece=Score(diagram.ece, _ece_interval(gaps.mean(axis=0), means[:, :-2])),
        ece_by_chance=diagram.ece_by_chance,
        nll=Score(float(parts[:, -2].mean()), bootstrap_interval(means[:, -2])),
        brier=Score(float(parts[:, -1].mean()), bootstrap_interval(means[:, -1])),
    )


def _resampled_means(parts: _Floats, bootstrap: int, seed: int) -> _Floats:
    """Means `[R, P]` of values `[n, P]` over resamples of the images."""
    generator, images = np.random.default_rng(seed), len(parts)
    means = np.empty((bootstrap, parts.shape[1]))
    step = max(1, _DRAWS // images)
    for start in range(0, bootstrap, step):
        size = min(step, bootstrap - start)
        weights = generator.multinomial(images, np.full(images, 1 / images), size=size)
        means[start : start + size] = weights @ parts / images
    return means


def _ece_interval(gaps: _Floats, resampled: _Floats) -> Interval | None:
    """Of gaps `[B]` (each weighted by its bin) and resampled ones `[R, B]`; see `calibration_scores`."""
    if not resampled.size:
        return None
    value = np.abs(gaps).sum()
    moved = np.quantile(np.abs(resampled - gaps).sum(axis=1), 0.975)
    deviation = np.abs(resampled).sum(axis=1).std()
    return max(0.0, float(value - moved)), float(value + 1.96 * deviation)
