"""A contact sheet: every class several times, so that a person can judge the drawing."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gingham.wardrobe.classes import CLASSES
from gingham.wardrobe.render import render
from gingham.wardrobe.style import draw_style

__all__ = ["contact_sheet"]

_CAPTION = 16
_GAP = 3


def _picture(seed: int, attribute: int, label: int, repeat: int, size: int) -> Image.Image:
    """A garment with one label given; the others and the style are drawn."""
    rng = np.random.default_rng([seed, attribute, label, repeat])
    labels = [int(rng.integers(len(classes))) for classes in CLASSES.values()]
    labels[attribute] = label
    # Drawn larger and reduced: at the default size that is about what a network gets.
    return render(labels, draw_style(rng), 2 * size).image.resize((size, size), Image.Resampling.LANCZOS)


def contact_sheet(seed: int = 0, *, size: int = 110, per_row: int = 14) -> Image.Image:
    """One row per attribute, each of its classes as often as fits, captioned; all else is drawn at random.

    Args:
        seed: which sheet.
        size: side of one picture in pixels.
        per_row: pictures that fit in a row, at least as many as the largest attribute has classes.

    Raises:
        ValueError: `per_row` is too small to show every class.
    """
    largest = max(len(classes) for classes in CLASSES.values())
    if per_row < largest:
        raise ValueError(f"per_row {per_row} is too small: an attribute has {largest} classes")
    wide, high = size + _GAP, size + _CAPTION + _GAP
    sheet = Image.new("RGB", (per_row * wide + _GAP, len(CLASSES) * high + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(11)
    for attribute, classes in enumerate(CLASSES.values()):
        each = per_row // len(classes)
        for place in range(each * len(classes)):
            label, repeat = divmod(place, each)
            x, y = _GAP + place * wide, _GAP + attribute * high
            sheet.paste(_picture(seed, attribute, label, repeat, size), (x, y))
            pen.text((x + 2, y + size + 1), classes[label], fill="black", font=font)
    return sheet
