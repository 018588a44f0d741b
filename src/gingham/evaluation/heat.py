"""Heat maps over photos, as arrays of pixels."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

__all__ = ["heat_bar", "heat_over"]

_WEIGHTS, _SIGNED = "inferno", "berlin"
"""Perceptually uniform, told apart by colour-blind readers: dark to bright, and dark to either of two colours."""

_FAINTEST, _STRONGEST = 0.30, 0.85
"""How much of the colour covers the photo, of no weight and of the most."""


def heat_over(
    picture: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.floating[Any]],
    *,
    signed: bool = False,
    most: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw a map over a photo, which turns grey.

    Args:
        picture: uint8 `[H, W, 3]`.
        weights: `[h, w]` over the whole of it.
        signed: each sign has a colour of its own, and zero is dark between them; else what is negative counts as none.
        most: the weight with the brightest colour; default: the greatest one, of either sign.

    Returns:
        uint8 `[H, W, 3]`.
    """
    height, width = picture.shape[:2]
    enlarged = np.asarray(
        Image.fromarray(weights.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64
    )
    top = float(np.abs(weights).max()) if most is None else most
    strength = np.clip(enlarged / top if top > 0 else enlarged, -1 if signed else 0, 1)
    colour = colormaps[_SIGNED]((strength + 1) / 2) if signed else colormaps[_WEIGHTS](strength)
    # Neither black nor white, so that colours look alike on both.
    grey = 0.1 + 0.7 * (picture @ np.array([0.299, 0.587, 0.114]) / 255)[:, :, None]
    share = (_FAINTEST + (_STRONGEST - _FAINTEST) * np.abs(strength))[:, :, None]
    mixed = (1 - share) * grey + share * colour[:, :, :3]
    drawn: npt.NDArray[np.uint8] = np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8)
    return drawn


def heat_bar(width: int, height: int, *, signed: bool) -> npt.NDArray[np.uint8]:
    """The colours themselves: from none to the most, or from the most below zero to the most above.

    Returns:
        uint8 `[height, width, 3]`.
    """
    colour = colormaps[_SIGNED if signed else _WEIGHTS](np.linspace(0, 1, width))[None, :, :3]
    bar: npt.NDArray[np.uint8] = np.rint(255 * np.broadcast_to(colour, (height, width, 3))).astype(np.uint8)
    return bar
