"""Which photos an export is checked on, and which others its ranges come from."""

from typing import Literal, NamedTuple

import numpy as np

from gingham.data.table import LabelTable
from gingham.errors import UserError

__all__ = ["Care", "Photos", "choose_photos", "for_care"]

Care = Literal["none", "tuned", "quantised"]

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
        tuning: how much stays in float32 is chosen on them; None where nothing is to choose, or there are too few.
    """

    checked: LabelTable
    calibrating: LabelTable | None = None
    tuning: LabelTable | None = None


def for_care(runtime: str, precision: str) -> Care:
    """What an export needs photos for, besides its check."""
    if precision == "int8":
        return "quantised"
    return "tuned" if (runtime, precision) == ("torch", "bf16") else "none"


def choose_photos(table: LabelTable, split: str, care: Care) -> Photos:
    """At most 1,000 photos of a split, and where weights are quantised twice 300 others: of the training split.

    If the split is the training split itself, or there is none, the others are what is left of the split. Which photos
    are taken is drawn at random, always alike.

    Args:
        table: of all photos.
        split: what is checked.
        care: `quantised`: photos for ranges and for tuning; `tuned`: for tuning, if there are enough; `none`.

    Raises:
        DataError: there is no such split.
        UserError: not enough photos are left to quantise with.
    """
    mine = table.split(split)
    order = np.random.default_rng(_SEED).permutation(len(mine))
    from_training = split != "train" and "train" in table.split_names
    share = _CHECKED if from_training or care == "none" else min(_CHECKED, len(mine) // 2)
    checked = mine.take(np.sort(order[:share]))
    if care == "none":
        return Photos(checked)
    if from_training:
        others = table.split("train")
        order = np.random.default_rng(_SEED).permutation(len(others))
    else:
        others, order = mine, order[share:]
    if care == "tuned":
        # Two halves of a few photos tell less than all of them.
        if len(order) < _LEAST:
            return choose_photos(table, split, "none")
        return Photos(checked, None, others.take(order[:_TUNING]))
    if len(order) < _LEAST:
        raise UserError(
            f"{table.source}: int8 takes at least {_LEAST} photos besides the {len(checked)} that it is checked on, "
            f"and there are {len(order)}; give more photos"
        )
    half = min(_CALIBRATING, len(order) // 2)
    return Photos(checked, others.take(order[:half]), others.take(order[half : half + _TUNING]))
