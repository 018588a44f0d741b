"""A study as dot plots: each run's mean class accuracy with its interval, best on top, beside the baseline."""

import io
from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from gingham.storage import write_bytes
from gingham.study.results import Figure, Row

__all__ = ["plot_attributes", "plot_study"]

# Of Okabe & Ito (2008): told apart by colour-blind readers.
_RUN, _BASELINE = "#0072B2", "#D55E00"
_INK, _FAINT = "#333333", "#DDDDDD"


def plot_study(rows: Mapping[str, Row], baseline: str, path: Path) -> None:
    """Draw the mean class accuracy of every run. Raises `MachineError` when the file cannot be written."""
    picture, (axes,) = _panels(1, len(rows))
    order = _sorted(rows)
    _dots(axes, {run: rows[run].mean_class_accuracy for run in order}, baseline)
    axes.set_xlabel("mean class accuracy, out of fold; 95% intervals over photos", fontsize=10, color=_INK)
    _write(picture, path)


def plot_attributes(rows: Mapping[str, Row], baseline: str, path: Path) -> None:
    """Draw likewise each attribute by itself, the runs in the order of `plot_study`."""
    order = _sorted(rows)
    names = list(rows[order[0]].per_attribute)
    picture, panels = _panels(len(names), len(rows))
    for name, axes in zip(names, panels, strict=True):
        _dots(axes, {run: rows[run].per_attribute[name] for run in order}, baseline)
        axes.set_title(name, fontsize=11, color=_INK, loc="left", parse_math=False)
    _write(picture, path)


def _sorted(rows: Mapping[str, Row]) -> list[str]:
    return sorted(rows, key=lambda run: rows[run].mean_class_accuracy.value or 0.0)


def _panels(count: int, runs: int) -> tuple[Picture, list[Axes]]:
    # Figure and canvas are made by hand: pyplot would keep global state.
    size = (8.0 if count == 1 else 3.0 + 2.4 * count, 1.2 + 0.3 * runs)
    picture = Picture(figsize=size, dpi=150, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    FigureCanvasAgg(picture)
    return picture, list(picture.subplots(1, count, sharey=True, squeeze=False)[0])


def _dots(axes: Axes, figures: Mapping[str, Figure], baseline: str) -> None:
    """One line a run, from below; a vertical line where the baseline is."""
    for height, (run, figure) in enumerate(figures.items()):
        if figure.value is None:
            continue
        colour = _BASELINE if run == baseline else _RUN
        if figure.ci95 is not None:
            axes.plot(figure.ci95, (height, height), color=colour, linewidth=2, solid_capstyle="butt", zorder=2)
        axes.plot(figure.value, height, "s" if run == baseline else "o", color=colour, markersize=7, zorder=3)
    base = figures.get(baseline)
    if base is not None and base.value is not None:
        axes.axvline(base.value, color=_BASELINE, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    axes.set_yticks(range(len(figures)), [f"{run} (baseline)" if run == baseline else run for run in figures])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(-0.6, len(figures) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.locator_params(axis="x", nbins=6)
    axes.grid(True, axis="x", color=_FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=_INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)


def _write(picture: Picture, path: Path) -> None:
    image = io.BytesIO()
    # Without the version of matplotlib inside, equal tables give equal files.
    picture.savefig(image, format="png", metadata={"Software": None})
    write_bytes(path, image.getvalue())
