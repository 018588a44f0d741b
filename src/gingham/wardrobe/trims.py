"""Seams, bands, stitching, pockets and zips: what a tailor adds, drawn along the garment's own lines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image

from gingham.wardrobe.geometry import Frame, Points, draw_line, draw_shape, points
from gingham.wardrobe.silhouette import Outline

__all__ = ["TRIMS", "Trims", "sew"]


@dataclass(frozen=True)
class Trims:
    """Masks of the whole picture.

    Attributes:
        dark: where a seam takes light away.
        bright: where thread or metal shows.
    """

    dark: Image.Image
    bright: Image.Image


def _lower(line: Points, by: float) -> Points:
    lowered: Points = line + np.array([0.0, by])
    return lowered


def _fastening(outline: Outline) -> Points:
    top = float(outline.neckline[:, 1].max())
    return points((0.0, top), (0.0, outline.hem + 0.012))


def _denim(trims: Trims, frame: Frame, outline: Outline) -> None:
    """Double rows of thread, chest pockets, a placket with metal buttons."""
    build = frame.style.build
    thread = 0.0060
    for offset in (0.014, 0.024):
        draw_line(trims.bright, frame, _lower(outline.hem_line, -offset), thread, 235, 0.013)
        for sleeve in outline.sleeves:
            back = offset * (sleeve.joints[1] - sleeve.joints[2]) / np.linalg.norm(sleeve.joints[1] - sleeve.joints[2])
            draw_line(trims.bright, frame, sleeve.cuff + back, thread, 235, 0.013)
    front = _fastening(outline)
    for side in (-0.013, 0.013):
        draw_line(trims.bright, frame, front + np.array([side, 0.0]), thread, 235, 0.013)
    draw_line(trims.dark, frame, front + np.array([0.019, 0.0]), 0.005, 200)
    start, end = front[0, 1] + 0.022, outline.hem - 0.03
    for y in np.arange(start, end, 0.055):
        button = points((-0.006, y - 0.006), (0.006, y - 0.006), (0.006, y + 0.006), (-0.006, y + 0.006))
        draw_shape(trims.dark, frame, button * 1.0 + np.array([0.002, 0.002]), 220)
        draw_shape(trims.bright, frame, button)
    # Chest pockets lie below every neckline, hip pockets on what goes that far.
    for x1, x2, y1, y2 in ((0.034, 0.092, 0.268, 0.338), (0.052, 0.118, 0.418, 0.492)):
        for flip in (1.0, -1.0):
            at = np.array([flip * build * min(1.0, float(outline.widths[int(1024 * y1)]) / 0.13), 1.0])
            pocket = points((x1, y1), (x2, y1), (x2, y2), ((x1 + x2) / 2, y2 + 0.012), (x1, y2), (x1, y1)) * at
            draw_line(trims.dark, frame, pocket, 0.010, 200)
            draw_line(trims.bright, frame, pocket + (pocket.mean(axis=0) - pocket) * 0.13, thread, 235, 0.013)
    for hole in outline.armholes:
        draw_line(trims.bright, frame, hole * np.array([0.93, 1.0]), thread, 235, 0.013)
    draw_line(trims.bright, frame, _lower(outline.neckline, 0.014), thread, 235, 0.013)


def _leather(trims: Trims, frame: Frame, outline: Outline) -> None:
    """Panel seams and a zip beside the middle."""
    for side in (1.0, -1.0):
        panel = points((0.085, 0.235), (0.074, 0.375), (0.094, 0.49), (0.104, outline.hem)) * np.array([side, 1.0])
        draw_line(trims.dark, frame, panel, 0.006, 200)
    front = _fastening(outline)
    slant = front + np.array([[0.020, 0.0], [0.0, 0.0]])
    draw_line(trims.dark, frame, slant, 0.014, 210)
    draw_line(trims.bright, frame, slant, 0.008, 255, 0.011)
    draw_line(trims.dark, frame, _lower(outline.hem_line, -0.018), 0.005, 190)


def _knit(trims: Trims, frame: Frame, outline: Outline) -> None:
    """A ribbed band at the neck."""
    draw_line(trims.dark, frame, _lower(outline.neckline, 0.020), 0.005, 150)


def _hemmed(trims: Trims, frame: Frame, outline: Outline) -> None:
    draw_line(trims.dark, frame, _lower(outline.hem_line, -0.016), 0.003, 110)


def _nothing(trims: Trims, frame: Frame, outline: Outline) -> None:
    pass


TRIMS: Mapping[str, Callable[[Trims, Frame, Outline], None]] = MappingProxyType(
    {
        "denim": _denim,
        "chiffon": _nothing,
        "cotton": _hemmed,
        "leather": _leather,
        "faux": _nothing,
        "knit": _knit,
    }
)
"""Class name of the attribute `fabric` -> what its tailors add."""


def sew(frame: Frame, outline: Outline, fabric: str) -> Trims:
    """All seams and trims of a garment of one fabric."""
    trims = Trims(frame.canvas(), frame.canvas())
    draw_line(trims.dark, frame, outline.neckline, 0.026, 205)
    for hole in outline.armholes:
        draw_line(trims.dark, frame, hole, 0.010, 105)
    for sleeve in outline.sleeves:
        draw_line(trims.dark, frame, sleeve.cuff, 0.012, 90)
        closed = np.concatenate([sleeve.outline, sleeve.outline[:1]])
        draw_line(trims.dark, frame, closed, 0.005, 130)
    TRIMS[fabric](trims, frame, outline)
    return trims
