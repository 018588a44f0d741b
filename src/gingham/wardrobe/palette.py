"""Colours: drawn freely in hue, held apart in brightness so that what lies on what can be seen."""

import colorsys
from dataclasses import dataclass

import numpy as np

__all__ = ["CONTRAST", "Colour", "Palette", "draw_colours", "luminance", "mix"]

Colour = tuple[float, float, float]
"""Red, green and blue, each between 0 and 1."""

CONTRAST = {"ink": 0.34, "skin": 0.25, "trousers": 0.18, "wall": 0.12}
"""How far, in luminance, each thing keeps from the cloth."""

_CLOTH = (0.30, 0.74)
_OTHERS = (0.22, 0.96)


@dataclass(frozen=True)
class Palette:
    """The colours of one picture."""

    cloth: Colour
    inks: tuple[Colour, Colour, Colour]
    skin: Colour
    trousers: Colour
    walls: tuple[Colour, Colour]


def luminance(colour: Colour) -> float:
    """Perceived brightness between 0 and 1 (Rec. 601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour in the first."""
    keep = 1.0 - share
    return (
        keep * first[0] + share * second[0],
        keep * first[1] + share * second[1],
        keep * first[2] + share * second[2],
    )


def _with_luminance(colour: Colour, target: float) -> Colour:
    have = luminance(colour)
    if target <= have:
        return mix((0.0, 0.0, 0.0), colour, target / max(have, 1e-6))
    return mix(colour, (1.0, 1.0, 1.0), (target - have) / max(1.0 - have, 1e-6))


def _away_from(rng: np.random.Generator, avoid: float, gap: float, low: float, high: float) -> float:
    """A luminance in [low, high], uniform over what is at least `gap` from `avoid`."""
    below = max(avoid - gap - low, 0.0)
    above = max(high - avoid - gap, 0.0)
    place = rng.uniform(0.0, below + above)
    return float(low + place if place < below else avoid + gap + (place - below))


def _any(rng: np.random.Generator, target: float, saturation: tuple[float, float]) -> Colour:
    hue, depth = rng.uniform(), rng.uniform(*saturation)
    return _with_luminance(colorsys.hsv_to_rgb(hue, depth, 0.9), target)


def draw_colours(rng: np.random.Generator) -> Palette:
    """Draw a palette; the luminances keep the distances of `CONTRAST` from the cloth's."""
    base = float(rng.uniform(*_CLOTH))
    cloth = _any(rng, base, (0.05, 0.95))
    first, second, third = (_any(rng, _away_from(rng, base, CONTRAST["ink"], 0.04, 0.97), (0.1, 1.0)) for _ in range(3))
    # A mannequin is wood, plaster, or one of the tones that people have: warm hues, little colour.
    warm = colorsys.hsv_to_rgb(rng.uniform(0.03, 0.11), rng.uniform(0.02, 0.5), 0.9)
    skin = _with_luminance(warm, _away_from(rng, base, CONTRAST["skin"], 0.20, 0.88))
    trousers = _any(rng, _away_from(rng, base, CONTRAST["trousers"], *_OTHERS), (0.0, 0.5))
    wall = _away_from(rng, base, CONTRAST["wall"], *_OTHERS)
    other = _away_from(rng, base, CONTRAST["wall"], max(wall - 0.25, _OTHERS[0]), min(wall + 0.25, _OTHERS[1]))
    return Palette(
        cloth,
        (first, second, third),
        skin,
        trousers,
        (_any(rng, wall, (0.0, 0.6)), _any(rng, other, (0.0, 0.6))),
    )
