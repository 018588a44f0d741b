"""What the cloth is: one function per class of the attribute `fabric`, lighting the cloth's surface."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gingham.wardrobe.cloth import Cloth
from gingham.wardrobe.fur import hair
from gingham.wardrobe.geometry import Field, step

__all__ = ["FABRICS", "Surface"]


@dataclass(frozen=True)
class Surface:
    """A fabric's surface; every field is [H, W].

    Attributes:
        light: what it makes of the light, around 1.
        shine: white light added, from 0; None for a matte surface.
        cover: how opaque it is, from 0 to 1; None for opaque.
        pull: how far it pulls a pattern across and down the cloth, in body units; None for not at all.
    """

    light: Field
    shine: Field | None = None
    cover: Field | None = None
    pull: tuple[Field, Field] | None = None


def _denim(cloth: Cloth) -> Surface:
    weave = 0.0125 * cloth.style.weave_scale
    twill = np.sin((cloth.u + cloth.v * 1.05) * np.float32(2 * np.pi / weave))
    slub = cloth.noise("denim", 150, 150)
    worn = np.clip(cloth.noise("worn", 7, 9), -1.5, 1.5)
    fade = 0.09 * worn + 0.15 * np.exp(-(cloth.n**2) * 6.0) * (cloth.y > 0.3)
    return Surface((0.92 + 0.21 * twill + 0.08 * slub + fade).astype(np.float32))


def _chiffon(cloth: Cloth) -> Surface:
    turn = cloth.n * 11.0 + 2.2 * np.sin(cloth.v * 13.0 + 6.28 * cloth.style.phase_y)
    turn += 1.4 * cloth.noise("chiffon", 6, 6)
    fold = np.sin(turn)
    ridge = np.clip(fold, 0, 1) ** 3
    rolled = step(0.010 - cloth.edge, 0.004)
    cover = np.clip(0.36 + 0.22 * fold + 0.12 * ridge + 0.40 * rolled, 0.15, 0.85)
    return Surface((1.08 + 0.10 * fold).astype(np.float32), 0.10 * ridge, cover.astype(np.float32))


def _cotton(cloth: Cloth) -> Surface:
    crease = np.clip(1.0 - np.abs(cloth.noise("cotton", 7, 8)) * 5.0, 0, 1)
    return Surface((1.0 - 0.05 * crease + 0.012 * cloth.noise("thread", 200, 200)).astype(np.float32))


def _leather(cloth: Cloth) -> Surface:
    # Stiff and smooth: it buckles into slanting creases with bright ridges, and mirrors the lamp as a streak.
    bumps = cloth.noise("leather", 9, 13) + 0.7 * cloth.noise("grainy", 18, 34)
    crease = np.clip(1.0 - np.abs(bumps + 0.5) * 4.0, 0, 1)
    ridge = np.clip(1.0 - np.abs(bumps - 0.9) * 2.4, 0, 1)
    away = cloth.n + np.float32(0.42 * cloth.style.light) + 0.10 * bumps
    main = np.exp(-((away * 4.2) ** 2))
    rim = np.exp(-(((np.abs(cloth.n) - 0.80) * 8.0 + 0.4 * bumps) ** 2))
    light = 0.64 - 0.26 * crease + 0.08 * bumps
    shine = 0.40 * main * np.clip(0.7 + 0.5 * bumps, 0, 1.5) + 0.20 * rim + 0.24 * ridge**2
    return Surface(light.astype(np.float32), shine.astype(np.float32))


def _faux(cloth: Cloth) -> Surface:
    light, du, dv = hair(cloth)
    clumps = cloth.noise("clumps", 26, 26)
    return Surface(light * (1.0 + 0.10 * clumps), None, None, (du, dv))


def _knit(cloth: Cloth) -> Surface:
    column = 0.026 * cloth.style.weave_scale
    row = 0.019 * cloth.style.weave_scale
    across = cloth.u * np.float32(1 / column) + np.float32(cloth.style.phase_x)
    side = np.abs((across % 1.0) - 0.5) * 2.0  # 0 in the middle of a column of stitches, 1 between two
    lift = 0.75 * (1 - side) * np.float32(row)
    stitch = np.abs(((cloth.v - lift) * np.float32(1 / row)) % 1.0 - 0.5) * 2.0
    yarn = (1 - stitch**2) * (1 - side**6)
    gap = np.exp(-(((side - 1.0) * 5.0) ** 2)) + 0.6 * np.exp(-((side * 6.0) ** 2))
    light = 0.70 + 0.48 * yarn - 0.26 * gap
    rib = 0.86 + 0.30 * np.cos(cloth.u * np.float32(2 * np.pi / 0.019))
    ribbed = step(0.040 - cloth.edge, 0.004)
    light = light + (rib - light) * ribbed - 0.3 * np.exp(-(((cloth.edge - 0.040) * 300.0) ** 2))
    return Surface(light.astype(np.float32), None, None, (np.zeros_like(lift), np.float32(-0.45) * lift))


FABRICS: Mapping[str, Callable[[Cloth], Surface]] = MappingProxyType(
    {"denim": _denim, "chiffon": _chiffon, "cotton": _cotton, "leather": _leather, "faux": _faux, "knit": _knit}
)
"""Class name -> its surface, in the order of the schema."""
