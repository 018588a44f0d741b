"""Axes of charts: ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "axis_over", "share_axis", "ticks"]


@dataclass(frozen=True)
class Axis:
    """A linear axis.

    Attributes:
        label: what is measured.
        low: where it begins.
        high: where it ends, above `low`.
        percent: values are fractions, written in percent.
    """

    label: str
    low: float
    high: float
    percent: bool = False

    def place(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        return (value - self.low) / (self.high - self.low)

    def write(self, value: float) -> str:
        """A tick's text: `0.25`, or `25%`."""
        return f"{100 * value:g}%" if self.percent else f"{value:g}"

    @property
    def ticks(self) -> list[float]:
        """At most six."""
        return ticks(self.low, self.high)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within `low .. high`, as many as there may be."""
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    # A hair of rounding must not drop the last tick.
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def axis_over(label: str, values: Iterable[float], *, percent: bool = False, zero: bool = False) -> Axis:
    """An axis that holds all finite values, from tick to tick; of no value, 0 to 1.

    Args:
        label: what is measured.
        values: what must be within.
        percent: values are fractions; the axis then stays within 0..1.
        zero: begin at 0.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    low = min(low, 0.0) if zero else low
    if high - low < 1e-9:
        room = 0.05 if percent else 0.5 * (abs(high) or 1.0)
        low, high = low - room, high + room
    marks = ticks(low, high)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if percent:
        low, high = max(0.0, low), min(1.0, high)
    return Axis(label, float(f"{low:.12g}"), float(f"{high:.12g}"), percent)


def share_axis(label: str) -> Axis:
    """From 0 to 100%."""
    return Axis(label, 0.0, 1.0, percent=True)
