"""Repeated sampling of images with rare classes."""

import numpy as np
import numpy.typing as npt

from gingham.data.table import LabelTable
from gingham.errors import RecipeError
from gingham.schema import UNLABELLED
from gingham.training.order import Indices

__all__ = ["appearances", "epoch_size", "repeat_factors"]

Factors = npt.NDArray[np.float64]


def repeat_factors(table: LabelTable, threshold: float | None) -> Factors:
    """How often each training image comes in an epoch, on average (Gupta, Dollár & Girshick 2019, LVIS).

    A class with a share f of the images has the factor `max(1, sqrt(threshold / f))`; an image has that of the rarest
    of its classes, over all attributes.

    Args:
        table: training images and targets.
        threshold: classes with a smaller share are repeated; None = none are.

    Returns:
        `[N]`, 1 or more.

    Raises:
        RecipeError: no class is so rare: nothing would be repeated.
    """
    factors = np.ones(len(table))
    if threshold is None:
        return factors
    shares = table.counts() / len(table)
    rarest = min(((share, column) for share, column in zip(shares, table.schema.columns, strict=True) if share))
    if rarest[0] >= threshold:
        raise RecipeError(
            f"train.repeat_rare: no class is rarer than {threshold:.4g}: the rarest, {rarest[1]}, has a share of "
            f"{rarest[0]:.4g}, so nothing would be repeated; set more than that, or null"
        )
    # The share of a class that no image has is used by none.
    by_class = np.sqrt(np.maximum(1, threshold / np.where(shares > 0, shares, 1)))
    for part, targets in zip(table.schema.slices, table.targets.T, strict=True):
        factors = np.maximum(factors, np.where(targets != UNLABELLED, by_class[part][targets], 1))
    return factors


def epoch_size(factors: Factors) -> int:
    """Samples in an epoch: the sum of the factors, rounded down, so that every epoch has as many steps."""
    return int(np.floor(factors).sum()) + _extra(factors)


def appearances(factors: Factors, seed: int, epoch: int) -> Indices:
    """The samples of one epoch, `[epoch_size]`, in order: a pure function of its arguments.

    Each image comes as often as its factor says, rounded down or up, by chance in proportion to what is rounded. Which
    ones are rounded up is drawn by systematic sampling (Madow 1949) in random order: the fractions are laid side by
    side, and each that holds one of the equally spaced marks is rounded up. So as many are in every epoch.

    Args:
        factors: of `repeat_factors`.
        seed: of the run.
        epoch: from 0.

    Returns:
        Row r of the table as r, and its k-th repetition as `r + k N`.
    """
    times = np.floor(factors).astype(np.int64)
    if extra := _extra(factors):
        rng = np.random.default_rng([seed, epoch, 0x2EAE])
        order = rng.permutation(len(factors))
        ends = np.cumsum((factors - times)[order])
        ends *= extra / ends[-1]
        ends[-1] = extra
        marks = np.floor(ends + rng.random()).astype(np.int64)
        times[order] += np.diff(marks, prepend=0)
    rows = np.repeat(np.arange(len(factors)), times)
    repetition = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    return np.asarray(rows + repetition * len(factors), dtype=np.int64)


def _extra(factors: Factors) -> int:
    """How many images are rounded up. A whole number stays one, in spite of the rounding of its summands."""
    return int((factors - np.floor(factors)).sum() + 1e-6)
