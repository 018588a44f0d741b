"""Small pictures inside of a page, as data URIs; no more of them than the page can bear."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gingham.data.decode import MAX_PIXELS, decode
from gingham.errors import ImageError

__all__ = ["Thumbnail", "Thumbnails"]

_SIDE = 320
"""Longer side in pixels, for a tile of half as many on a dense screen."""

_QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """A data URI, and the size of the whole upright image in pixels."""

    uri: str
    width: int
    height: int


class Thumbnails:
    """Makes thumbnails of a data set's images until there are enough.

    Args:
        paths: image -> where it is.
        limit: how many to make at most.
        limit_bytes: of all data URIs together.
        max_pixels: larger images have none.
    """

    def __init__(
        self, paths: Mapping[str, Path], *, limit: int, limit_bytes: int, max_pixels: int = MAX_PIXELS
    ) -> None:
        self._paths, self._max_pixels = paths, max_pixels
        self._left, self._bytes_left = limit, limit_bytes
        self._made: dict[str, Thumbnail | None] = {}

    def __call__(self, image: str) -> Thumbnail | None:
        """The thumbnail of an image; None if it cannot be read, or the page has enough of them."""
        if image not in self._made:
            self._made[image] = self._make(image) if self._left > 0 else None
        thumbnail = self._made[image]
        if thumbnail is None or self._left <= 0 or len(thumbnail.uri) > self._bytes_left:
            return None
        # Each use costs its bytes once more.
        self._left -= 1
        self._bytes_left -= len(thumbnail.uri)
        return thumbnail

    def _make(self, image: str) -> Thumbnail | None:
        try:
            photo = decode(self._paths[image], max_pixels=self._max_pixels)
        except ImageError:
            return None
        width, height = photo.size
        photo.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        photo.save(stream, "WEBP", quality=_QUALITY)
        return Thumbnail(f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}", width, height)
