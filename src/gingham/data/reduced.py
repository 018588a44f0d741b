"""Fast, approximate decoding: large JPEG photos at a half, a quarter or an eighth of their size, and boxes in them.

A JPEG file holds blocks of 8 x 8 pixels as frequencies (DCT). Decoders can leave the high ones out and give 4 x 4,
2 x 2 or 1 pixel a block, in a fraction of the time. Enough are left for what is seen of the photo, but the pixels of a
view differ a little from those of the exact decoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from gingham.data.decode import MAX_PIXELS, decode
from gingham.data.pixels import orientation

__all__ = ["KEPT", "Finest", "Reduced", "decode_reduced"]

KEPT = 2
"""How many pixels a reduced photo keeps for each of a view's, across and down; the resize does the rest exactly."""

Finest: TypeAlias = Callable[[int, int], float]
"""From the width and height of an upright photo to how many of its pixels, across or down, the finest view makes one
of: 1 or less = the view needs them all."""

_SCALES = (8, 4, 2)

_MIRRORED = {2: (True, False), 3: (True, True), 4: (False, True), 6: (True, False), 7: (True, True), 8: (False, True)}
"""EXIF orientation -> whether the upright photo begins where the stored one ends: across, down."""

_LYING = 5
"""From this EXIF orientation on, the stored rows are the upright columns."""


@dataclass(frozen=True)
class Reduced:
    """An upright photo of which fewer pixels are there; it is resized as if all of them were.

    Where the size is no multiple of the scale, the last pixel of a stored row or column shows only a part of the photo,
    and beyond it what the encoder added; mirrored, that is the first one. `left` and `top` tell how much was added.

    Attributes:
        image: upright RGB, `scale` times smaller.
        width: of the full photo, in pixels.
        height: of the full photo, in pixels.
        scale: 1, 2, 4 or 8.
        left: what comes before the photo's left edge, in pixels of `image`, 0 to less than 1.
        top: what comes before the photo's upper edge, likewise.
    """

    image: Image.Image
    width: int
    height: int
    scale: int = 1
    left: float = 0.0
    top: float = 0.0

    def resize(
        self, size: tuple[int, int], resample: int, box: tuple[float, float, float, float] | None = None
    ) -> Image.Image:
        """As `Image.resize` of the full photo; the box is in the full photo's pixels, default all of it."""
        x1, y1, x2, y2 = box or (0.0, 0.0, float(self.width), float(self.height))
        # Divisions by powers of two are exact.
        across, down = (x1 / self.scale, x2 / self.scale), (y1 / self.scale, y2 / self.scale)
        place = across[0] + self.left, down[0] + self.top, across[1] + self.left, down[1] + self.top
        return self.image.resize(size, resample, box=place)


def decode_reduced(
    source: Path | bytes, finest: Finest, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Reduced:
    """As `decode.decode`, but JPEG photos much larger than what is seen of them are decoded at a smaller scale.

    All checks are those of `decode`, and the limit is on the full size. What is no JPEG file, or not large enough, has
    the bits that `decode` gives it.

    Args:
        source: a file, or its content.
        finest: says how finely the photo will be looked at.
        name: what messages call it; None = its path.
        max_pixels: the largest width x height that is decoded.

    Raises:
        ImageError: as `decode`.
    """
    frame: list[Reduced] = []

    def opened(image: Image.Image) -> None:
        frame.append(_reduce(image, finest))

    image = decode(source, name=name, max_pixels=max_pixels, opened=opened)
    one = frame[0]
    if one.scale == 1:
        return Reduced(image, image.width, image.height)
    return Reduced(image, one.width, one.height, one.scale, one.left, one.top)


def _reduce(image: Image.Image, finest: Finest) -> Reduced:
    """Make the decoder of an opened file give fewer pixels; what it will give, but for the pixels."""
    if not isinstance(image, JpegImageFile):
        return Reduced(image, *image.size)
    turned = orientation(image)
    stored = image.size
    width, height = stored if turned < _LYING else stored[::-1]
    wanted = finest(width, height) / KEPT
    scale = next((scale for scale in _SCALES if wanted >= scale and scale <= min(stored)), 1)
    if scale == 1 or image.draft(None, (stored[0] // scale, stored[1] // scale)) is None:
        return Reduced(image, width, height)
    added = [-side % scale / scale for side in stored]
    across, down = added if turned < _LYING else added[::-1]
    mirrored = _MIRRORED.get(turned, (False, False))
    return Reduced(image, width, height, scale, across * mirrored[0], down * mirrored[1])
