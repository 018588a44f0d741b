"""Reliability diagrams: accuracy against confidence, before and after calibration, one panel an attribute."""

from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter
from scipy.special import betaincinv

from gingham.evaluation.calibration import rows_of
from gingham.evaluation.fonts import rendered
from gingham.evaluation.reliability import Reliability, reliability
from gingham.predictions import Predictions
from gingham.storage import write_bytes

__all__ = ["plot_reliability"]

_Floats = npt.NDArray[np.float64]

# Blue and vermilion of Okabe & Ito (2008).
_BEFORE, _AFTER, _INK, _FAINT = "#D55E00", "#0072B2", "#333333", "#DDDDDD"
_MOST_COLUMNS = 3
_BINS = 15


def plot_reliability(
    predictions: Predictions,
    probabilities: _Floats,
    tags: npt.NDArray[np.int64],
    path: Path,
    *,
    title: str | None = None,
) -> None:
    """Draw a panel for each attribute with labels, as a PNG.

    A point is a bin of equally many photos; its bar is the 95% interval of its accuracy (Clopper & Pearson 1934).
    Below, how the confidences of the calibrated tags are spread.

    Args:
        predictions: labelled, with the logits.
        probabilities: `[N, ΣC]`, calibrated, none of them fitted on its own image.
        tags: `[N, K]`, the chosen classes after calibration.
        path: the file to write, atomically.
        title: a line above the panels.

    Raises:
        MachineError: the file cannot be written.
    """
    shown = [column for column in range(len(predictions.schema)) if len(rows_of(predictions, column)[2])]
    columns = min(_MOST_COLUMNS, len(shown))
    rows = ceil(len(shown) / columns)
    figure = Figure(
        figsize=(3.6 * columns, 3.7 * rows + 0.4),
        dpi=200,
        facecolor="white",
        layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08),
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    raw, raw_tags = predictions.probabilities, predictions.predicted
    for axes, column in zip(panels, shown, strict=False):
        part = predictions.schema.slices[column]
        _, targets, own = rows_of(predictions, column)
        before = _diagram(raw[own, part], raw_tags[own, column], targets)
        after = _diagram(probabilities[own, part], tags[own, column], targets)
        confidence = probabilities[own, part.start + tags[own, column]]
        _panel(axes, predictions.schema.names[column], before, after, confidence)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel("confidence", fontsize=10, color=_INK)
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel("share that is right", fontsize=10, color=_INK)
    if title:
        figure.suptitle(title, fontsize=13, color=_INK, parse_math=False)
    write_bytes(path, rendered(figure))


def _diagram(probabilities: _Floats, tags: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]) -> Reliability:
    return reliability(probabilities[np.arange(len(tags)), tags], tags == targets, bins=_BINS)


def _panel(axes: Axes, name: str, before: Reliability, after: Reliability, confidence: _Floats) -> None:
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=1, linestyle=":", zorder=1)
    heights, edges = np.histogram(confidence, bins=40, range=(0, 1))
    axes.bar(edges[:-1], 0.15 * heights / heights.max(), width=0.025, align="edge", color=_FAINT, zorder=0)
    for one, color, marker, label in (
        (before, _BEFORE, "s", f"before: ECE {before.ece:.3f}"),
        (after, _AFTER, "o", f"after: ECE {after.ece:.3f}"),
    ):
        low, high = _clopper_pearson(one)
        axes.vlines(one.mean_confidence, low, high, color=color, linewidth=1, alpha=0.5, zorder=2)
        axes.plot(
            one.mean_confidence,
            one.accuracy,
            marker=marker,
            color=color,
            markersize=4,
            linewidth=1.5,
            label=label,
            zorder=3,
        )
    axes.set_title(name, fontsize=12, color=_INK, loc="left", parse_math=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(True, color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    axes.legend(fontsize=8.5, labelcolor=_INK, loc="upper left", framealpha=0.85, edgecolor="none")


def _clopper_pearson(one: Reliability) -> tuple[_Floats, _Floats]:
    right = np.round(one.accuracy * one.counts)
    low = np.where(right > 0, betaincinv(np.maximum(right, 1), one.counts - right + 1, 0.025), 0.0)
    wrong = one.counts - right
    high = np.where(wrong > 0, betaincinv(right + 1, np.maximum(wrong, 1), 0.975), 1.0)
    return low, high
