"""Faux fur: hairs over the cloth, and a fringe of them around its edges."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from gingham.wardrobe.cloth import Cloth
from gingham.wardrobe.geometry import Field, Frame, Points

__all__ = ["fringe", "hair"]

_TILE = 512
_PER_UNIT = 800.0  # tile pixels per body unit


@lru_cache(maxsize=1)
def _tile() -> npt.NDArray[np.float32]:
    """Combed hairs, repeating without a seam: brightness, pull across, pull down, [_TILE, _TILE, 3] around 0."""
    rng = np.random.default_rng(7)
    count = 5200
    image = Image.new("RGB", (_TILE, _TILE), (128, 128, 128))
    pen = ImageDraw.Draw(image)
    x, y = rng.uniform(0, _TILE, (2, count))
    lean = rng.normal(0.0, 0.45, count)
    length = rng.uniform(22, 40, count)
    colours = rng.integers(0, 256, (count, 3))
    for place in range(count):
        dx, dy = length[place] * np.sin(lean[place]), length[place] * np.cos(lean[place])
        ink = tuple(colours[place].tolist())
        for shift_x in (0, -_TILE) if x[place] + abs(dx) > _TILE - 40 else (0,):
            for shift_y in (0, -_TILE) if y[place] + dy > _TILE else (0,):
                left, top = x[place] + shift_x, y[place] + shift_y
                pen.line((left, top, left + dx, top + dy), fill=ink, width=3)
    return (np.asarray(image, dtype=np.float32) - 128.0) / 128.0


def hair(cloth: Cloth) -> tuple[Field, Field, Field]:
    """The light on the hairs, around 1, and how far they pull a pattern across and down; each [H, W]."""
    style = cloth.style
    grain = _PER_UNIT / style.weave_scale
    column = ((cloth.u + np.float32(1 + style.phase_x)) * np.float32(grain)).astype(np.intp) % _TILE
    row = ((cloth.v + np.float32(1 + style.phase_y)) * np.float32(grain)).astype(np.intp) % _TILE
    found = _tile().reshape(-1, 3)[row * _TILE + column]
    return 0.98 + 0.42 * found[..., 0], 0.010 * found[..., 1], 0.016 * found[..., 2]


def fringe(mask: Image.Image, frame: Frame, outline: Points, name: str) -> None:
    """Draw hairs in a mask that stand out from the edge of a shape [N, 2] in body coordinates."""
    rng = frame.style.stream(name)
    path = frame.to_pixels(np.concatenate([outline, outline[:1]]))
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.arange(0.0, lengths[-1], 0.005 * frame.unit)
    x, y = (np.interp(at, lengths, path[:, axis]) for axis in (0, 1))
    turn = rng.uniform(0, 2 * np.pi, len(at))
    # Hairs point every way from the edge; those that point inwards vanish in the cloth.
    reach = rng.uniform(0.010, 0.026, len(at)) * frame.unit
    ends = np.stack([x, y, x + reach * np.cos(turn), y + reach * (np.sin(turn) + 0.25)], axis=1)
    pen = ImageDraw.Draw(mask)
    for line in ends.tolist():
        pen.line(line, fill=255, width=max(1, round(0.0035 * frame.unit)))
