"""A number for each class that is added to its logits, so that rare classes get their due: fitted after training.

A network that saw few examples of a class rarely names it. The mean class accuracy counts all classes alike, and some
offset of the logits serves it best. Theory has one: minus the logarithm of the class's frequency, times a strength τ
(Menon et al. 2021, https://arxiv.org/abs/2007.07314, section 4.1, "post-hoc logit adjustment"). That is right for a
calibrated network trained with plain cross-entropy, and one number τ cannot put right a network that is neither. Here
each class has an offset of its own, which maximises the mean class accuracy itself, smoothed. On simulated predictions
(tests/evaluation/test_prior.py) that is never much worse than the best τ, and far better where classes are biased
otherwise than by their frequency.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.evaluation.labelled import labelled_part
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = ["cross_fitted", "fit_prior", "folds_of", "with_offsets"]

_Floats = npt.NDArray[np.float64]

_SMOOTHING = 0.2
"""Width of the smoothed step from wrong to right, as a share of the spread of an image's logits. Wider, and the fit
serves probabilities instead of decisions; narrower, and it serves single images."""

_PRIOR_EXAMPLES = 1.0
"""Weight of the pull towards 0: a class with n examples feels it as 1/n, so that few examples move an offset little."""

_STEPS = 200
_RANDOM_FOLDS = 5


def fit_prior(predictions: Predictions) -> _Floats:
    """Offsets to add to the logits, chosen so that the mean class accuracy of these predictions becomes greatest.

    For each attribute, over the offsets b in units of the smoothing width T, gradient ascent from 0 on

        mean over classes c of [ mean over c's examples of softmax(z / T + b)_c  -  b_c² / (2 n_c) ]

    Classes without an example keep 0, and so does an attribute without labels. Images without labels have no effect,
    nor has a constant added to all of an image's logits of one attribute.

    Args:
        predictions: of labelled images that none of the models was trained on.

    Returns:
        float64 `[ΣC]`, in logits. Measuring on the same images what they bring would flatter: see `cross_fitted`.

    Raises:
        DataError: there is no label at all, or logits are NaN.
    """
    labelled_part(predictions)
    assert predictions.targets is not None
    offsets = np.zeros(predictions.schema.total)
    for attribute, part in enumerate(predictions.schema.slices):
        targets = predictions.targets[:, attribute]
        rows = targets != UNLABELLED
        if rows.any():
            offsets[part] = _fit(predictions.logits[rows, part].astype(np.float64), targets[rows])
    return offsets


def with_offsets(predictions: Predictions, offsets: _Floats) -> Predictions:
    """The same predictions with offsets `[ΣC]`, or `[N, ΣC]`, added to their logits."""
    logits = (predictions.logits + offsets).astype(np.float32)
    return Predictions(
        predictions.schema, predictions.ids, logits, predictions.targets, predictions.columns, predictions.source
    )


def cross_fitted(predictions: Predictions, folds: npt.NDArray[Any]) -> Predictions:
    """Correct each fold with the offsets that were fitted on all others, so that nothing is fitted on what is scored.

    Args:
        predictions: of labelled images that the models were not trained on.
        folds: `[N]`, the fold of each image, any values. Near-duplicates must share one, as they do in the column
            `fold` of out-of-fold predictions.

    Raises:
        DataError: the labelled images are all in one fold, or as for `fit_prior`.
    """
    offsets = np.empty((len(predictions), predictions.schema.total))
    for fold in np.unique(folds):
        inside = folds == fold
        others = _rows(predictions, ~inside)
        if others.targets is None or not (others.targets != UNLABELLED).any():
            raise DataError(f"prior correction: all labelled images are in fold {fold}; two folds are needed at least")
        offsets[inside] = fit_prior(others)
    return with_offsets(predictions, offsets)


def folds_of(predictions: Predictions) -> tuple[npt.NDArray[np.int64], str]:
    """The folds of predictions, and where they are from, in words: the column `fold`, or else drawn at random.

    At random, images are dealt by their rarest class, so that every fold has its share of each. A function of the
    images' names and labels; images without labels change nothing for the others.

    Raises:
        DataError: the column is there but does not hold whole numbers, or fewer than two different ones.
    """
    column = predictions.columns.get("fold")
    if column is None:
        return _random_folds(predictions), f"{_RANDOM_FOLDS} random folds"
    if column.dtype.kind not in "iu" or len(np.unique(column)) < 2:
        raise DataError(
            "prior correction: the predictions' column 'fold' must hold two or more different whole numbers"
        )
    return column.astype(np.int64), f"the {len(np.unique(column))} folds of the predictions"


def _fit(logits: _Floats, targets: npt.NDArray[np.int64]) -> _Floats:
    """One attribute: float64 `[n, C]`, int64 `[n]` without -1 -> `[C]`. Steps grow while they help, and shrink else."""
    counts = np.bincount(targets, minlength=logits.shape[1])
    width = _SMOOTHING * float(logits.std(axis=1).mean())
    if not 0 < width < np.inf:
        return np.zeros(len(counts))
    scaled, present = logits / width, counts > 0
    weights = (1 / np.maximum(counts, 1) / present.sum())[targets]
    pull = _PRIOR_EXAMPLES * present / np.maximum(counts, 1) / present.sum()

    def measure(offsets: _Floats) -> tuple[float, _Floats]:
        """The objective, and its gradient `[C]`."""
        shifted = scaled + offsets
        shares = np.exp(shifted - shifted.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        right = weights * shares[np.arange(len(targets)), targets]
        gradient = np.bincount(targets, right, minlength=len(counts)) - right @ shares - pull * offsets
        return float(right.sum() - (pull * offsets**2).sum() / 2), np.where(present, gradient, 0.0)

    offsets = np.zeros(len(counts))
    value, gradient = measure(offsets)
    step = 1.0
    for _ in range(_STEPS):
        new = offsets + step * gradient
        new_value, new_gradient = measure(new)
        if new_value <= value:
            step /= 4
            continue
        gained = new_value - value
        offsets, value, gradient, step = new, new_value, new_gradient, 2 * step
        if gained < 1e-7:
            break
    return width * offsets


def _rows(predictions: Predictions, chosen: npt.NDArray[np.bool_]) -> Predictions:
    """Some of the images, without their further columns."""
    return Predictions(
        predictions.schema,
        tuple(name for name, kept in zip(predictions.ids, chosen, strict=True) if kept),
        predictions.logits[chosen],
        None if predictions.targets is None else predictions.targets[chosen],
    )


def _random_folds(predictions: Predictions) -> npt.NDArray[np.int64]:
    if predictions.targets is None:
        return np.zeros(len(predictions), dtype=np.int64)
    counts = [np.bincount(column[column != UNLABELLED]) for column in predictions.targets.T]

    def place(name: str, targets: npt.NDArray[np.int64]) -> tuple[Any, ...]:
        classes = [(counts[k][c], k, c) for k, c in enumerate(targets.tolist()) if c != UNLABELLED]
        # Images without labels come last: dealing them moves no other.
        return not classes, min(classes, default=()), hashlib.sha256(name.encode("utf-8", "replace")).digest()

    places = [place(name, row) for name, row in zip(predictions.ids, predictions.targets, strict=True)]
    order = sorted(range(len(places)), key=places.__getitem__)
    folds = np.empty(len(order), dtype=np.int64)
    folds[order] = np.arange(len(order)) % _RANDOM_FOLDS
    return folds
