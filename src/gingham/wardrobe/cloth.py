"""The cloth of a cut garment: for every pixel, where on the cloth it lies, and how the cloth falls there."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gingham.wardrobe.geometry import Field, Frame, Points
from gingham.wardrobe.silhouette import ROWS, Outline, Sleeve
from gingham.wardrobe.style import Style

__all__ = ["Box", "Cloth", "lay", "round_shading"]

Box = tuple[int, int, int, int]
"""Pixels x1, y1, x2, y2; the last two are one past the end."""

_SLEEVE_AT = 0.37  # where, across the cloth, a sleeve's pattern begins; the torso's is around 0
_SHOULDER_AT = 0.17


@dataclass(frozen=True)
class Cloth:
    """Fields [H, W] over the garment's box.

    Attributes:
        style: what is not an attribute.
        frame: where the body stands.
        box: which part of the picture the fields cover.
        u: across the cloth, in body units; the body's middle is 0, sleeves have coordinates of their own.
        v: down the cloth, in body units.
        n: across the torso or sleeve, from -1 at one edge to 1 at the other.
        edge: how far above the hem or cuff, in body units.
        sleeve: 1 on sleeves, 0 on the torso.
        y: height of the pixel in body coordinates, also on sleeves.
        grip: half width at the waist over 0.14: what pleats are counted by.
    """

    style: Style
    frame: Frame
    box: Box
    u: Field
    v: Field
    n: Field
    edge: Field
    sleeve: Field
    y: Field
    grip: float

    def noise(self, name: str, columns: int, rows: int) -> Field:
        """Smooth noise [H, W] of about unit variance, fixed to the picture and not to the box.

        Args:
            name: the style's stream to draw from.
            columns: grid points across the picture.
            rows: grid points down the picture.
        """
        grid = self.style.stream(name).standard_normal((rows, columns))
        x1, y1, x2, y2 = self.box
        whole = self.frame.pixels
        image = Image.fromarray(grid.astype(np.float32))
        part = (x1 * columns / whole, y1 * rows / whole, x2 * columns / whole, y2 * rows / whole)
        return np.asarray(image.resize((x2 - x1, y2 - y1), Image.Resampling.BICUBIC, box=part), dtype=np.float32)


def _arm_fields(x: Field, y: Field, sleeve: Sleeve) -> tuple[Field, Field]:
    """Across (-, towards the body) and along a sleeve, in body units."""
    joints = sleeve.joints * np.array([sleeve.side, 1.0])
    shoulder, elbow, wrist = joints
    x = x * np.float32(sleeve.side)
    length = float(np.linalg.norm(elbow - shoulder))
    (ax, ay), (bx, by) = (elbow - shoulder) / length, (wrist - elbow) / np.linalg.norm(wrist - elbow)

    def project(origin: Points, dx: float, dy: float) -> tuple[Field, Field]:
        rx, ry = x - np.float32(origin[0]), y - np.float32(origin[1])
        return rx * np.float32(dy) - ry * np.float32(dx), rx * np.float32(dx) + ry * np.float32(dy)

    across, along = project(shoulder, ax, ay)
    across2, along2 = project(elbow, bx, by)
    lower = along2 > 0
    return np.where(lower, across2, across), np.where(lower, along2 + np.float32(length), along)


def lay(frame: Frame, outline: Outline, sleeves: Field, box: Box) -> Cloth:
    """Lay cloth on an outline; `sleeves` is the sleeves' mask [H, W] of the box."""
    style = frame.style
    x, y = frame.to_body(box)
    rows = np.clip((y * np.float32(ROWS)).astype(np.int32), 0, ROWS - 1)
    half = outline.widths[rows]
    u, v, n = x, y, x / half
    edge = np.float32(outline.hem) + np.float32(0.016) * (1 - n * n) - y
    covered = sleeves > 0.5
    for sleeve in outline.sleeves:
        mine = covered & ((x > 0) == (sleeve.side > 0))
        across, along = _arm_fields(x, y, sleeve)
        u = np.where(mine, np.float32(sleeve.side) * (np.float32(_SLEEVE_AT) + across), u)
        v = np.where(mine, along + np.float32(_SHOULDER_AT), v)
        n = np.where(mine, np.float32(sleeve.side) * across / np.float32(sleeve.width), n)
        edge = np.where(mine, np.float32(sleeve.end) - along, edge)
    waist = float(outline.widths[int(0.375 * ROWS)])
    return Cloth(style, frame, box, u, v, np.clip(n, -1.1, 1.1), edge, sleeves, y, waist / 0.14)


def round_shading(cloth: Cloth) -> Field:
    """How light the cloth is for the roundness of body and arms, and for its soft folds, around 1."""
    style = cloth.style
    n2 = cloth.n * cloth.n
    light = 1.02 - 0.10 * n2 - 0.24 * n2 * n2 + np.float32(0.13 * style.light) * cloth.n
    # Folds hang from the waist and deepen towards the hem of a skirt.
    fall = np.clip((cloth.y - 0.40) * 2.2, 0.0, 1.0) * (1.0 - cloth.sleeve)
    turn = cloth.n * 7.5 + np.float32(6.28 * style.phase_x) + 1.2 * np.sin(cloth.y * 5.0)
    light += np.float32(0.09) * fall * np.sin(turn)
    light += np.float32(0.035) * cloth.noise("drape", 9, 9)
    shaded: Field = np.float32(1.0) + (light - np.float32(1.0)) * np.float32(style.shade)
    return shaded
