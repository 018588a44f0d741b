"""The learning curves: loss and mean class accuracy, on training and validation data, per epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gingham.errors import DataError
from gingham.evaluation.fonts import rendered
from gingham.storage import write_bytes

__all__ = ["best_epoch", "curves_figure", "plot_curves"]

_Floats = npt.NDArray[np.float64]

_COLUMNS = ("epoch", "train_loss", "val_loss", "train_mean_class_accuracy", "val_mean_class_accuracy")


@dataclass(frozen=True)
class _Style:
    """How one split is drawn."""

    split: str
    label: str
    color: str
    dashed: bool
    marker: str


# Blue and vermilion of Okabe & Ito (2008): told apart by colour-blind readers and, by dashes and markers, in grey.
_STYLES = (
    _Style("train", "training", "#0072B2", True, "o"),
    _Style("val", "validation", "#D55E00", False, "s"),
)
_INK, _FAINT = "#333333", "#DDDDDD"


def best_epoch(history: Mapping[str, Sequence[float | None]]) -> int | None:
    """Position of the epoch with the highest `val_mean_class_accuracy`, the first one of equals; None if all lack it.

    Raises:
        DataError: a column of the history is missing, or is longer or shorter than `epoch`.
    """
    values = _read(history)["val_mean_class_accuracy"]
    return None if np.isnan(values).all() else int(np.nanargmax(values))


def plot_curves(history: Mapping[str, Sequence[float | None]], path: Path, *, title: str | None = None) -> None:
    """Draw (a) the loss and (b) the mean class accuracy of every epoch, as a PNG of 2000 x 840 pixels.

    The best epoch by validation mean class accuracy is marked in both. Values that are None, NaN or infinite are gaps.

    Args:
        history: columns `epoch`, `train_loss`, `val_loss`, `train_mean_class_accuracy`, `val_mean_class_accuracy`
            (accuracies 0..1), of equal length; others are left alone.
        path: the file to write, atomically.
        title: a line above the panels.

    Raises:
        DataError: a column is missing, or is longer or shorter than `epoch`.
        MachineError: the file cannot be written.
    """
    figure = curves_figure(history, title=title)
    write_bytes(path, rendered(figure))


def curves_figure(history: Mapping[str, Sequence[float | None]], *, title: str | None = None) -> Figure:
    """What `plot_curves` writes, as a figure. Raises `DataError` likewise."""
    columns = _read(history)
    best = best_epoch(history)
    # Figure and canvas are made by hand: pyplot would keep global state and is not safe in threads.
    figure = Figure(figsize=(10, 4.2), dpi=200, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharex=True)
    _panel(left, columns, "loss", "(a) Loss", best)
    _panel(right, columns, "mean_class_accuracy", "(b) Mean class accuracy", best)
    right.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    if title:
        figure.suptitle(title, fontsize=13, color=_INK, parse_math=False)
    return figure


def _read(history: Mapping[str, Sequence[float | None]]) -> dict[str, _Floats]:
    columns: dict[str, _Floats] = {}
    for name in _COLUMNS:
        if name not in history:
            raise DataError(f"history: column '{name}' is missing; the curves need {', '.join(_COLUMNS)}")
        values = np.array([np.nan if value is None else value for value in history[name]], dtype=np.float64)
        if len(values) != len(history["epoch"]):
            raise DataError(f"history: column '{name}' has {len(values)} values for {len(history['epoch'])} epochs")
        columns[name] = np.where(np.isfinite(values), values, np.nan)
    return columns


def _panel(axes: Axes, columns: Mapping[str, _Floats], measure: str, heading: str, best: int | None) -> None:
    epochs = columns["epoch"]
    for style in _STYLES:
        _line(axes, epochs, columns[f"{style.split}_{measure}"], style)
    shown = np.concatenate([columns[f"{style.split}_{measure}"] for style in _STYLES])
    if best is not None:
        value = columns[f"val_{measure}"][best]
        described = "no value" if np.isnan(value) else f"{value:.1%}" if measure != "loss" else f"{value:.3f}"
        label = f"best epoch {epochs[best]:g}: validation {described}"
        axes.axvline(epochs[best], color=_INK, linewidth=1, linestyle=":", zorder=1, label=label)
        axes.plot(epochs[best], value, "o", markersize=11, markerfacecolor="none", markeredgecolor=_INK, zorder=4)
    axes.set_title(heading, fontsize=12, color=_INK, loc="left")
    axes.set_xlabel("epoch", fontsize=10, color=_INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.margins(x=0.03, y=0.08)
    axes.grid(True, color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    if np.isnan(shown).all():
        axes.text(
            0.5,
            0.5,
            "no values",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=11,
            color=_INK,
            backgroundcolor="white",
        )
        axes.set_yticks([])
    else:
        axes.legend(fontsize=9, labelcolor=_INK, frameon=True, framealpha=0.85, edgecolor="none")


def _line(axes: Axes, epochs: _Floats, values: _Floats, style: _Style) -> None:
    known = ~np.isnan(values)
    # A value between two gaps has no line to either side: without a marker of its own it would vanish.
    beside = np.concatenate([[False], known[:-1]]) | np.concatenate([known[1:], [False]])
    marked = np.flatnonzero(known if len(epochs) <= 30 else known & ~beside)
    axes.plot(
        epochs,
        values,
        label=style.label,
        color=style.color,
        linewidth=2,
        linestyle=(0, (4, 1.5)) if style.dashed else "-",
        marker=style.marker if marked.size else "",
        markersize=4,
        markevery=marked.tolist(),
        zorder=3,
    )
