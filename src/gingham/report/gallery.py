"""Which photos a report shows: the surest wrong tags, the least sure ones, the surest right ones."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.predictions import Predictions
from gingham.schema import UNLABELLED

__all__ = ["Gallery", "Shown", "choose"]

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """One tag of one photo.

    Attributes:
        id: of the photo.
        attribute: the tag's attribute, as a position in the schema.
        tag: the chosen class.
        confidence: its probability.
        truth: the label; None if there is none.
        truth_probability: the probability of the label's class; None if there is none.
        second: the next best class.
        second_probability: of that class.
    """

    id: str
    attribute: int
    tag: str
    confidence: float
    truth: str | None
    truth_probability: float | None
    second: str
    second_probability: float


@dataclass(frozen=True)
class Gallery:
    """The photos of a report, each kind in the order in which it is to be looked at.

    Attributes:
        wrong: the surest wrong tags.
        unsure: the least sure tags, right or wrong, labelled or not.
        sure: the surest right tags; of photos without labels, the surest.
        wrong_in_all: how many wrong tags there are.
    """

    wrong: tuple[Shown, ...]
    unsure: tuple[Shown, ...]
    sure: tuple[Shown, ...]
    wrong_in_all: int

    @property
    def all(self) -> tuple[Shown, ...]:
        """All of them, the wrong ones first."""
        return self.wrong + self.unsure + self.sure


def choose(
    predictions: Predictions,
    *,
    calibrated: _Floats | None = None,
    wrong: int = 20,
    unsure: int = 10,
    sure: int = 10,
) -> Gallery:
    """Choose tags to show: of each photo at most one of a kind, of each attribute about equally many.

    Args:
        predictions: labelled or not.
        calibrated: calibrated probabilities `[N, ΣC]`, if confidence shall be theirs.
        wrong: how many of the surest wrong tags at most.
        unsure: how many of the least sure.
        sure: how many of the surest right ones.
    """
    probabilities = predictions.probabilities if calibrated is None else calibrated
    tags = predictions.predicted
    parts = predictions.schema.slices
    rows = np.arange(len(predictions))
    confidence = np.stack([probabilities[rows, part.start + tags[:, k]] for k, part in enumerate(parts)], axis=1)
    targets = np.full(tags.shape, UNLABELLED) if predictions.targets is None else predictions.targets
    known = targets != UNLABELLED
    is_wrong = known & (targets != tags)
    is_right = known & (targets == tags) if known.any() else np.ones_like(known)

    def shown(chosen: npt.NDArray[np.bool_], rank: _Floats, most: int) -> tuple[Shown, ...]:
        entries = sorted((rank[row, k], predictions.ids[row], k, row) for row, k in np.argwhere(chosen).tolist())
        return tuple(
            _shown(predictions, probabilities, targets, row, k) for row, k in _spread(entries, most, len(parts))
        )

    return Gallery(
        shown(is_wrong, -confidence, wrong),
        shown(np.ones_like(known), confidence, unsure),
        shown(is_right, -confidence, sure),
        int(is_wrong.sum()),
    )


def _spread(entries: Iterable[tuple[float, str, int, int]], most: int, attributes: int) -> list[tuple[int, int]]:
    """The first ones as (row, attribute), at most one a photo and ⌈most / attributes⌉ an attribute."""
    share = -(-most // attributes)
    used: Counter[int] = Counter()
    photos: set[int] = set()
    chosen: list[tuple[int, int]] = []
    for _, _, attribute, row in entries:
        if len(chosen) == most:
            break
        if row in photos or used[attribute] == share:
            continue
        chosen.append((row, attribute))
        photos.add(row)
        used[attribute] += 1
    return chosen


def _shown(predictions: Predictions, probabilities: _Floats, targets: npt.NDArray[np.int64], row: int, k: int) -> Shown:
    attribute, part = predictions.schema.attributes[k], predictions.schema.slices[k]
    own = probabilities[row, part]
    tag = int(predictions.logits[row, part].argmax())
    second = int(np.where(np.arange(len(own)) == tag, -1.0, own).argmax())
    truth = int(targets[row, k])
    return Shown(
        id=predictions.ids[row],
        attribute=k,
        tag=attribute.classes[tag],
        confidence=float(own[tag]),
        truth=None if truth == UNLABELLED else attribute.classes[truth],
        truth_probability=None if truth == UNLABELLED else float(own[truth]),
        second=attribute.classes[second],
        second_probability=float(own[second]),
    )
