"""What a finished run leaves to be looked at: its predictions and its history."""

from pathlib import Path

from gingham.errors import BundleError
from gingham.predictions import Predictions
from gingham.training.folds import OUT_OF_FOLD
from gingham.training.history import HISTORY, read_history
from gingham.training.run import PREDICTIONS

__all__ = ["history_of", "predictions_of"]


def predictions_of(run: Path) -> Predictions:
    """A run's predictions of its validation photos; of all photos out of fold, if it is a folder of folds.

    Raises:
        BundleError: there are none (not a run, or not finished), or the file is damaged.
    """
    for name in (OUT_OF_FOLD, PREDICTIONS):
        if (run / name).is_file():
            return Predictions.from_parquet(run / name)
    raise BundleError(f"{run}: no {PREDICTIONS} in it; name a finished run, or a file of predictions")


def history_of(run: Path) -> dict[str, list[float]] | None:
    """The columns of a run's history; None of a bundle, or of a folder of several runs.

    Raises:
        BundleError: the file is damaged.
    """
    return read_history(run / HISTORY) if (run / HISTORY).is_file() else None
