"""Everything about a picture that is not an attribute: pose, colours, background, light, wear and camera."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gingham.wardrobe.palette import Colour, draw_colours

__all__ = ["CHOICES", "RANGES", "Style", "draw_style"]

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "scale": (0.96, 1.06),  # height of the figure, as a fraction of the picture
        "angle": (-6.0, 6.0),  # degrees that the figure leans
        "shift_x": (-0.03, 0.03),  # fractions of the picture
        "shift_y": (-0.015, 0.015),
        "sway": (-0.035, 0.035),  # how far hips and shoulders move apart sideways
        "build": (0.97, 1.05),  # width of the body
        "arm_left": (17.0, 33.0),  # degrees between arm and body
        "arm_right": (17.0, 33.0),
        "elbow_left": (0.0, 20.0),  # degrees that the forearm bends back to the body
        "elbow_right": (0.0, 20.0),
        "hem": (-1.0, 1.0),  # within a class: longer or shorter
        "neck": (-1.0, 1.0),  # within a class: shallower or deeper
        "reach": (-1.0, 1.0),  # within a class: shorter or longer sleeves
        "light": (-1.0, 1.0),  # from the left or from the right
        "shade": (0.75, 1.1),  # strength of all shading
        "exposure": (0.92, 1.18),
        "warmth": (-0.05, 0.05),  # red against blue
        "grain": (0.0, 0.014),  # standard deviation of the sensor's noise, of 1
        "quality": (75.0, 96.0),  # of the JPEG that the picture went through
        "phase_x": (0.0, 1.0),  # where on the cloth the pattern and the weave begin
        "phase_y": (0.0, 1.0),
        "pattern_scale": (0.92, 1.18),
        "pattern_angle": (-1.0, 1.0),
        "weave_scale": (0.95, 1.15),
    }
)
"""Each continuous field of a `Style`: the bounds between which it is drawn uniformly."""

CHOICES: Mapping[str, int] = MappingProxyType({"backdrop": 6, "motif": 6, "mirrored": 2})
"""Each discrete field of a `Style`: the number of values, drawn uniformly from 0."""


@dataclass(frozen=True)
class Style:
    """One picture's circumstances; `RANGES` and `CHOICES` say what each number means and how far it goes.

    Colours are (red, green, blue) between 0 and 1. `seed` feeds whatever is too fine to be a field
    (noise, scatter of flowers), each through its own `stream`.
    """

    seed: int
    scale: float
    angle: float
    shift_x: float
    shift_y: float
    sway: float
    build: float
    arm_left: float
    arm_right: float
    elbow_left: float
    elbow_right: float
    hem: float
    neck: float
    reach: float
    light: float
    shade: float
    exposure: float
    warmth: float
    grain: float
    quality: float
    phase_x: float
    phase_y: float
    pattern_scale: float
    pattern_angle: float
    weave_scale: float
    backdrop: int
    motif: int
    mirrored: int
    cloth: Colour
    inks: tuple[Colour, Colour, Colour]
    skin: Colour
    trousers: Colour
    walls: tuple[Colour, Colour]

    def stream(self, name: str) -> np.random.Generator:
        """A random generator of this style for one purpose: drawing more for one never disturbs another."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


def draw_style(rng: np.random.Generator) -> Style:
    """Draw a style: fields uniformly and independently within `RANGES` and `CHOICES`, colours by `draw_colours`."""
    numbers = {name: float(rng.uniform(low, high)) for name, (low, high) in RANGES.items()}
    choices = {name: int(rng.integers(count)) for name, count in CHOICES.items()}
    colours = draw_colours(rng)
    return Style(
        seed=int(rng.integers(2**32)),
        cloth=colours.cloth,
        inks=colours.inks,
        skin=colours.skin,
        trousers=colours.trousers,
        walls=colours.walls,
        **numbers,  # type: ignore[arg-type]  # the names are the fields', which a test checks
        **choices,
    )
