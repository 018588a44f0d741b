"""The cut of a garment: necklines, sleeves, lengths and fits as outlines in body coordinates."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from gingham.wardrobe.geometry import Points, limb, points, smooth
from gingham.wardrobe.style import Style

__all__ = ["ARMPIT", "FITS", "LENGTHS", "NECKLINES", "ROWS", "SLEEVES", "Fit", "Outline", "Sleeve", "arm", "cut"]

ROWS = 1024
"""Rows of the table of half widths: row r speaks of y = r / ROWS."""

ARMPIT = 0.25
_SHOULDER = (0.055, 0.118), (0.165, 0.150)


@dataclass(frozen=True)
class Fit:
    """Half widths of the garment from the armpit down, and of a sleeve from the shoulder to the wrist."""

    body: tuple[float, float, float, float, float]
    sleeve: tuple[float, float]
    armpit: float


@dataclass(frozen=True)
class Sleeve:
    """One sleeve; `side` is 1 at the right of the picture of an unmirrored figure and -1 at the left.

    Its cloth has coordinates of its own: across the arm, and along it from the shoulder.
    """

    side: int
    outline: Points
    cuff: Points
    top: Points
    joints: Points
    end: float
    width: float


@dataclass(frozen=True)
class Outline:
    """All lines of a cut garment, in body coordinates."""

    torso: Points
    neckline: Points
    hem_line: Points
    armholes: tuple[Points, ...]
    sleeves: tuple[Sleeve, ...]
    strapless: bool
    hem: float
    widths: npt.NDArray[np.float32]


def _shoulder_at(x: float) -> float:
    (x1, y1), (x2, y2) = _SHOULDER
    return y1 + (y2 - y1) * (x - x1) / (x2 - x1)


# Each neckline: the right half of its edge, from the middle of the front up to the shoulder seam.


def _crew(style: Style) -> Points:
    low = 0.163 + 0.006 * style.neck
    return smooth(points((0.0, low), (0.032, low - 0.008), (0.055, low - 0.028), (0.062, _shoulder_at(0.062))))


def _v(style: Style) -> Points:
    low = 0.308 + 0.018 * style.neck
    return points((0.0, low), (0.036, low - 0.10), (0.070, _shoulder_at(0.070)))


def _square(style: Style) -> Points:
    low = 0.236 + 0.010 * style.neck
    return points((0.0, low), (0.099, low), (0.101, _shoulder_at(0.101)))


def _none(style: Style) -> Points:
    low = 0.226 + 0.008 * style.neck
    return smooth(points((0.0, low + 0.004), (0.08, low), (0.150, low - 0.008)))


NECKLINES: Mapping[str, Callable[[Style], Points]] = MappingProxyType(
    {"crew_neckline": _crew, "v_neckline": _v, "square_neckline": _square, "no_neckline": _none}
)

SLEEVES: Mapping[str, float] = MappingProxyType({"long_sleeve": 0.312, "short_sleeve": 0.120, "sleeveless": 0.0})
"""How far along the arm, from the shoulder, a sleeve goes."""

LENGTHS: Mapping[str, float] = MappingProxyType({"maxi_length": 0.915, "mini_length": 0.665, "no_dress": 0.515})
"""Height of the hem."""

_LEVELS = (ARMPIT, 0.375, 0.49, 0.66, 0.92)

FITS: Mapping[str, Fit] = MappingProxyType(
    {
        "tight": Fit((0.138, 0.099, 0.148, 0.130, 0.118), (0.039, 0.028), 0.255),
        "loose": Fit((0.174, 0.212, 0.252, 0.305, 0.348), (0.070, 0.090), 0.295),
        "conventional": Fit((0.152, 0.150, 0.170, 0.190, 0.210), (0.053, 0.047), 0.268),
    }
)


def arm(style: Style, side: int) -> Points:
    """Shoulder, elbow and wrist, [3, 2]."""
    degrees, bend = (style.arm_right, style.elbow_right) if side > 0 else (style.arm_left, style.elbow_left)
    upper, lower = np.deg2rad(degrees), np.deg2rad(degrees - bend)
    shoulder = np.array([0.150 * style.build, 0.174])
    elbow = shoulder + 0.165 * np.array([np.sin(upper), np.cos(upper)])
    wrist = elbow + 0.160 * np.array([np.sin(lower), np.cos(lower)])
    joints: Points = np.stack([shoulder, elbow, wrist]) * np.array([side, 1.0])
    return joints


def _both(half: Points) -> Points:
    """A line through the middle from its right half, which begins in the middle."""
    return np.concatenate([half[:0:-1] * np.array([-1.0, 1.0]), half])


def _sleeve(style: Style, side: int, fit: Fit, reach: float, strapless: bool) -> Sleeve:
    joints = arm(style, side) * np.array([side, 1.0])  # as a right arm; mirrored at the end
    path = smooth(joints, 12)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    start = 0.048 if strapless else 0.0
    along = np.linspace(start, reach, 24)
    middle = np.stack([np.interp(along, lengths, path[:, axis]) for axis in (0, 1)], axis=1)
    widths = np.interp(along, [0.0, 0.325], fit.sleeve)
    sides = limb(middle, widths.tolist())
    inner, outer = sides[:24], sides[24:][::-1]
    if strapless:
        outline = np.concatenate([outer, inner[::-1]])
    else:
        tip = np.array([0.128 * style.build, 0.139])
        # The armpit is where the sleeve's inside meets the body, or on the body where the sleeve is the wider.
        pit_y = min(fit.armpit, float(inner[-1, 1]) - 0.012)
        pit_x = min((fit.body[0] + 0.002) * style.build, float(np.interp(pit_y, inner[:, 1], inner[:, 0])))
        pit = np.array([pit_x, pit_y])
        # The cap rounds the shoulder; the inside joins the body at the armpit.
        far = along > 0.045
        near = (along > 0.075) & (inner[:, 1] > pit[1] + 0.004)
        cap = smooth(np.concatenate([[tip], [[0.166 * style.build, 0.151]], outer[far][:1]]), 6)
        armhole = smooth(np.stack([pit, [0.136 * style.build, 0.205], tip]), 6)
        outline = np.concatenate([cap, outer[far], inner[near][::-1], armhole])
    flip = np.array([side, 1.0])
    return Sleeve(
        side=side,
        outline=outline * flip,
        cuff=np.stack([outer[-1], inner[-1]]) * flip,
        top=np.stack([outer[0], inner[0]]) * flip,
        joints=joints * flip,
        end=reach,
        width=float(widths.mean()),
    )


def cut(style: Style, sleeve: str, length: str, neckline: str, fit: str) -> Outline:
    """Cut a garment to a style's body; the arguments are keys of `SLEEVES`, `LENGTHS`, `NECKLINES` and `FITS`."""
    shape = FITS[fit]
    strapless = neckline == "no_neckline"
    reach = SLEEVES[sleeve]
    hem = LENGTHS[length] + 0.016 * style.hem
    side = smooth(np.stack([np.array(shape.body), np.array(_LEVELS)], axis=1), 16)
    grid = np.arange(ROWS) / ROWS
    widths = np.interp(grid, side[:, 1], side[:, 0]) * style.build
    neck = NECKLINES[neckline](style)
    if strapless:
        neck = neck * np.array([(shape.body[0] + 0.004) / neck[-1, 0], 1.0])
    top = neck[-1]
    if strapless:
        below = side[side[:, 1] > top[1] + 0.02]
        shoulder = np.array([[shape.body[0] + 0.004, top[1]]])
    elif reach:
        below = side
        shoulder = np.array([_SHOULDER[1], [0.155, 0.2]])
    else:
        below = side
        shoulder = smooth(points((0.134, _shoulder_at(0.134)), (0.122, 0.195), (side[0, 0], side[0, 1])), 8)[:-1]
    below = below[below[:, 1] < hem]
    low = np.array([[np.interp(hem, grid, widths) / style.build, hem]])
    half = np.concatenate([neck, shoulder, below, low]) * np.array([style.build, 1.0])
    across = np.linspace(-1.0, 1.0, 33)
    bow = 0.016 * (1.0 - across**2)
    hem_line = np.stack([across * low[0, 0] * style.build, hem + bow], axis=1)
    torso = np.concatenate([_both(half), hem_line[::-1]])
    armholes: tuple[Points, ...] = ()
    if not reach and not strapless:
        right = np.concatenate([shoulder, below[:1]]) * np.array([style.build, 1.0])
        armholes = (right, right * np.array([-1.0, 1.0]))
    sleeves = tuple(
        _sleeve(style, which, shape, reach * (1.0 + 0.05 * style.reach), strapless) for which in (-1, 1) if reach
    )
    return Outline(
        torso=torso,
        neckline=_both(neck * np.array([style.build, 1.0])),
        hem_line=hem_line,
        armholes=armholes,
        sleeves=sleeves,
        strapless=strapless,
        hem=hem,
        widths=widths.astype(np.float32),
    )
