"""Charts of the page as inline SVG: small, sharp, and in the colours of the page's theme."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from gingham.report.axes import Axis, axis_over, share_axis
from gingham.report.content import Certainty

__all__ = ["Series", "histogram", "line_chart", "reliability_chart"]

_Floats = npt.NDArray[np.float64]

_WIDE, _NARROW, _HEIGHT = 440, 320, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 42
_MARKED = 30
"""Lines of at most so many points have a dot at each."""


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        label: for the legend and for readers that hear the chart.
        style: CSS class, which gives its colour and dashes.
        x: `[n]`.
        y: `[n]`; NaN is a gap.
    """

    label: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class _Frame:
    """A plot area within an SVG."""

    x: Axis
    y: Axis
    width: int = _WIDE
    height: int = _HEIGHT

    def across(self, value: float) -> float:
        return _LEFT + self.x.place(value) * (self.width - _LEFT - _RIGHT)

    def down(self, value: float) -> float:
        return self.height - _BOTTOM - self.y.place(value) * (self.height - _TOP - _BOTTOM)

    def axes(self) -> list[Markup]:
        """Grid lines across, ticks and labels of both axes."""
        parts = []
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        for tick in self.y.ticks:
            y = _n(self.down(tick))
            parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, right))
            parts.append(
                Markup('<text x="{}" y="{}" dy=".32em" class="end">{}</text>').format(_LEFT - 7, y, self.y.write(tick))
            )
        parts.append(Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, bottom, right))
        for tick in self.x.ticks:
            x = _n(self.across(tick))
            parts.append(
                Markup('<text x="{}" y="{}" class="middle">{}</text>').format(x, bottom + 17, self.x.write(tick))
            )
        middle = (_LEFT + right) / 2
        parts.append(
            Markup('<text x="{}" y="{}" class="middle name">{}</text>').format(
                _n(middle), self.height - 5, self.x.label
            )
        )
        return parts

    def line(self, xs: Iterable[float], ys: Iterable[float]) -> str:
        """The path through the points; it is broken at NaN."""
        found = []
        for known, run in groupby(zip(xs, ys, strict=True), key=lambda point: bool(np.isfinite(point[1]))):
            if known:
                points = [f"{_n(self.across(x))} {_n(self.down(y))}" for x, y in run]
                # A point by itself: a line without length, which round ends make a dot.
                found.append("M" + "L".join(points if len(points) > 1 else points * 2))
        return "".join(found)


def _n(value: float) -> str:
    """A coordinate with at most one digit behind the point."""
    return f"{value:.1f}".removesuffix(".0")


def _svg(frame: _Frame, label: str, parts: Iterable[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="chart">{}</svg>').format(
        frame.width, frame.height, label, Markup("").join(parts)
    )


def line_chart(
    series: Sequence[Series], x: Axis, y: Axis, *, label: str, mark: float | None = None, narrow: bool = False
) -> Markup:
    """Lines over common axes.

    Args:
        series: drawn in order, the last on top.
        x: the horizontal axis.
        y: the vertical axis; its label stands above the chart, where the page puts it.
        label: what somebody is told who does not see it.
        mark: a vertical line there.
        narrow: for one of three side by side.
    """
    frame = _Frame(x, y, width=_NARROW, height=_HEIGHT - 40) if narrow else _Frame(x, y)
    parts = frame.axes()
    if mark is not None:
        parts.append(
            Markup('<path class="mark" d="M{} {}V{}"/>').format(_n(frame.across(mark)), _TOP, frame.height - _BOTTOM)
        )
    for one in series:
        path = frame.line(one.x, one.y)
        if not path:
            continue
        parts.append(Markup('<path class="line {}" d="{}"/>').format(one.style, path))
        if len(one.x) <= _MARKED:
            dots = [
                Markup('<circle cx="{}" cy="{}" r="2.6"/>').format(_n(frame.across(at)), _n(frame.down(value)))
                for at, value in zip(one.x, one.y, strict=True)
                if np.isfinite(value)
            ]
            parts.append(Markup('<g class="dots {}">{}</g>').format(one.style, Markup("").join(dots)))
    return _svg(frame, label, parts)


def reliability_chart(before: Certainty, after: Certainty | None, *, label: str) -> Markup:
    """Confidence against accuracy, with the diagonal on which they agree, and each bin's gap to it.

    Args:
        before: by the network's own probabilities.
        after: by calibrated ones, which then are the ones in full colour.
        label: what somebody is told who does not see it.
    """
    main = after or before
    frame = _Frame(share_axis("confidence"), share_axis("accuracy"), width=_NARROW, height=_NARROW - 30)
    parts = frame.axes()
    parts.append(Markup('<path class="mark" d="{}"/>').format(frame.line([0, 1], [0, 1])))
    bins = main.reliability
    gaps = "".join(
        f"M{_n(frame.across(at))} {_n(frame.down(value))}V{_n(frame.down(at))}"
        for at, value in zip(bins.mean_confidence, bins.accuracy, strict=True)
    )
    parts.append(Markup('<path class="gap" d="{}"/>').format(gaps))
    if after is not None:
        old = before.reliability
        parts.append(Markup('<path class="line before" d="{}"/>').format(frame.line(old.mean_confidence, old.accuracy)))
    parts.append(Markup('<path class="line main" d="{}"/>').format(frame.line(bins.mean_confidence, bins.accuracy)))
    dots = [
        Markup('<circle cx="{}" cy="{}" r="3.4"/>').format(_n(frame.across(at)), _n(frame.down(value)))
        for at, value in zip(bins.mean_confidence, bins.accuracy, strict=True)
    ]
    parts.append(Markup('<g class="dots main">{}</g>').format(Markup("").join(dots)))
    return _svg(frame, label, parts)


def histogram(counts: npt.NDArray[np.int64], *, label: str, name: str = "confidence") -> Markup:
    """Bars over equal steps of 0..1, as shares of all."""
    shares = counts / max(1, int(counts.sum()))
    frame = _Frame(
        share_axis(name),
        axis_over("share", shares.tolist(), percent=True, zero=True),
        width=_NARROW,
        height=_HEIGHT - 40,
    )
    parts = frame.axes()
    step = 1 / len(counts)
    for number, share in enumerate(shares.tolist()):
        if share:
            left, right, top = frame.across(number * step), frame.across((number + 1) * step), frame.down(share)
            parts.append(
                Markup('<rect class="fill" x="{}" y="{}" width="{}" height="{}"/>').format(
                    _n(left + 0.75), _n(top), _n(right - left - 1.5), _n(frame.down(0) - top)
                )
            )
    return _svg(frame, label, parts)
