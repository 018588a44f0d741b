"""From whatever Pillow decoded to upright 8-bit sRGB: orientation, depth, transparency, colour profile."""

import functools
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from gingham.errors import ImageError

__all__ = ["ImageWarning", "bands", "upright_rgb"]


class ImageWarning(UserWarning):
    """An image could be read, but a part of its metadata was broken and left out of account."""


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright."""


_BAND = 1 << 20
"""Pixels that are converted at a time, so that what comes in between stays small beside the image."""

_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


Range = tuple[float, float]
"""The values that become black and white."""


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a loaded image into an upright one in mode RGB.

    - 12- and 16-bit grey is scaled by its full range; 32-bit integers and floats by the first of 0..1 (floats alone),
      0..255, 0..65535 that holds them all, else from their least to their greatest value: nothing is clipped.
    - Transparent pixels are blended with white.
    - Colours are converted to sRGB by the image's ICC profile. One that is broken, or made for another kind of image,
      is left out of account, with an `ImageWarning`.

    Beside the image and the result (4 bytes a pixel) it takes a few megabytes; to turn it, the result once more.

    Args:
        image: a loaded image of any mode; it is left as it is.
        name: what warnings and errors call it.

    Raises:
        ImageError: `unsupported`: float pixels that are not finite.
    """
    turn = _TURNS.get(_orientation(image))
    deep = _range(image, name) if image.mode.startswith("I") or image.mode == "F" else None
    mode, transform = _to_srgb(image, deep, name)
    if deep is None and transform is None and not image.has_transparency_data:
        page = image.convert("RGB")
    else:
        page = Image.new("RGB", image.size)
        for box in bands(image):
            page.paste(_on_white(image.crop(box), deep, mode, transform), box)
    page.info = {}
    return page if turn is None else page.transpose(turn)


def bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes that cut an image into strips from top to bottom, of about a million pixels each."""
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield 0, top, image.width, min(top + rows, image.height)


def _orientation(image: Image.Image) -> int:
    # TIFF images are upright after loading, and Pillow has removed the tag.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return 1  # EXIF data that cannot be parsed cannot say how the camera was held
    return value if isinstance(value, int) else 1


def _range(image: Image.Image, name: str) -> Range:
    """Which values of a deep grey image become black and white."""
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


def _on_white(
    band: Image.Image, deep: Range | None, mode: str, transform: ImageCms.ImageCmsTransform | None
) -> Image.Image:
    colours, alpha = _opaque(band, deep)
    colours = colours if colours.mode == mode else colours.convert(mode)
    colours = colours.convert("RGB") if transform is None else transform.apply(colours)
    if alpha is None:
        return colours
    page = Image.new("RGB", band.size, "white")
    page.paste(colours, mask=alpha)
    return page


def _opaque(band: Image.Image, deep: Range | None) -> tuple[Image.Image, Image.Image | None]:
    """The colours of a part of an image, in mode RGB, L, CMYK or LAB, and how opaque they are, if they are not."""
    key = band.info.get("transparency")
    if deep is not None:
        return _grey(band, deep, key)
    if band.mode == "La":
        band = band.convert("LA")  # the only mode that Pillow converts it to
    if band.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A PNG of 16 bits a channel: Pillow keeps the high byte of the pixels, but both of the transparent colour.
        band.info["transparency"] = tuple(value >> 8 for value in key)
    if band.has_transparency_data:
        with_alpha = band.convert("RGBA")
        return with_alpha.convert("RGB"), with_alpha.getchannel("A")
    return (band if band.mode in {"RGB", "L", "CMYK", "LAB"} else band.convert("RGB")), None


def _grey(band: Image.Image, deep: Range, key: object) -> tuple[Image.Image, Image.Image | None]:
    """Deep greys in 8 bits; a PNG may say that one of their values stands for transparent."""
    low, high = deep
    values = np.asarray(band)
    # 24 bits of float32 are enough for 16-bit values.
    wide: npt.NDArray[Any] = values.astype(np.float32 if band.mode.startswith("I;") else np.float64)
    grey = Image.fromarray(np.rint((wide - low) * (255.0 / (high - low))).astype(np.uint8))
    if not isinstance(key, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, deep: Range | None, name: str) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """The mode that the image's colours are to be in, and what makes them sRGB then; None = they are."""
    mode = _opaque(image.crop((0, 0, 1, 1)), deep)[0].mode
    if profile := image.info.get("icc_profile"):
        try:
            return _profiled(image, deep, mode, profile)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as failure:
            text = f"{name}: its colour profile is broken and ignored ({failure})"
            warnings.warn(text, ImageWarning, stacklevel=2)
    return mode, _transform(None, "LAB") if mode == "LAB" else None


def _profiled(
    image: Image.Image, deep: Range | None, mode: str, profile: bytes
) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    space = _space(profile)
    if space == "GRAY" and mode == "RGB" and all(_is_grey(_opaque(image.crop(box), deep)[0]) for box in bands(image)):
        mode = "L"
    elif space == "RGB" and mode == "L":
        mode = "RGB"
    return mode, _transform(profile, mode)


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = (np.asarray(channel) for channel in image.split())
    return np.array_equal(red, green) and np.array_equal(red, blue)


@functools.lru_cache(maxsize=16)
def _space(profile: bytes) -> str:
    return ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip()


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile (None = plain LAB) to sRGB; None = it is sRGB. Threads may share it: LittleCMS keeps no state."""
    source = ImageCms.createProfile("LAB") if profile is None else BytesIO(profile)
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.ImageCmsTransform(ImageCms.ImageCmsProfile(source), target, mode, "RGB")
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether colours stay within one step of 255, which is rounding: most photos have a profile that says sRGB."""
    steps = np.linspace(0, 255, 33).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(33, -1, 3)
    changed = np.asarray(transform.apply(Image.fromarray(grid)))
    return int(np.abs(changed.astype(np.int16) - grid).max()) <= 1
