"""The learning curves: the file is a whole PNG that shows what it must, whatever the history lacks."""

import math
import threading
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from gingham.errors import DataError
from gingham.evaluation.curves import best_epoch, plot_curves

NAMES = ("train_loss", "val_loss", "train_mean_class_accuracy", "val_mean_class_accuracy")


def _history(epochs: int) -> dict[str, list[float | None]]:
    generator = np.random.default_rng(0)
    numbers = np.arange(1, epochs + 1)
    noise = generator.normal(0, 0.01, (2, epochs))
    return {
        "epoch": numbers.tolist(),
        "train_loss": (8 * np.exp(-numbers / 8) + 0.5).tolist(),
        "val_loss": (6 * np.exp(-numbers / 6) + 2 + noise[0]).tolist(),
        "train_mean_class_accuracy": (1 - 0.7 * np.exp(-numbers / 9)).tolist(),
        "val_mean_class_accuracy": (0.7 - 0.4 * np.exp(-numbers / 5) + noise[1]).tolist(),
        "learning_rate": [0.1] * epochs,
    }


def _has_colour(path: Path, hexadecimal: str) -> bool:
    wanted = np.array([int(hexadecimal[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    pixels = image.imread(path)[..., :3]
    return bool((np.abs(pixels - wanted).max(axis=-1) < 0.01).sum() > 50)


@pytest.mark.parametrize("epochs", [1, 50])
def test_draws_both_splits(tmp_path: Path, epochs: int):
    path = tmp_path / "new" / "curves.png"
    plot_curves(_history(epochs), path, title="50% of $5_000 photos")
    assert image.imread(path).shape == (840, 2000, 4)
    assert _has_colour(path, "#0072B2")
    assert _has_colour(path, "#D55E00")
    assert [file.name for file in path.parent.iterdir()] == ["curves.png"]


def test_value_between_gaps_is_drawn(tmp_path: Path):
    history = _history(50)
    for name in NAMES:
        history[name] = [
            value if number % 2 else (None, math.nan, math.inf)[number % 3]
            for number, value in enumerate(history[name])
        ]
    plot_curves(history, tmp_path / "gaps.png")
    assert _has_colour(tmp_path / "gaps.png", "#0072B2")
    assert _has_colour(tmp_path / "gaps.png", "#D55E00")


@pytest.mark.parametrize("epochs", [0, 3])
def test_history_without_values_still_gives_a_figure(tmp_path: Path, epochs: int):
    history = {"epoch": list(range(epochs)), **{name: [None] * epochs for name in NAMES}}
    plot_curves(history, tmp_path / "empty.png")
    assert image.imread(tmp_path / "empty.png").shape == (840, 2000, 4)
    assert best_epoch(history) is None


def test_best_epoch_without_its_loss(tmp_path: Path):
    history = {**_history(3), "val_loss": [1.0, 1.0, None], "val_mean_class_accuracy": [0.1, 0.2, 0.3]}
    plot_curves(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()


def test_best_epoch_is_the_first_of_the_highest():
    history = {**_history(5), "val_mean_class_accuracy": [None, 0.5, 0.7, math.nan, 0.7]}
    assert best_epoch(history) == 2


def test_equal_histories_give_equal_files_in_any_thread(tmp_path: Path):
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    threads = [threading.Thread(target=plot_curves, args=(_history(20), path)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plot_curves(_history(20), tmp_path / "alone.png")
    assert {path.read_bytes() for path in paths} == {(tmp_path / "alone.png").read_bytes()}


def test_missing_or_short_columns_are_named(tmp_path: Path):
    history = _history(3)
    with pytest.raises(DataError, match="column 'val_loss' has 2 values for 3 epochs"):
        plot_curves({**history, "val_loss": [1.0, 2.0]}, tmp_path / "curves.png")
    del history["val_loss"]
    with pytest.raises(DataError, match="column 'val_loss' is missing"):
        plot_curves(history, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
