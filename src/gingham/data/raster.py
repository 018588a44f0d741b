"""Maps in a photo's frame: from the tokens of a view to cells of the photo, and from these to the view's pixels.

Both ways are exact integrals over cells, and separable: a product of one matrix for the rows and one for the columns.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gingham.data.preprocess import Region
from gingham.data.test_time import Window

__all__ = ["CELLS", "Floats", "Raster", "raster_of", "seen_part"]

CELLS = 60
"""How many cells the longer side of what is seen of a photo has."""

_MOST_CELLS = 480

Floats = npt.NDArray[np.float64]


class Raster(NamedTuple):
    """A photo of `width` x `height` pixels, divided evenly into `rows` x `columns` cells."""

    width: int
    height: int
    rows: int
    columns: int

    def place(self, maps: npt.NDArray[np.floating], window: Window) -> Floats:
        """Weights of a view's tokens, as weights of the photo's cells.

        Between the centres of the tokens the density is interpolated bilinearly, and at the view's edges it goes on as
        it is: what enlarged heat maps show. Each token's weight is kept, but for what lies on white around the photo.

        Args:
            maps: `[..., h, w]`.
            window: where the view lies.

        Returns:
            `[..., rows, columns]`, with the sum of `maps`, less what lies on white.
        """
        rows, columns = self._shown(window)
        left, top, right, bottom = window.edges
        down = _spread(rows, top, bottom, maps.shape[-2])
        across = _spread(columns, left, right, maps.shape[-1])
        # A mirrored view's first column is the photo's last one.
        flat = maps[..., ::-1] if window.mirrored else maps
        placed: Floats = down @ flat.astype(np.float64) @ across.T
        return placed

    def cover(self, mask: npt.NDArray[np.bool_], window: Window, size: int) -> Floats:
        """The share of each pixel of a view that masked cells cover: `[size, size]`, 0..1; 0 on white.

        Args:
            mask: `[rows, columns]`.
            window: where the view lies.
            size: of the view in pixels.
        """
        rows, columns = self._shown(window)
        left, top, right, bottom = window.edges
        down, across = _overlap(rows, top, bottom, size), _overlap(columns, left, right, size)
        covered: Floats = down @ mask.astype(np.float64) @ across.T
        return covered[:, ::-1] if window.mirrored else covered

    def inside(self, left: float, top: float, right: float, bottom: float) -> Floats:
        """The share of each cell that lies within a rectangle in pixels of the photo: `[rows, columns]`, 0..1."""
        down = _within(self._edges(self.rows, self.height), top, bottom)
        shares: Floats = down[:, None] * _within(self._edges(self.columns, self.width), left, right)
        return shares

    def _shown(self, window: Window) -> tuple[Floats, Floats]:
        """The cells' edges, of rows and of columns, moved into what a view shows of the photo."""
        left, top, right, bottom = window.photo
        rows, columns = self._edges(self.rows, self.height), self._edges(self.columns, self.width)
        return np.clip(rows, top, bottom), np.clip(columns, left, right)

    @staticmethod
    def _edges(cells: int, length: int) -> Floats:
        edges: Floats = np.linspace(0.0, length, cells + 1, dtype=np.float64)
        return edges


def raster_of(width: int, height: int, windows: list[Window]) -> Raster:
    """Cells that are nearly squares, `CELLS` of them along the longer side of what the windows show of the photo."""
    left, top, right, bottom = seen_part(windows)
    finest = CELLS / max(right - left, bottom - top)
    rows, columns = (min(_MOST_CELLS, max(1, round(side * finest))) for side in (height, width))
    return Raster(width, height, rows, columns)


def seen_part(windows: list[Window]) -> Region:
    """The smallest rectangle of the photo that has all that the windows show of it."""
    lefts, tops, rights, bottoms = zip(*(window.photo for window in windows), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _spread(edges: Floats, start: float, stop: float, count: int) -> Floats:
    """How much of the weight of each of `count` tokens from `start` to `stop` lies between edges: `[cells, count]`.

    Bilinear interpolation gives a token a tent of two tokens' width; the outermost ones are level to the end.
    """
    place = (edges[:, None] - start) / (stop - start) * count - (np.arange(count) + 0.5)
    beyond = np.clip(place, -1, 1)
    # The tent's distribution function, and at the two ends a step's.
    below = np.where(beyond < 0, (1 + beyond) ** 2 / 2, 1 - (1 - beyond) ** 2 / 2)
    level = np.clip(0.5 + place, 0, 1)
    below[:, 0] = np.where(place[:, 0] < 0, level[:, 0], below[:, 0])
    below[:, -1] = np.where(place[:, -1] > 0, level[:, -1], below[:, -1])
    return np.diff(below, axis=0)


def _overlap(edges: Floats, start: float, stop: float, size: int) -> Floats:
    """The share of each of `size` pixels from `start` to `stop` that each cell covers: `[size, cells]`."""
    pixels = np.linspace(start, stop, size + 1)[:, None]
    low, high = np.maximum(pixels[:-1], edges[:-1]), np.minimum(pixels[1:], edges[1:])
    shares: Floats = np.clip(high - low, 0, None) / ((stop - start) / size)
    return shares


def _within(edges: Floats, start: float, stop: float) -> Floats:
    """The share of each cell that lies between start and stop."""
    shared = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    shares: Floats = np.clip(shared, 0, None) / np.diff(edges)
    return shares
