"""The label table: what every reader returns and everything else starts from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["SPLITS", "LabelTable"]

SPLITS = ("train", "val", "test")
"""The names that a split may have, in the order in which they are listed."""


@dataclass(frozen=True, eq=False)
class LabelTable:
    """N images with their labels, splits and boxes.

    Attributes:
        schema: what the columns of `targets` mean.
        root: the folder that the image paths are relative to.
        images: N paths relative to `root`, with `/`; an absolute path stays as it was given.
        targets: int64 `[N, K]`, -1 = not labelled.
        splits: `train`, `val` or `test` for each image.
        boxes: float32 `[N, 4]`, `x1 y1 x2 y2` in pixels of the upright image, a row of NaN = no box; None = no boxes.
        source: the file or folder that the table was read from, for messages.

    Raises:
        DataError: arrays of different lengths, targets out of range, or an unknown split.
    """

    schema: AttributeSchema
    root: Path
    images: tuple[str, ...]
    targets: npt.NDArray[np.int64]
    splits: tuple[str, ...]
    boxes: npt.NDArray[np.float32] | None
    source: str

    def __post_init__(self) -> None:
        count = len(self.images)
        if self.targets.shape != (count, len(self.schema)):
            raise DataError(f"{self.source}: targets {self.targets.shape}, expected {(count, len(self.schema))}")
        if ((self.targets < UNLABELLED) | (self.targets >= np.array(self.schema.sizes))).any():
            raise DataError(f"{self.source}: a target is out of its attribute's range")
        if len(self.splits) != count:
            raise DataError(f"{self.source}: {len(self.splits)} splits for {count} images")
        if unknown := set(self.splits) - set(SPLITS):
            raise DataError(f"{self.source}: unknown split '{min(unknown)}'; expected one of {', '.join(SPLITS)}")
        if self.boxes is not None and self.boxes.shape != (count, 4):
            raise DataError(f"{self.source}: boxes {self.boxes.shape}, expected {(count, 4)}")

    def __len__(self) -> int:
        """Number of images, N."""
        return len(self.images)

    def path(self, index: int) -> Path:
        """Where the image of one row is."""
        return self.root / self.images[index]

    def paths(self) -> list[Path]:
        """Where the images are, N paths."""
        return [self.root / image for image in self.images]

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that have images, in the order train, val, test."""
        present = set(self.splits)
        return tuple(name for name in SPLITS if name in present)

    def split(self, name: str) -> "LabelTable":
        """The rows of one split, in order.

        Raises:
            DataError: the table has no such split; the message names those that there are.
        """
        rows = [row for row, split in enumerate(self.splits) if split == name]
        if not rows:
            raise DataError(f"{self.source}: no split '{name}'; there are {', '.join(self.split_names) or 'none'}")
        return self.take(rows)

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> "LabelTable":
        """The rows of these indices, in the order given. Raises `IndexError`."""
        rows = [int(index) for index in indices]
        return LabelTable(
            schema=self.schema,
            root=self.root,
            images=tuple(self.images[row] for row in rows),
            targets=self.targets[rows] if rows else self.targets[:0],
            splits=tuple(self.splits[row] for row in rows),
            boxes=None if self.boxes is None else (self.boxes[rows] if rows else self.boxes[:0]),
            source=self.source,
        )

    def with_splits(self, splits: Sequence[str]) -> "LabelTable":
        """The same images, split otherwise."""
        return replace(self, splits=tuple(splits))

    def counts(self) -> npt.NDArray[np.int64]:
        """How many images have each class, `[ΣC]`, in the order of the logits."""
        per_attribute = [
            np.bincount(column[column != UNLABELLED], minlength=size)
            for column, size in zip(self.targets.T, self.schema.sizes, strict=True)
        ]
        return np.concatenate(per_attribute).astype(np.int64)

    def with_schema(self, schema: AttributeSchema) -> "LabelTable":
        """The same labels as integers of another schema, matched by name.

        Args:
            schema: has the same attributes, in any order, and at least the same classes, in any order.

        Raises:
            SchemaError: it lacks an attribute or a class of this table, or has an attribute that the table has not.
        """
        if self.schema.fingerprint == schema.fingerprint:
            return self
        if set(schema.names) != set(self.schema.names) or any(
            set(attribute.classes) - set(schema[attribute.name].classes) for attribute in self.schema.attributes
        ):
            self.schema.require_same(schema, self.source, "the model")
        columns = []
        for attribute in schema.attributes:
            # One more entry at the end, so that -1 indexes it and stays -1.
            translation = [attribute.index[label] for label in self.schema[attribute.name].classes] + [UNLABELLED]
            column = self.targets[:, self.schema.names.index(attribute.name)]
            columns.append(np.array(translation, dtype=np.int64)[column])
        return LabelTable(
            schema, self.root, self.images, np.stack(columns, axis=1), self.splits, self.boxes, self.source
        )
