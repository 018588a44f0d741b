"""Which photos an export is checked on, and which others its ranges come from."""

from typing import NamedTuple

import numpy as np

from gingham.data.table import LabelTable
from gingham.errors import UserError

__all__ = ["Photos", "choose_photos"]

_CHECKED = 1000
_CALIBRATING = 300
_TUNING = 300
_LEAST = 8
_SEED = 0


class Photos(NamedTuple):
    """Parts of a table that have no row in common.

    Attributes:
        checked: what the bounds are judged on.
        calibrating: ranges of activations come from them; None where nothing is quantised.
        tuning: the care of quantisation is chosen on them; likewise.
    """

    checked: LabelTable
    calibrating: LabelTable | None = None
    tuning: LabelTable | None = None


def choose_photos(table: LabelTable, split: str, *, quantised: bool) -> Photos:
    """At most 1,000 photos of a split, and where weights are quantised twice 300 others: of the training split.

    If the split is the training split itself, or there is none, the others are what is left of the split. Which photos
    are taken is drawn at random, always alike.

    Raises:
        DataError: there is no such split.
        UserError: not enough photos are left to quantise with.
    """
    mine = table.split(split)
    order = np.random.default_rng(_SEED).permutation(len(mine))
    from_training = split != "train" and "train" in table.split_names
    share = _CHECKED if from_training or not quantised else min(_CHECKED, len(mine) // 2)
    checked = mine.take(np.sort(order[:share]))
    if not quantised:
        return Photos(checked)
    if from_training:
        others = table.split("train")
        order = np.random.default_rng(_SEED).permutation(len(others))
    else:
        others, order = mine, order[share:]
    if len(order) < _LEAST:
        raise UserError(
            f"{table.source}: int8 takes at least {_LEAST} photos besides the {len(checked)} that it is checked on, "
            f"and there are {len(order)}; give more photos"
        )
    half = min(_CALIBRATING, len(order) // 2)
    return Photos(checked, others.take(order[:half]), others.take(order[half : half + _TUNING]))
