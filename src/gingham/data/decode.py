"""One decoder for all paths: bytes of a photo in, upright sRGB pixels or a named reason out."""

import contextlib
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageFile, UnidentifiedImageError

from gingham.data.containers import is_cut_off, other_format, visible_damage
from gingham.data.pixels import upright_rgb
from gingham.errors import ImageError, one_line

__all__ = ["FORMATS", "MAX_PIXELS", "decode", "decode_bytes"]

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Pillow's names of the formats that are read; MPO files are read as the JPEG that they begin with."""

MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded."""

Opened: TypeAlias = Callable[[Image.Image], None]

_MAX_BYTES_PER_PIXEL = 16
"""A file larger than that for the largest image is not an image: four channels of 32 bits, uncompressed."""


def decode(
    source: Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    opened: Opened | None = None,
) -> Image.Image:
    """Read a photo: the first frame, upright, in sRGB, on white where it is transparent.

    EXIF orientation and ICC profile are applied, 16-bit and float values are scaled (see `pixels`). The file is only
    read, never changed. Safe to call from several threads.

    Args:
        source: a file, or its content.
        name: what messages call it; None = its path.
        max_pixels: the largest width x height that is decoded.
        opened: called with the open file, whose size is within the limit, before it is decoded; it may ask its decoder
            for fewer pixels (see `reduced`).

    Returns:
        An image in mode RGB, loaded, without metadata.

    Raises:
        ImageError: with reason `not_found`, `unreadable`, `truncated`, `too_large` or `unsupported`.
    """
    if isinstance(source, bytes):
        return decode_bytes(source, name=name or "image", max_pixels=max_pixels, opened=opened)
    return decode_bytes(_read(source, max_pixels), name=name or str(source), max_pixels=max_pixels, opened=opened)


def decode_bytes(
    data: bytes, *, name: str = "image", max_pixels: int = MAX_PIXELS, opened: Opened | None = None
) -> Image.Image:
    """`decode` for the content of a file; `name` is what messages call it. Raises `ImageError`."""
    if not data:
        raise ImageError("unreadable", f"{name}: the file is empty")
    if damage := visible_damage(data):
        raise ImageError("unreadable", f"{name}: the file is damaged ({damage})")
    try:
        with _pillow_as_needed(max_pixels):
            image = Image.open(BytesIO(data), formats=FORMATS)
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError("too_large", f"{name}: {width} x {height} pixels, more than the limit of {max_pixels}")
            if opened is not None:
                opened(image)
            # Before anything asks for metadata, which some formats keep behind the pixels.
            image.load()
            return upright_rgb(image, name)
    except ImageError:
        raise
    except Exception as failure:
        # Pillow's decoders raise what their parsers run into: OSError, SyntaxError, ValueError, struct.error,
        # IndexError, ... No list of them is complete, and one bad file must not end a run over millions.
        raise ImageError(*_diagnose(failure, data, name)) from None


def _read(path: Path, max_pixels: int) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("unreadable", f"{path}: not a file")  # a pipe would block for ever
        if status.st_size > max_pixels * _MAX_BYTES_PER_PIXEL:
            raise ImageError("too_large", f"{path}: {status.st_size} bytes are too many for {max_pixels} pixels")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("not_found", f"{path}: no such file") from None
    except (OSError, ValueError) as failure:
        raise ImageError("unreadable", f"{path}: cannot be read ({failure})") from None


def _diagnose(failure: Exception, data: bytes, name: str) -> tuple[str, str]:
    """Reason and message for what Pillow raised."""
    text = one_line(failure)
    lower = text.lower()
    if isinstance(failure, Image.DecompressionBombError):
        return "too_large", f"{name}: more pixels than the limit"
    if isinstance(failure, MemoryError):
        return "too_large", f"{name}: not enough memory to decode it"
    if isinstance(failure, UnidentifiedImageError):
        other = other_format(data)
        if other is not None:
            return "unsupported", f"{name}: {other} is not supported; convert it to JPEG or PNG"
        text = f"none of {', '.join(FORMATS)}"
    if isinstance(failure, EOFError) or "truncated" in lower or is_cut_off(data):
        return "truncated", f"{name}: the file is cut off ({text})"
    if isinstance(failure, NotImplementedError) or "unsupported" in lower or "not supported" in lower:
        return "unsupported", f"{name}: {text}; convert it to JPEG or PNG"
    return "unreadable", f"{name}: not a readable image ({text})"


_lock = threading.Lock()
_inside = 0
_before: tuple[int | None, bool] = (None, False)


@contextlib.contextmanager
def _pillow_as_needed(max_pixels: int) -> Iterator[None]:
    """Put Pillow's settings for the whole process as `decode` needs them, as long as any thread is in this block.

    - Warnings that Pillow's own modules issue are ignored. `warnings.catch_warnings` would not do: it swaps the filters
      of the whole process, and threads would undo each other's swaps. The filter here only concerns modules of Pillow.
    - Its own limit, twice `MAX_IMAGE_PIXELS`, makes room for a higher one of ours. It is never lowered, as other
      threads may be using Pillow for larger images.
    - Files that are cut off are errors, also where a program has told Pillow to fill them up with grey or black.
    """
    global _inside, _before
    with _lock:
        if _inside == 0:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = False
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, (max_pixels + 1) // 2)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = _before
                warnings.filters = [entry for entry in warnings.filters if not _is_ours(entry)]


def _is_ours(entry: tuple[object, ...]) -> bool:
    action, _, _, module, _ = entry
    return action == "ignore" and getattr(module, "pattern", None) == r"PIL\."
