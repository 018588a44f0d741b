"""Grey images of more than 8 bits: 12 and 16 bits, integers of 32 bits, floats."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gingham.data.bands import bands
from gingham.errors import ImageError

__all__ = ["Span", "eight_bits", "span"]

Span = tuple[float, float]
"""The values that become black and white."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def span(image: Image.Image, name: str) -> Span:
    """Which values of an image of mode I, I;16... or F become black and white, so that nothing is clipped.

    12 and 16 bits: the ends of their range. 32-bit integers and floats: the first of 0..1 (floats alone), 0..255 and
    0..65535 that holds them all, else the least and the greatest value.

    Raises:
        ImageError: `unsupported`: a value is not finite.
    """
    tags = getattr(image, "tag_v2", {})  # of TIFF files
    if image.mode.startswith("I;"):
        top = 4095.0 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535.0
        # Pillow turns "0 is white" round for 8 bits, but not for 16.
        return (top, 0.0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0.0, top)
    ends = []
    for box in bands(image):
        values = np.asarray(image.crop(box))
        if not np.isfinite(values).all():
            raise ImageError("unsupported", f"{name}: float pixels that are not finite; convert it to 8 bits")
        ends += [float(values.min()), float(values.max())]
    least, greatest = min(ends), max(ends)
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if least >= 0 and greatest <= top:
            return 0.0, top
    return least, greatest if greatest > least else least + 1.0


def eight_bits(band: Image.Image, ends: Span) -> tuple[Image.Image, Image.Image | None]:
    """A part of such an image in mode L, and how opaque it is: a PNG may say that one value stands for transparent."""
    low, high = ends
    values = np.asarray(band)
    # 24 bits of float32 are enough for 16-bit values.
    wide: npt.NDArray[Any] = values.astype(np.float32 if band.mode.startswith("I;") else np.float64)
    grey = Image.fromarray(np.rint((wide - low) * (255.0 / (high - low))).astype(np.uint8))
    key = band.info.get("transparency")
    if not isinstance(key, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
