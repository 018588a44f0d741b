"""What each epoch gave: `history.csv`, TensorBoard events and the curves of the challenge report's Figure 2."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gingham.storage import write_text

__all__ = ["Epoch", "EventWriter", "best_epoch", "columns", "write_history"]


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`. Losses are sums over attributes; accuracies are fractions; None = nothing labelled.

    Attributes:
        epoch: from 1.
        step: optimiser steps done at its end.
        learning_rate: of its last step.
        train_loss: mean over its optimiser steps, on augmented images, in training mode.
        train_mean_class_accuracy: over the whole epoch, on augmented images, in training mode.
        train_overall_accuracy: likewise.
        val_loss: over the whole validation split, with the training split's class weights.
        val_mean_class_accuracy: over the whole validation split.
        val_overall_accuracy: likewise.
        seconds: wall-clock time of training and validation (not reproducible).
    """

    epoch: int
    step: int
    learning_rate: float
    train_loss: float
    train_mean_class_accuracy: float | None
    train_overall_accuracy: float | None
    val_loss: float
    val_mean_class_accuracy: float | None
    val_overall_accuracy: float | None
    seconds: float


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The epoch with the highest validation mean class accuracy; the earliest of equals."""
    rated = [row for row in history if row.val_mean_class_accuracy is not None]
    return max(rated, key=lambda row: (row.val_mean_class_accuracy or 0.0, -row.epoch), default=None)


def columns(history: Sequence[Epoch]) -> dict[str, list[float]]:
    """The history by column, None as NaN."""
    return {
        field.name: [math.nan if (value := getattr(row, field.name)) is None else float(value) for row in history]
        for field in fields(Epoch)
    }


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write `history.csv` whole; floats round-trip exactly. Raises `MachineError` when the disk refuses."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=[field.name for field in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({name: "" if value is None else repr(value) for name, value in asdict(row).items()})
    write_text(path, buffer.getvalue())


class EventWriter:
    """Appends TensorBoard scalars to a folder, one step an epoch.

    A resumed run repeats epochs that it had not saved; viewers then show the later of two values.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def add(self, row: Epoch) -> None:
        """Append one epoch."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._writer = SummaryWriter(str(self._folder), purge_step=row.epoch)
        for name, value in asdict(row).items():
            if value is not None and name not in {"epoch", "step"}:
                group, _, rest = name.partition("_")
                self._writer.add_scalar(f"{group}/{rest}" if group in {"train", "val"} else name, value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
