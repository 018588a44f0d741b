"""What is on the cloth: one function per class of the attribute `pattern`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from PIL import Image

from gingham.wardrobe.cloth import Cloth
from gingham.wardrobe.geometry import Field, step
from gingham.wardrobe.motifs import BORDER, SHEET, embroidery_sheet, floral_sheet, graphic_sheet

__all__ = ["PATTERNS", "Print", "shifted"]


@dataclass(frozen=True)
class Print:
    """A pattern on the cloth.

    Attributes:
        inks: how much of the first, second and third ink covers the cloth, each [H, W] between 0 and 1.
        light: what the pattern does to the light [H, W], around 1; None where it lies flat.
    """

    inks: tuple[Field, ...] = ()
    light: Field | None = None


def shifted(cloth: Cloth, du: Field, dv: Field) -> Cloth:
    """The cloth with its pattern pulled sideways and down by fields [H, W]; the fabric's surface does that."""
    return replace(cloth, u=cloth.u + du, v=cloth.v + dv)


def _sampled(sheet: Image.Image, cloth: Cloth) -> tuple[Field, Field, Field]:
    """The inks of a drawn sheet, at every pixel."""
    ink = np.asarray(sheet)
    column = np.clip((cloth.u + np.float32(0.5)) * SHEET, 0, SHEET - 1).astype(np.intp)
    row = np.clip(cloth.v * np.float32(SHEET), 0, SHEET - 1).astype(np.intp)
    found = ink.reshape(-1, 3)[row * SHEET + column].astype(np.float32) * np.float32(1 / 255)
    return found[..., 0], found[..., 1], found[..., 2]


def _floral(cloth: Cloth) -> Print:
    return Print(_sampled(floral_sheet(cloth.style), cloth))


def _graphic(cloth: Cloth) -> Print:
    return Print(_sampled(graphic_sheet(cloth.style), cloth))


def _striped(cloth: Cloth) -> Print:
    style = cloth.style
    slope = np.float32(0.16 * style.pattern_angle)
    pitch = 0.052 * style.pattern_scale
    place = (cloth.v + slope * cloth.u) * np.float32(1 / pitch) + np.float32(style.phase_y)
    wave = np.abs((place % 1.0) - 0.5)
    return Print((step(wave - 0.26, 0.06),))


def _embroidered(cloth: Cloth) -> Print:
    # The border follows hem and cuffs, wherever those are: it is laid out by the distance from the edge.
    border = cloth.edge < 0.10
    height = np.where(border, np.float32(BORDER + 0.041) - cloth.edge, np.minimum(cloth.v, np.float32(0.70)))
    inks = _sampled(embroidery_sheet(cloth.style), replace(cloth, v=height))
    stitched = np.clip(inks[0] + inks[1] + inks[2], 0, 1)
    thread = 1.0 + 0.25 * np.sin((cloth.u + cloth.v) * np.float32(900.0)) * stitched
    return Print(inks, thread.astype(np.float32))


def _pleated(cloth: Cloth) -> Print:
    count = np.where(cloth.sleeve > 0.5, np.float32(1.5), np.float32(max(2.5, round(6.8 * cloth.grip) / 2)))
    place = (cloth.n * count + np.float32(cloth.style.phase_x)) % 1.0
    # A knife pleat: rising to the light, then turning under in a sharp dark edge.
    light = 0.68 + 0.58 * place - 0.46 * step(0.10 - place, 0.05)
    return Print((), light.astype(np.float32))


def _solid(cloth: Cloth) -> Print:
    return Print()


def _lattice(cloth: Cloth) -> Print:
    style = cloth.style
    pitch = 0.076 * style.pattern_scale
    angle = np.deg2rad(45.0 + 9.0 * style.pattern_angle)
    cos, sin = np.float32(np.cos(angle) / pitch), np.float32(np.sin(angle) / pitch)
    rising = (cloth.u * cos + cloth.v * sin + np.float32(style.phase_x)) % 1.0
    falling = (cloth.u * cos - cloth.v * sin + np.float32(style.phase_y)) % 1.0
    nearest = np.minimum(np.abs(rising - 0.5), np.abs(falling - 0.5))
    return Print((step(0.080 - nearest, 0.035),))


PATTERNS: Mapping[str, Callable[[Cloth], Print]] = MappingProxyType(
    {
        "floral": _floral,
        "graphic": _graphic,
        "striped": _striped,
        "embroidered": _embroidered,
        "pleated": _pleated,
        "solid": _solid,
        "lattice": _lattice,
    }
)
"""Class name -> what it prints on the cloth, in the order of the schema."""
