import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from gingham.errors import BundleError
from gingham.training.history import (
    Epoch,
    EventWriter,
    best_epoch,
    chosen_epoch,
    columns,
    read_history,
    write_history,
)

_ROW = Epoch(1, 10, 1e-4, 2.5, 0.25, 0.5, 2.25, 0.1 + 0.2, 0.5, 3.0)


def test_the_best_epoch_is_the_earliest_of_the_highest() -> None:
    rates = [0.3, None, 0.5, 0.5, 0.4]
    history = [replace(_ROW, epoch=number, val_mean_class_accuracy=rate) for number, rate in enumerate(rates, start=1)]
    best = best_epoch(history)
    assert best is not None
    assert best.epoch == 3
    assert best_epoch([]) is None
    assert best_epoch([history[1]]) is None


def test_the_chosen_epoch_is_the_best_or_the_last() -> None:
    history = [replace(_ROW, epoch=number, val_mean_class_accuracy=rate) for number, rate in ((1, 0.5), (2, None))]
    assert chosen_epoch(history, "best") is history[0]
    assert chosen_epoch(history, "last") is history[1]
    assert chosen_epoch(history[1:], "best") is None
    assert chosen_epoch([], "last") is None


def test_csv_holds_the_exact_numbers(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [_ROW, replace(_ROW, epoch=2, val_mean_class_accuracy=None)])
    with (tmp_path / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[0]["val_mean_class_accuracy"]) == 0.1 + 0.2
    assert rows[1]["val_mean_class_accuracy"] == ""
    assert list(rows[0]) == list(columns([_ROW]))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    history = [_ROW, replace(_ROW, epoch=2, val_mean_class_accuracy=None)]
    write_history(tmp_path / "history.csv", history)
    read, known = read_history(tmp_path / "history.csv"), columns(history)
    assert list(read) == list(known)
    for name, values in known.items():
        assert read[name] == pytest.approx(values, abs=0, nan_ok=True)


@pytest.mark.parametrize("content", ["epoch\n1\n", "epoch,step\nx,y\n", "\0"])
def test_a_damaged_history_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(BundleError, match=r"history\.csv: not a run's history"):
        read_history(tmp_path / "history.csv")


def test_columns_have_nan_where_nothing_is_known() -> None:
    assert math.isnan(columns([replace(_ROW, val_mean_class_accuracy=None)])["val_mean_class_accuracy"][0])


def test_events_can_be_read_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = EventWriter(tmp_path)
    writer.add(_ROW)
    writer.add(replace(_ROW, epoch=2, train_loss=2.0))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(1, 2.5), (2, 2.0)]
    assert "val/mean_class_accuracy" in events.Tags()["scalars"]
