"""Drawings for prints and embroidery: flowers, chest graphics, stitched scrolls.

All are drawn on a sheet of cloth whose red, green and blue say how much there is of the first, second and
third ink. The sheet spans u from -0.5 to 0.5 and v from 0 to 1.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from gingham.wardrobe.geometry import Points
from gingham.wardrobe.style import Style

__all__ = ["BORDER", "SHEET", "embroidery_sheet", "floral_sheet", "graphic_sheet"]

SHEET = 640
"""Side of the sheet, in pixels."""

_FIRST, _SECOND, _THIRD, _BARE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
_Ink = tuple[int, int, int]


def _sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    sheet = Image.new("RGB", (SHEET, SHEET))
    return sheet, ImageDraw.Draw(sheet)


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, ink: _Ink) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)


def _petals(count: int, depth: float = 0.42) -> Points:
    """Outline [N, 2] of a flower of radius 1 around 0."""
    angle = np.linspace(0, 2 * math.pi, 8 * count, endpoint=False)
    reach = 1 - depth + depth * np.abs(np.cos(count * angle / 2)) ** 0.7
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


def _polygon(pen: ImageDraw.ImageDraw, outline: Points, x: float, y: float, ink: _Ink) -> None:
    pen.polygon((outline + np.array([x, y])).ravel().tolist(), fill=ink)


def _leaf() -> Points:
    """Outline [N, 2] of a leaf of length 1 that grows from 0 to the right."""
    along = np.linspace(0, 1, 9)
    wide = 0.24 * np.sin(math.pi * along)
    return np.concatenate([np.stack([along, wide], 1), np.stack([along, -wide], 1)[::-1]])


def _placed(shape: Points, centres: Points, sizes: Points, turns: Points) -> list[list[float]]:
    """A shape [N, 2] enlarged, turned and moved M times, as flat lists of coordinates."""
    cos, sin = np.cos(turns) * sizes, np.sin(turns) * sizes
    x = shape[:, 0] * cos[:, None] - shape[:, 1] * sin[:, None] + centres[:, :1]
    y = shape[:, 0] * sin[:, None] + shape[:, 1] * cos[:, None] + centres[:, 1:]
    return np.stack([x, y], axis=-1).reshape(len(centres), -1).tolist()


def floral_sheet(style: Style) -> Image.Image:
    """Flowers with leaves, scattered over the whole sheet."""
    sheet, pen = _sheet()
    rng = style.stream("floral")
    pitch = 74.0 * style.pattern_scale
    petals = int(rng.integers(5, 7))
    rows = int(SHEET / pitch) + 2
    row, column = (grid.ravel() for grid in np.mgrid[0:rows, 0:rows].astype(np.float64))
    count = len(row)
    x = column + 0.5 * (row % 2) + rng.uniform(-0.16, 0.16, count) - style.phase_x
    y = 0.92 * row + rng.uniform(-0.16, 0.16, count) - style.phase_y
    centres = np.stack([x, y], axis=1) * pitch
    radius = pitch * rng.uniform(0.27, 0.36, count)
    turn = rng.uniform(0, 2 * math.pi, count)
    first, second = (_placed(_leaf(), centres, 1.65 * radius, turn + side) for side in (0.0, 2.2))
    flowers = _placed(_petals(petals), centres, radius, turn)
    hearts = np.concatenate([centres - 0.3 * radius[:, None], centres + 0.3 * radius[:, None]], axis=1).tolist()
    for leaf, other, flower, heart in zip(first, second, flowers, hearts, strict=True):
        pen.polygon(leaf, fill=_SECOND)
        pen.polygon(other, fill=_SECOND)
        pen.polygon(flower, fill=_FIRST)
        pen.ellipse(heart, fill=_THIRD)
    return sheet


def _star(points: int, radius: float, inner: float) -> Points:
    angle = np.arange(2 * points) * math.pi / points - math.pi / 2
    reach = np.where(np.arange(2 * points) % 2 == 0, radius, radius * inner)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)


def _heart(radius: float) -> Points:
    t = np.linspace(0, 2 * math.pi, 60)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y], axis=1) * radius / 16


def _lettering(pen: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, ink: _Ink) -> None:
    """Block letters in a row, drawn rather than set: no font is needed."""
    strokes: dict[str, list[tuple[float, float, float, float]]] = {
        "A": [(0, 1, 0.5, 0), (0.5, 0, 1, 1), (0.2, 0.65, 0.8, 0.65)],
        "E": [(0, 0, 0, 1), (0, 0, 1, 0), (0, 0.5, 0.8, 0.5), (0, 1, 1, 1)],
        "H": [(0, 0, 0, 1), (1, 0, 1, 1), (0, 0.5, 1, 0.5)],
        "T": [(0, 0, 1, 0), (0.5, 0, 0.5, 1)],
    }
    letters = "HEAT"
    cell = width / len(letters)
    for place, letter in enumerate(letters):
        left = x - width / 2 + cell * (place + 0.14)
        for x1, y1, x2, y2 in strokes[letter]:
            line = (left + x1 * 0.72 * cell, y + y1 * height, left + x2 * 0.72 * cell, y + y2 * height)
            pen.line(line, fill=ink, width=max(4, round(height * 0.24)))


def graphic_sheet(style: Style) -> Image.Image:
    """One large print on the chest: sun, star, heart, face, mountains or bolt, some with lettering."""
    sheet, pen = _sheet()
    size = 65.0 * style.pattern_scale
    x, y = SHEET * (0.5 + 0.006 * style.pattern_angle), SHEET * 0.368
    match style.motif:
        case 0:
            _polygon(pen, _star(12, size * 1.08, 0.70), x, y, _FIRST)
            _disc(pen, x, y, size * 0.58, _BARE)
            _disc(pen, x, y, size * 0.44, _SECOND)
        case 1:
            _disc(pen, x, y, size, _SECOND)
            _polygon(pen, _star(5, size * 0.98, 0.42), x, y, _BARE)
            _polygon(pen, _star(5, size * 0.80, 0.42), x, y, _FIRST)
        case 2:
            _polygon(pen, _heart(size), x, y - 4, _FIRST)
            _lettering(pen, x, y - size * 0.32, size * 1.3, size * 0.42, _BARE)
        case 3:
            _disc(pen, x, y, size, _FIRST)
            for side in (-1, 1):
                _disc(pen, x + side * size * 0.36, y - size * 0.22, size * 0.17, _BARE)
            pen.arc((x - size * 0.55, y - size * 0.5, x + size * 0.55, y + size * 0.62), 20, 160, _BARE, 9)
        case 4:
            pen.rectangle((x - size, y - size * 0.95, x + size, y + size * 0.95), fill=_SECOND)
            _disc(pen, x + size * 0.4, y - size * 0.4, size * 0.3, _THIRD)
            peaks = np.array([(-1.0, 0.95), (-0.35, -0.5), (0.1, 0.3), (0.4, -0.1), (1.0, 0.95)])
            _polygon(pen, peaks * size, x, y, _FIRST)
        case _:
            _disc(pen, x, y, size, _THIRD)
            bolt = np.array([(0.15, -1.15), (-0.6, 0.15), (-0.05, 0.15), (-0.2, 1.15), (0.6, -0.25), (0.05, -0.25)])
            _polygon(pen, bolt * size, x, y, _FIRST)
    if style.motif in (0, 1, 5):
        _lettering(pen, x, y + size * 1.16, size * 1.9, size * 0.34, _FIRST)
    # Figures may stand mirrored; what is written on them may not.
    return ImageOps.mirror(sheet) if style.mirrored else sheet


def _scroll(x: float, y: float, radius: float, turns: float, start: float, side: int) -> list[tuple[float, float]]:
    angle = np.linspace(0, turns * 2 * math.pi, 26)
    reach = radius * (1 - 0.8 * angle / angle[-1])
    across, down = x + side * reach * np.cos(angle + start), y + reach * np.sin(angle + start)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def _sprig(pen: ImageDraw.ImageDraw, x: float, y: float, size: float, side: int) -> None:
    """A stitched flower on a curling stem: outlines and hatching, nothing filled."""
    stem = _scroll(x, y + size * 1.1, size * 0.8, 1.2, -math.pi / 2, side)
    tendril = _scroll(x - side * size * 0.1, y + size * 1.9, size * 0.5, 1.1, -math.pi / 2, -side)
    for thread in (stem, tendril):
        pen.line(thread, fill=_SECOND, width=4)
    for petal in range(6):
        turn = petal * math.pi / 3
        for spread in (-0.3, 0.0, 0.3):
            tip = (x + size * math.cos(turn + spread) * 0.9, y + size * math.sin(turn + spread) * 0.9)
            base = (x + size * 0.28 * math.cos(turn), y + size * 0.28 * math.sin(turn))
            pen.line((*base, *tip), fill=_FIRST, width=3)
    _disc(pen, x, y, size * 0.18, _THIRD)


BORDER = 0.86
"""Height of the middle of the border on the embroidered sheet, which a garment lays along its hem and cuffs."""


def embroidery_sheet(style: Style) -> Image.Image:
    """Thread motifs in mirror symmetry on the breast, and a border at the height `BORDER`."""
    sheet, pen = _sheet()
    size = 27.0 * style.pattern_scale
    middle = SHEET / 2
    for side in (-1, 1):
        _sprig(pen, middle + side * 62, SHEET * 0.285, size, side)
        _sprig(pen, middle + side * 24, SHEET * 0.375, size * 0.8, -side)
    _border(pen, SHEET * BORDER, style)
    return sheet


def _border(pen: ImageDraw.ImageDraw, y: float, style: Style) -> None:
    """A row of stitched lozenges and crosses across the sheet, between two rows of stitches."""
    pitch = 34.0 * style.pattern_scale
    for line in (-19, 19):
        for stitch in range(0, SHEET, 10):
            pen.line((stitch, y + line - 3, stitch + 6, y + line + 3), fill=_SECOND, width=4)
    for place in range(int(SHEET / pitch) + 2):
        x = (place - style.phase_x) * pitch
        for inset in (0, 6):
            reach = 14 - inset
            diamond = [(x - reach, y), (x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
            pen.line(diamond, fill=_FIRST, width=3)
        pen.line((x + pitch / 2 - 5, y - 5, x + pitch / 2 + 5, y + 5), fill=_THIRD, width=3)
        pen.line((x + pitch / 2 - 5, y + 5, x + pitch / 2 + 5, y - 5), fill=_THIRD, width=3)
