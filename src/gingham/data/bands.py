"""Large images in strips, so that what a conversion needs on the way stays small beside the image."""

from collections.abc import Iterator

from PIL import Image

__all__ = ["bands"]

_PIXELS = 1 << 20


def bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) that cut an image into strips, from top to bottom, of a million pixels or so."""
    rows = max(1, _PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)
