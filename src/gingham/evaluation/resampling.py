"""Resamples of images: how many examples and hits each class has when N of N images are drawn with replacement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.errors import UserError
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["Resamples", "accuracy", "count", "mean_recall", "resample"]

_Floats = npt.NDArray[np.float64]

# Draws that are in memory at a time: 8 MiB of indices (or one resample, if that is more).
_DRAWS = 2**20


def mean_recall(hits: _Floats, totals: _Floats) -> _Floats:
    """Mean class accuracy: the plain mean of the recalls of the classes that have examples.

    Args:
        hits: `[..., C]`, examples of each class that were predicted right.
        totals: `[..., C]` (or broadcastable), examples of each class.

    Returns:
        `[...]`, 0..1; NaN where no class has an example.
    """
    hits, totals = np.broadcast_arrays(hits, totals)
    present = totals > 0
    recalls = np.divide(hits, totals, out=np.zeros(hits.shape), where=present)
    return _ratio(recalls.sum(axis=-1), present.sum(axis=-1, dtype=np.float64))


def accuracy(hits: _Floats, totals: _Floats) -> _Floats:
    """Share of the labels that were predicted right.

    Args:
        hits: `[..., C]`, examples of each class that were predicted right.
        totals: `[..., C]` (or broadcastable), examples of each class.

    Returns:
        `[...]`, 0..1; NaN where there is no example.
    """
    hits, totals = np.broadcast_arrays(hits, totals)
    return _ratio(hits.sum(axis=-1), totals.sum(axis=-1))


def _ratio(above: _Floats, below: _Floats) -> _Floats:
    quotient: _Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return quotient


@dataclass(frozen=True)
class Resamples:
    """Class counts of R resamples of the same images.

    Attributes:
        hits: for each system, float64 `[R, ΣC]`: examples of each class that it predicted right.
        totals: float64 `[R, ΣC]`: examples of each class; 0 where a resample has none.
    """

    hits: tuple[_Floats, ...]
    totals: _Floats


def count(targets: npt.NDArray[np.int64], right: Sequence[npt.NDArray[np.bool_]], schema: AttributeSchema) -> Resamples:
    """The class counts of the images themselves, each taken once: as `resample`, with one row and nothing drawn."""
    outcomes = _outcomes(targets, right)
    tallies = [_tally(outcomes[None, :, attribute], len(right), size) for attribute, size in enumerate(schema.sizes)]
    counts = np.concatenate(tallies, axis=2, dtype=np.float64)
    return Resamples(tuple(counts[1:]), counts[0])


def resample(
    targets: npt.NDArray[np.int64],
    right: Sequence[npt.NDArray[np.bool_]],
    schema: AttributeSchema,
    *,
    bootstrap: int,
    seed: int,
) -> Resamples:
    """Draw N of N images with replacement, `bootstrap` times, and count examples and hits of each class.

    Time grows with R x N x K; memory does not grow with R x N.

    Args:
        targets: int64 `[N, K]`, -1 = not labelled.
        right: for each system, bool `[N, K]`: predicted right.
        schema: what the columns mean.
        bootstrap: R, the number of resamples.
        seed: of the generator; equal seeds and equal images in equal order give equal counts.

    Raises:
        UserError: a negative number of resamples.
    """
    if bootstrap < 0:
        raise UserError(f"bootstrap: {bootstrap} resamples asked for; give a positive number, or 0 for no intervals")
    images = len(targets)
    # One attribute's outcomes side by side in memory: gathering them is most of the work.
    outcomes = np.ascontiguousarray(_outcomes(targets, right).T)
    counts = np.empty((1 + len(right), bootstrap, schema.total))
    generator = np.random.default_rng(seed)
    step = max(1, _DRAWS // images)
    for start in range(0, bootstrap, step):
        piece = slice(start, min(start + step, bootstrap))
        drawn = generator.integers(images, size=(piece.stop - start, images))
        for attribute, part in enumerate(schema.slices):
            counts[:, piece, part] = _tally(outcomes[attribute][drawn], len(right), part.stop - part.start)
    return Resamples(tuple(counts[1:]), counts[0])


def _outcomes(targets: npt.NDArray[np.int64], right: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int64]:
    """Number every label and what became of it, `[N, K]`: target + 1, then one bit for each system that is right."""
    outcomes = targets - UNLABELLED
    for hits in right:
        outcomes = 2 * outcomes + hits
    return outcomes


def _tally(outcomes: npt.NDArray[np.int64], systems: int, classes: int) -> npt.NDArray[np.int64]:
    """Count the examples, then each system's hits, of each class in every row of outcomes: `[1 + systems, R, C]`.

    Counting instead of a product of matrices: as fast here, exact, and at peace with other threads on a busy machine.
    """
    rows, width = len(outcomes), (classes + 1) * 2**systems
    offsets = width * np.arange(rows)[:, None]
    tally = np.bincount((outcomes + offsets).ravel(), minlength=rows * width)
    # Axes: row, class (the first one is "not labelled"), wrong or right of each system.
    tally = tally.reshape(rows, classes + 1, *[2] * systems)[:, 1:]
    bits = tuple(range(2, 2 + systems))
    hits = [tally.take(1, axis=bit).sum(axis=tuple(range(2, 1 + systems))) for bit in bits]
    return np.stack([tally.sum(axis=bits), *hits])
