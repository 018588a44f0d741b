"""What each epoch gave: `history.csv`, TensorBoard events and the curves of the challenge report's Figure 2."""

import csv
import io
import math
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from gingham.errors import BundleError, one_line
from gingham.storage import machine_errors, write_text
from gingham.training.options import Choose

__all__ = [
    "HISTORY",
    "Epoch",
    "EventWriter",
    "best_epoch",
    "chosen_epoch",
    "columns",
    "epochs_without_better",
    "read_history",
    "write_history",
]

HISTORY = "history.csv"
"""A run's history, in its folder."""


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


def chosen_epoch(history: Sequence[Epoch], choose: Choose) -> Epoch | None:
    """The epoch so far whose weights become the model: `best_epoch`, or the last one."""
    return best_epoch(history) if choose == "best" else history[-1] if history else None


def epochs_without_better(history: Sequence[Epoch]) -> int:
    """How many epochs have gone by since the best one; all of them, if none could be rated."""
    best = best_epoch(history)
    return len(history) - (best.epoch if best else 0)


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


def read_history(path: Path) -> dict[str, list[float]]:
    """What `write_history` wrote, by column as `columns` has it.

    Raises:
        BundleError: it is not there, or was not written so.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = [field.name for field in fields(Epoch)]
            if missing := set(names) - set(reader.fieldnames or ()):
                raise ValueError(f"no column '{min(missing)}'")
            rows = [{name: float(row[name] or math.nan) for name in names} for row in reader]
    except (OSError, ValueError, TypeError, csv.Error) as failure:
        raise BundleError(f"{path}: not a run's history ({one_line(failure)})") from None
    return {name: [row[name] for row in rows] for name in names}


class EventWriter:
    """Appends TensorBoard scalars to one file a process, one step an epoch.

    A resumed run repeats epochs that it had not saved; viewers then show the later of two values.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: Path | None = None

    def add(self, row: Epoch) -> None:
        """Append one epoch, in one write.

        Raises:
            MachineError: the disk is full or refuses.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # slow to import
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        now = time.time()
        events = []
        if self._file is None:
            self._file = self._folder / f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}"
            restart = SessionLog(status=SessionLog.START)
            events += [Event(wall_time=now, file_version="brain.Event:2")]
            events += [Event(wall_time=now, step=row.epoch, session_log=restart)]
        values = []
        for name, value in asdict(row).items():
            if value is not None and name not in {"epoch", "step"}:
                group, _, rest = name.partition("_")
                tag = f"{group}/{rest}" if group in {"train", "val"} else name
                values.append(Summary.Value(tag=tag, simple_value=value))
        events.append(Event(wall_time=now, step=row.epoch, summary=Summary(value=values)))
        buffer = io.BytesIO()
        writer = RecordWriter(buffer)
        for event in events:
            writer.write(event.SerializeToString())
        with machine_errors(self._file):
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._file.open("ab") as stream:
                stream.write(buffer.getvalue())
