"""From the body's coordinates to pixels and back, smooth curves, and masks.

Body coordinates: x from the body's middle to the right, y from the top of the picture down, both in
units of the picture's height when the figure fills it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gingham.wardrobe.style import Style

__all__ = ["Field", "Frame", "Points", "draw_line", "draw_shape", "limb", "points", "smooth", "step", "upsampled"]

Points = npt.NDArray[np.float64]
"""A polyline or polygon, [N, 2]."""

Field = npt.NDArray[np.float32]
"""One number per pixel, [H, W]."""

_SWAY_CENTRE = 0.45


def points(*pairs: tuple[float, float]) -> Points:
    """Points [N, 2] from pairs."""
    return np.array(pairs, dtype=np.float64)


@lru_cache(maxsize=32)
def _weights(steps: int) -> Points:
    """Catmull-Rom weights of the four points around a span, [steps, 4]."""
    t = np.arange(steps) / steps
    terms = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    return np.stack(terms, axis=1) * 0.5


def smooth(knots: Points, steps: int = 8) -> Points:
    """A smooth open curve through all knots [N, 2], with `steps` points per span."""
    around = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    spans = np.stack([around[index : index + len(knots) - 1] for index in range(4)])  # [4, N-1, 2]
    curve = np.einsum("sk,knd->nsd", _weights(steps), spans).reshape(-1, 2)
    return np.concatenate([curve, knots[-1:]])


def limb(path: Points, widths: Sequence[float]) -> Points:
    """The outline [2N, 2] of a limb: half a width to either side of each point of a path [N, 2]."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.stack([-along[:, 1], along[:, 0]], axis=1) * np.asarray(widths)[:, None]
    return np.concatenate([path + side, (path - side)[::-1]])


def step(distance: Field, width: float) -> Field:
    """0 where `distance` is negative, 1 where it is positive, linear over `width` in between."""
    ramp: Field = np.clip(distance * np.float32(1.0 / width) + np.float32(0.5), 0.0, 1.0)
    return ramp


def upsampled(values: npt.NDArray[np.floating], width: int, height: int) -> Field:
    """A small grid of values [h, w] enlarged smoothly to [height, width]."""
    image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


@dataclass(frozen=True)
class Frame:
    """Where the body stands in a picture of `pixels` x `pixels`."""

    style: Style
    pixels: int

    @property
    def unit(self) -> float:
        """Pixels per unit of the body's coordinates."""
        return self.style.scale * self.pixels

    def _turn(self) -> tuple[float, float]:
        angle = np.deg2rad(self.style.angle)
        return float(np.cos(angle)), float(np.sin(angle))

    def to_pixels(self, body: Points) -> Points:
        """Pixel positions [N, 2] of points in body coordinates [N, 2]."""
        style = self.style
        cos, sin = self._turn()
        y = body[:, 1]
        x = body[:, 0] + style.sway * 4.0 * (y - _SWAY_CENTRE) ** 2
        along = (x * cos - (y - 0.5) * sin) * style.scale
        down = (x * sin + (y - 0.5) * cos) * style.scale
        if style.mirrored:
            along = -along
        return np.stack([along + 0.5 + style.shift_x, down + 0.5 + style.shift_y], axis=1) * self.pixels

    def to_body(self, box: tuple[int, int, int, int]) -> tuple[Field, Field]:
        """Body coordinates (x, y), each [H, W], of the middles of the pixels of a box (x1, y1, x2, y2)."""
        style = self.style
        cos, sin = self._turn()
        left, top, right, bottom = box
        along = (np.arange(left, right) + 0.5) / self.pixels - 0.5 - style.shift_x
        down = (np.arange(top, bottom) + 0.5) / self.pixels - 0.5 - style.shift_y
        if style.mirrored:
            along = -along
        columns: Field = (along / style.scale).astype(np.float32)[None, :]
        rows: Field = (down / style.scale).astype(np.float32)[:, None]
        y: Field = np.float32(cos) * rows - np.float32(sin) * columns + np.float32(0.5)
        x: Field = np.float32(cos) * columns + np.float32(sin) * rows
        x = x - np.float32(style.sway * 4.0) * (y - np.float32(_SWAY_CENTRE)) ** 2
        return x, y

    def canvas(self) -> Image.Image:
        """An empty mask."""
        return Image.new("L", (self.pixels, self.pixels), 0)


def draw_shape(mask: Image.Image, frame: Frame, polygon: Points, value: int = 255) -> None:
    """Fill a polygon of body coordinates in a mask."""
    ImageDraw.Draw(mask).polygon(frame.to_pixels(polygon).ravel().tolist(), fill=value)


def draw_line(
    mask: Image.Image, frame: Frame, line: Points, width: float, value: int = 255, dash: float | None = None
) -> None:
    """Draw a polyline of body coordinates in a mask; `width` and the length of a dash in body units."""
    path = frame.to_pixels(line)
    pen = ImageDraw.Draw(mask)
    thick = max(1, round(width * frame.unit))
    if dash is None:
        pen.line(path.ravel().tolist(), fill=value, width=thick, joint="curve")
        return
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    every = dash * frame.unit
    starts = np.arange(0.0, lengths[-1], every)
    ends = np.minimum(starts + 0.6 * every, lengths[-1])
    first = np.stack([np.interp(starts, lengths, path[:, axis]) for axis in (0, 1)], axis=1)
    last = np.stack([np.interp(ends, lengths, path[:, axis]) for axis in (0, 1)], axis=1)
    for (x1, y1), (x2, y2) in zip(first.tolist(), last.tolist(), strict=True):
        pen.line((x1, y1, x2, y2), fill=value, width=thick)
