"""The part of predictions that can be scored: the images with at least one label."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.predictions import Predictions
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["Labelled", "labelled_part"]


@dataclass(frozen=True)
class Labelled:
    """The images with at least one label, sorted by id.

    Sorted, so that nothing computed from them depends on the order in which images were read.

    Attributes:
        schema: what the columns mean.
        ids: N names.
        targets: int64 `[N, K]`, -1 = not labelled; no row is wholly -1.
        predicted: int64 `[N, K]`, the best class of each attribute.
    """

    schema: AttributeSchema
    ids: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Bool `[N, K]`: labelled, and predicted so."""
        right: npt.NDArray[np.bool_] = self.targets == self.predicted
        return right


def labelled_part(predictions: Predictions, name: str = "the predictions") -> Labelled:
    """Take the images with at least one label.

    Args:
        predictions: any predictions.
        name: what they are called in the message of an error.

    Raises:
        DataError: no targets, no label at all, or a logit that is NaN (whose best class would be meaningless).
    """
    if predictions.targets is None:
        raise DataError(f"{name}: there are no targets to measure against; predict on a labelled split")
    order = sorted(range(len(predictions)), key=predictions.ids.__getitem__)
    has_label = (predictions.targets != UNLABELLED).any(axis=1)
    order = [row for row in order if has_label[row]]
    if not order:
        raise DataError(f"{name}: none of the {len(predictions)} images has a label; predict on a labelled split")
    unusable = np.isnan(predictions.logits[order]).any(axis=1)
    if unusable.any():
        first = predictions.ids[order[int(unusable.argmax())]]
        raise DataError(
            f"{name}: the logits of {int(unusable.sum())} images are NaN, first '{first}': "
            "the model has diverged; train again with a lower learning rate"
        )
    return Labelled(
        predictions.schema,
        tuple(predictions.ids[row] for row in order),
        predictions.targets[order],
        predictions.predicted[order],
    )
