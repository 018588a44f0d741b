"""Draw one garment from its labels and a style."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gingham.wardrobe.classes import names_of
from gingham.wardrobe.cloth import Box, Cloth, lay, round_shading
from gingham.wardrobe.fabrics import FABRICS, Surface
from gingham.wardrobe.fur import fringe
from gingham.wardrobe.geometry import Field, Frame, draw_shape, points
from gingham.wardrobe.palette import Colour, luminance, mix
from gingham.wardrobe.patterns import PATTERNS, Print, shifted
from gingham.wardrobe.scene import Canvas, backdrop, dress_form, paint, photograph, smooth_edged, soft
from gingham.wardrobe.silhouette import SLEEVES, Outline, cut
from gingham.wardrobe.style import Style
from gingham.wardrobe.trims import sew

__all__ = ["SUPERSAMPLE", "Garment", "render"]

SUPERSAMPLE = 1.6
"""Pixels drawn per pixel of the picture, each way."""


@dataclass(frozen=True)
class Garment:
    """A picture of a garment.

    Attributes:
        image: RGB, square.
        box: x1, y1, x2, y2 of the garment, in pixels; the last two are one past the end.
    """

    image: Image.Image
    box: Box


def _masks(frame: Frame, outline: Outline, fuzzy: bool) -> tuple[Image.Image, Image.Image]:
    torso, sleeves = frame.canvas(), frame.canvas()
    draw_shape(torso, frame, outline.torso)
    for sleeve in outline.sleeves:
        draw_shape(sleeves, frame, sleeve.outline)
    if fuzzy:
        fringe(torso, frame, outline.torso, "torso")
        for sleeve in outline.sleeves:
            fringe(sleeves, frame, sleeve.outline, f"sleeve {sleeve.side}")
    return smooth_edged(torso), smooth_edged(sleeves)


def _dyed(cloth: Cloth, pattern: Print) -> Canvas:
    """The cloth's own colours, unlit: [3, H, W]."""
    colour = np.empty((3, *cloth.u.shape), dtype=np.float32)
    colour[:] = np.asarray(cloth.style.cloth, dtype=np.float32)[:, None, None]
    for ink, cover in zip(cloth.style.inks, pattern.inks, strict=False):
        paint(colour, ink, cover)
    return colour


def _lining(frame: Frame, outline: Outline) -> Image.Image:
    """The slip under a translucent garment: from the bust to above the hem."""
    mask = frame.canvas()
    draw_shape(mask, frame, outline.torso)
    keep = frame.canvas()
    bottom = min(0.52, outline.hem - 0.13)
    draw_shape(keep, frame, points((-0.5, 0.262), (0.5, 0.262), (0.5, bottom), (-0.5, bottom)))
    return Image.fromarray(np.minimum(np.asarray(mask), np.asarray(keep)))


def _part(mask: Image.Image, box: Box) -> Field:
    return np.asarray(mask.crop(box), dtype=np.float32) / np.float32(255.0)


def _lit(cloth: Cloth, surface: Surface, pattern: Print, shadow: Field) -> Canvas:
    light = round_shading(cloth) * surface.light * shadow
    if pattern.light is not None:
        light = light * pattern.light
    colour = _dyed(cloth, pattern)
    colour *= light
    # Dark inks would swallow the weave if light were all that shows it: threads also scatter some of their own.
    colour += np.float32(0.22) * (surface.light - 1.0) * shadow
    if surface.shine is not None:
        colour += surface.shine * shadow
    return colour


def _nearness(frame: Frame, sleeves: Image.Image, front: Image.Image, box: Box) -> Field:
    """How close, from 0 to 1, an arm or sleeve hangs before the torso."""
    x1, y1, x2, y2 = box
    hanging = Image.fromarray(np.maximum(np.asarray(sleeves), np.asarray(front)))
    return soft(hanging, 0.010 * frame.unit)[y1:y2, x1:x2]


def render(labels: Sequence[int], style: Style, size: int = 300) -> Garment:
    """Draw a garment; the same arguments give the same pixels.

    Args:
        labels: one class index per attribute, in the order of the built-in schema `deepfashion`.
        style: everything else.
        size: side of the picture in pixels.

    Raises:
        ValueError: not six labels, or one out of range.
    """
    pattern_name, sleeve, length, neckline, fabric, fit = names_of(labels)
    frame = Frame(style, round(size * SUPERSAMPLE))
    outline = cut(style, sleeve, length, neckline, fit)
    sheer = fabric == "chiffon"
    canvas = backdrop(frame)
    front = dress_form(frame, canvas, trousers=length == "no_dress", covered=SLEEVES[sleeve])
    torso, sleeves = _masks(frame, outline, fuzzy=fabric == "faux")
    both = Image.fromarray(np.maximum(np.asarray(torso), np.asarray(sleeves)))
    x1, y1, x2, y2 = box = both.getbbox() or (0, 0, frame.pixels, frame.pixels)
    # What the garment takes from the light on the body behind and below it.
    below = np.roll(soft(both, 0.008 * frame.unit), round(0.012 * frame.unit), axis=0)
    canvas *= 1.0 - np.float32(0.16 if sheer else 0.40) * below

    arms = _part(sleeves, box)
    body = _part(torso, box) * (1.0 - _part(front, box))
    cloth = lay(frame, outline, arms, box)
    surface = FABRICS[fabric](cloth)
    pattern = PATTERNS[pattern_name](cloth if surface.pull is None else shifted(cloth, *surface.pull))
    trims = sew(frame, outline, fabric)
    beside = _nearness(frame, sleeves, front, box) * (1.0 - arms)
    shadow: Field = np.float32(1.0) - np.float32(0.45) * beside
    shadow *= 1.0 - np.float32(0.62) * _part(trims.dark, box)
    view = canvas[:, y1:y2, x1:x2]
    if sheer:
        slip = round_shading(cloth) * np.float32(0.66)
        under = _part(_lining(frame, outline), box) * body * (1.0 - arms)
        paint(view, [slip * np.float32(channel) for channel in style.cloth], under)
    colour = _lit(cloth, surface, pattern, shadow)
    if fabric in ("denim", "leather"):
        paint(colour, _thread_colour(style), _part(trims.bright, box) * np.float32(0.9))
    cover = np.maximum(body, arms)
    if surface.cover is not None:
        # Ink and seams are denser than the cloth that they are on.
        dense = (*(ink * np.float32(0.64) for ink in pattern.inks), _part(trims.dark, box))
        cover = cover * np.maximum.reduce((surface.cover, *dense))
    paint(view, colour, cover)
    return Garment(photograph(frame, canvas, size), _reduced(box, frame.pixels / size, size))


def _reduced(box: Box, factor: float, size: int) -> Box:
    x1, y1, x2, y2 = box
    return int(x1 / factor), int(y1 / factor), min(size, math.ceil(x2 / factor)), min(size, math.ceil(y2 / factor))


def _thread_colour(style: Style) -> Colour:
    """Thread and metal stand out from the cloth, whatever its colour."""
    dark = luminance(style.cloth) > 0.52
    return mix(style.cloth, (0.0, 0.0, 0.0) if dark else (1.0, 1.0, 1.0), 0.75)
