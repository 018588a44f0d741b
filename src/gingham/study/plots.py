"""A study as dot plots: each run's mean class accuracy and its gain, with their intervals, best on top."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Picture
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, PercentFormatter

from gingham.evaluation.bootstrap import Difference
from gingham.evaluation.fonts import rendered
from gingham.storage import write_bytes
from gingham.study.results import Figure, Row

__all__ = ["plot_attributes", "plot_study"]

# Of Okabe & Ito (2008): told apart by colour-blind readers.
_RUN, _BASELINE = "#0072B2", "#D55E00"
_INK, _FAINT = "#333333", "#DDDDDD"


def plot_study(rows: Mapping[str, Row], baseline: str, path: Path) -> None:
    """Draw the mean class accuracy of every run, and beside it what it gains over the baseline, paired over photos.

    The first panel's intervals overlap even where the second one tells: all runs find the same photos hard.

    Raises:
        MachineError: the file cannot be written.
    """
    order = _sorted(rows)
    gains = {run: rows[run].difference for run in order}
    compared = any(gain is not None and gain.difference is not None for gain in gains.values())
    picture, panels = _panels(2 if compared else 1, len(rows), width=4.0)
    _dots(panels[0], {run: rows[run].mean_class_accuracy for run in order}, baseline)
    panels[0].set_xlabel("mean class accuracy, out of fold", fontsize=10, color=_INK)
    if compared:
        _dots(panels[1], {run: _gain(gain, own=run == baseline) for run, gain in gains.items()}, baseline)
        panels[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:+.3g}"))
        panels[1].set_xlabel("points against the baseline, paired", fontsize=10, color=_INK)
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


def _gain(gain: Difference | None, *, own: bool) -> Figure:
    """A difference as what `_dots` draws: the baseline is 0 away from itself, what cannot be compared is nowhere."""
    if gain is None:
        return Figure(0.0 if own else None, None, None)
    return Figure(gain.difference, None, gain.ci95)


def _panels(count: int, runs: int, width: float = 2.4) -> tuple[Picture, list[Axes]]:
    # Figure and canvas are made by hand: pyplot would keep global state.
    size = (8.0 if count == 1 else 3.0 + width * count, 1.2 + 0.3 * runs)
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
    write_bytes(path, rendered(picture))
