"""Right and wrong answers of a batch, counted in a few array operations: there is one such count in every step."""

import numpy as np
import numpy.typing as npt

from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["Counter"]

Integers = npt.NDArray[np.int64]


class Counter:
    """Counts for one schema. What `evaluation.metrics.confusion_matrices` does, without its checks.

    Attributes:
        size: of all matrices together.

    Args:
        schema: what logits and targets mean.
    """

    def __init__(self, schema: AttributeSchema) -> None:
        self._sizes = np.array(schema.sizes, dtype=np.int64)
        self._ends = np.cumsum(self._sizes**2)
        self.size = int(self._ends[-1])
        widest = np.arange(self._sizes.max())
        self._absent = widest >= self._sizes[:, None]
        starts = np.array([part.start for part in schema.slices], dtype=np.int64)
        self._columns = np.where(self._absent, 0, starts[:, None] + widest)

    def best(self, logits: npt.NDArray[np.float32]) -> Integers:
        """The best class of each attribute, int64 `[B, K]`, of logits `[B, ΣC]`."""
        padded = logits[:, self._columns]
        padded[:, self._absent] = -np.inf
        best: Integers = padded.argmax(axis=2)
        return best

    def count(self, targets: Integers, predicted: Integers) -> Integers:
        """The confusion matrices of targets and predictions `[B, K]`, one after the other, each row by row."""
        cells = self._ends - self._sizes**2 + targets * self._sizes + predicted
        return np.bincount(cells[targets != UNLABELLED], minlength=self.size)

    def matrices(self, counts: Integers) -> list[Integers]:
        """What `count` gave, as one matrix `[C_k, C_k]` an attribute."""
        parts = np.split(counts, self._ends[:-1])
        return [part.reshape(size, size) for part, size in zip(parts, self._sizes.tolist(), strict=True)]
