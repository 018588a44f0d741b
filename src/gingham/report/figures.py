"""The report's charts for papers, drawn by matplotlib from the same numbers as the page."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from gingham.evaluation.bootstrap import Interval
from gingham.evaluation.curves import curves_figure
from gingham.evaluation.fonts import rendered
from gingham.report.content import GOAL, HISTOGRAM_BINS, AttributeContent, Content
from gingham.storage import write_bytes

__all__ = ["FORMATS", "figures", "write_figures"]

FORMATS = ("png", "svg")

# Of Okabe & Ito (2008): told apart by colour-blind readers; lightness and markers tell them apart in grey.
_BLUE, _VERMILION, _LIGHT = "#0072B2", "#D55E00", "#9CCBE6"
_INK, _FAINT, _GREY = "#333333", "#DDDDDD", "#888888"
_SHARES = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", "#9CCBE6", "#0072B2"])

_COLUMNS = 3
_MOST_PANELS = 24
"""Attributes in one figure; further ones get no panel."""

_MOST_WRITTEN = 24
"""Of larger confusion matrices the numbers are left out."""

_MOST_CLASSES = 150


def write_figures(content: Content, out: Path, kind: Literal["png", "svg"]) -> list[Path]:
    """Write every figure into a folder, as PNG (200 dpi) or SVG; equal contents give equal files.

    Args:
        content: the numbers.
        out: the folder, made if it is not there.
        kind: `png` or `svg`.

    Returns:
        The files.

    Raises:
        MachineError: the disk is full or refuses.
    """
    written = []
    for name, figure in figures(content):
        path = out / f"{name}.{kind}"
        write_bytes(path, rendered(figure, kind))
        written.append(path)
    return written


def figures(content: Content) -> Iterator[tuple[str, Figure]]:
    """Every figure that there are numbers for, with the name of its file.

    `curves` (of a run), `attributes`, `classes`, `reliability`, `coverage`, `slices`, `comparison`, and
    `confusion-NAME` of each attribute; of predictions without labels `shares` and `confidence`.
    """
    if content.history is not None and len(content.history["epoch"]):
        yield "curves", curves_figure(content.history)
    known = [one for one in content.attributes[:_MOST_PANELS] if one.certainty is not None]
    if content.metrics is None:
        yield "shares", _panels(content.attributes[:_MOST_PANELS], _shares, content)
        yield "confidence", _panels(content.attributes[:_MOST_PANELS], _confidence)
        return
    yield "attributes", _attributes(content)
    yield "classes", _panels(known, _recalls)
    yield "reliability", _panels(known, _reliability, square=True)
    yield "coverage", _panels(known, _coverage)
    if content.slices:
        yield "slices", _slices(content)
    if content.comparison is not None:
        yield "comparison", _comparison(content)
    names = _file_names([one.name for one in known])
    for name, one in zip(names, known, strict=True):
        if len(one.classes) <= _MOST_CLASSES:
            yield f"confusion-{name}", _confusion(one)


def _file_names(names: Sequence[str]) -> list[str]:
    """Names that any file system takes, each another one."""
    plain = [re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] for name in names]
    return [
        name if name and plain.count(name) == 1 else f"{number}-{name}".rstrip("-")
        for number, name in enumerate(plain, start=1)
    ]


def _figure(width: float, height: float) -> Figure:
    # Figure and canvas are made by hand: pyplot would keep global state and is not safe in threads.
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width, height), dpi=200, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _panels(
    attributes: Sequence[AttributeContent],
    draw: Callable[..., None],
    *further: Content,
    square: bool = False,
) -> Figure:
    """One panel an attribute, three in a row; as high as the one with the most classes needs, where it lists these."""
    columns = min(_COLUMNS, len(attributes))
    rows = -(-len(attributes) // columns)
    lists = draw in (_recalls, _shares)
    height = 0.9 + 0.24 * max(len(one.classes) for one in attributes) if lists else 3.3 if square else 2.7
    figure = _figure(3.4 * columns, min(60.0, height * rows))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for one, axes in zip(attributes, panels, strict=False):
        _style(axes)
        axes.set_title(_short(one.name, 32), fontsize=11, color=_INK, loc="left", parse_math=False)
        draw(axes, one, *further)
    for axes in panels[len(attributes) :]:
        axes.remove()
    return figure


def _style(axes: Axes, grid: str = "both") -> None:
    axes.grid(True, axis=grid, color=_FAINT, linewidth=0.8)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=_INK, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)


def _percent(axes: Axes, *, x: str = "", y: str = "") -> None:
    if x:
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_xlabel(x, fontsize=9, color=_INK)
    if y:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_ylabel(y, fontsize=9, color=_INK)


def _names(axes: Axes, labels: Sequence[str]) -> None:
    """One line a label, from above."""
    axes.set_yticks(range(len(labels)), labels)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(False, axis="y")


def _recalls(axes: Axes, attribute: AttributeContent) -> None:
    rows = attribute.classes
    places = [number for number, row in enumerate(rows) if row.recall is not None]
    values = [row.recall for row in rows if row.recall is not None]
    ends = np.array([row.recall_ci95 for row in rows if row.recall_ci95 is not None])
    axes.barh(places, values, height=0.72, color=_LIGHT)
    axes.hlines(places, ends[:, 0], ends[:, 1], color=_INK, linewidth=1.2)
    _names(axes, [f"{_short(row.label, 22)} ({row.n:,})" for row in rows])
    axes.set_xlim(0, 1)
    _percent(axes, x="recall")


def _shares(axes: Axes, attribute: AttributeContent, content: Content) -> None:
    rows = attribute.classes
    axes.barh(range(len(rows)), [row.tagged / content.photos for row in rows], height=0.72, color=_LIGHT)
    _names(axes, [f"{_short(row.label, 22)} ({row.tagged:,})" for row in rows])
    axes.set_xlim(left=0)
    _percent(axes, x="share of photos")


def _confidence(axes: Axes, attribute: AttributeContent) -> None:
    counts, step = attribute.confidence, 1 / HISTOGRAM_BINS
    places = (np.arange(HISTOGRAM_BINS) + 0.5) * step
    axes.bar(places, counts / max(1, int(counts.sum())), width=0.92 * step, color=_LIGHT)
    axes.set_xlim(0, 1)
    _percent(axes, x="confidence", y="share of photos")


def _reliability(axes: Axes, attribute: AttributeContent) -> None:
    assert attribute.certainty is not None
    main = attribute.calibrated or attribute.certainty
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=1, linestyle=":", zorder=1)
    if attribute.calibrated is not None:
        before = attribute.certainty
        bins, error = before.reliability, before.scores.ece.value
        label = f"uncalibrated, ECE {error:.1%}"
        axes.plot(
            bins.mean_confidence, bins.accuracy, "s--", color=_VERMILION, markersize=3.5, linewidth=1, label=label
        )
    bins = main.reliability
    named = "calibrated, " if attribute.calibrated is not None else ""
    label = f"{named}ECE {main.scores.ece.value:.1%}"
    axes.plot(bins.mean_confidence, bins.accuracy, "o-", color=_BLUE, markersize=4, linewidth=1.6, label=label)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    _percent(axes, x="confidence", y="accuracy")
    axes.legend(fontsize=8.5, labelcolor=_INK, frameon=False, loc="upper left")


def _coverage(axes: Axes, attribute: AttributeContent) -> None:
    main = attribute.calibrated or attribute.certainty
    assert main is not None
    axes.axhline(GOAL, color=_GREY, linewidth=1, linestyle=(0, (4, 2)))
    axes.plot(main.coverage, main.accuracy, color=_BLUE, linewidth=1.8)
    axes.set_xlim(0, 1)
    _percent(axes, x="share of photos, the surest first", y="accuracy")


def _confusion(attribute: AttributeContent) -> Figure:
    assert attribute.confusion is not None
    counts = attribute.confusion
    size = len(counts)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    labels = [_short(row.label) for row in attribute.classes]
    room = 0.9 + 0.075 * max(map(len, labels))
    figure = _figure(room + max(0.32 * size, 1.6), room + max(0.32 * size, 1.6))
    axes = figure.subplots()
    axes.imshow(shares, cmap=_SHARES, vmin=0, vmax=1)
    axes.set_xticks(range(size), labels, rotation=90)
    axes.set_yticks(range(size), labels)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=8.5, colors=_INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("tag", fontsize=9, color=_INK)
    axes.set_ylabel("label", fontsize=9, color=_INK)
    axes.set_title(
        f"{_short(attribute.name, 24)}, percent of the label", fontsize=11, color=_INK, loc="left", parse_math=False
    )
    for row, column in np.argwhere(counts > 0) if size <= _MOST_WRITTEN else ():
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if share > 0.6 else _INK,
        )
    return figure


def _attributes(content: Content) -> Figure:
    assert content.metrics is not None
    own = content.metrics
    rows = [("all attributes", own.mean_class_accuracy, own.mean_class_accuracy_ci95)]
    for attribute in content.attributes:
        one = attribute.metrics
        assert one is not None
        rows.append((f"{_short(attribute.name)} ({one.n:,})", one.mean_class_accuracy, one.mean_class_accuracy_ci95))
    return _dots(rows, "mean class accuracy")


def _slices(content: Content) -> Figure:
    rows = [
        (f"{part.group}: {part.label} ({part.n:,})", part.mean_class_accuracy, part.mean_class_accuracy_ci95)
        for part in content.slices
    ]
    return _dots(rows, "mean class accuracy")


def _comparison(content: Content) -> Figure:
    assert content.comparison is not None
    overall, each = content.comparison.mean_class_accuracy, content.comparison.per_attribute
    rows = [("all attributes", overall.difference, overall.ci95)]
    rows += [
        (_short(name), one.mean_class_accuracy.difference, one.mean_class_accuracy.ci95) for name, one in each.items()
    ]
    figure = _dots(rows, "difference in mean class accuracy, paired")
    figure.axes[0].axvline(0, color=_GREY, linewidth=1)
    return figure


def _dots(rows: Sequence[tuple[str, float | None, Interval | None]], measure: str) -> Figure:
    """Values with their intervals, one below the other."""
    figure = _figure(6.5, 0.9 + 0.27 * len(rows))
    axes = figure.subplots()
    _style(axes, "x")
    for number, (_, value, interval) in enumerate(rows):
        if interval is not None:
            axes.plot(interval, (number, number), color=_BLUE, linewidth=2, solid_capstyle="butt", alpha=0.55)
        if value is not None:
            axes.plot(value, number, "o", color=_BLUE, markersize=6)
    _names(axes, [label for label, _, _ in rows])
    _percent(axes, x=measure)
    return figure


def _short(name: str, most: int = 40) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
