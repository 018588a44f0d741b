"""From whatever Pillow decoded to upright 8-bit sRGB: orientation, depth, transparency, colour profile."""

import functools
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from gingham.errors import ImageError

__all__ = ["ImageWarning", "upright_rgb"]


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


_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a loaded image into an upright one in mode RGB.

    - 12- and 16-bit grey is scaled by its full range; 32-bit integers and floats by the first of 0..1 (floats alone),
      0..255, 0..65535 that holds them all, else from their least to their greatest value: nothing is clipped.
    - Transparent pixels are blended with white.
    - Colours are converted to sRGB by the image's ICC profile. One that is broken, or made for another kind of image,
      is left out of account, with an `ImageWarning`.

    Args:
        image: a loaded image of any mode.
        name: what warnings and errors call it.

    Raises:
        ImageError: `unsupported`: float pixels that are not finite.
    """
    profile = image.info.get("icc_profile")
    turn = _TURNS.get(_orientation(image))
    image = _eight_bits(image, name)
    if turn is not None:
        image = image.transpose(turn)
    alpha = None
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        alpha = with_alpha.getchannel("A")
        image = with_alpha.convert("RGB")
    elif image.mode not in {"RGB", "L", "CMYK", "LAB"}:
        image = image.convert("RGB")
    image = _to_srgb(image, profile, name)
    if alpha is not None:
        page = Image.new("RGB", image.size, "white")
        page.paste(image, mask=alpha)
        return page
    image.info = {}
    return image


def _orientation(image: Image.Image) -> int:
    # TIFF images are upright after loading, and Pillow has removed the tag.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return 1  # EXIF data that cannot be parsed cannot say how the camera was held
    return value if isinstance(value, int) else 1


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Deep greys as `L`, or `LA` if one of their values stands for transparent; other images as they are."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A PNG of 16 bits a channel: Pillow keeps the high byte of the pixels, but both of the transparent colour.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
        return image
    if not (image.mode.startswith("I") or image.mode == "F"):
        return image
    values = np.asarray(image)
    low, high = _range(image, values, name)
    # 24 bits of float32 are enough for 16-bit values, and half the memory.
    wide: npt.NDArray[Any] = values.astype(np.float32 if image.mode.startswith("I;") else np.float64)
    grey = Image.fromarray(np.rint((wide - low) * (255.0 / (high - low))).astype(np.uint8))
    if isinstance(key, int):
        return Image.merge("LA", (grey, Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))))
    return grey


def _range(image: Image.Image, values: npt.NDArray[Any], name: str) -> tuple[float, float]:
    """Which values become black and white."""
    tags = getattr(image, "tag_v2", {})  # of TIFF files
    if image.mode.startswith("I;"):
        top = 4095.0 if tags.get(_BITS_PER_SAMPLE) == (12,) else 65535.0
        # Pillow turns "0 is white" round for 8 bits, but not for 16.
        return (top, 0.0) if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else (0.0, top)
    if not np.isfinite(values).all():
        raise ImageError("unsupported", f"{name}: float pixels that are not finite; convert it to 8 bits")
    least, greatest = float(values.min()), float(values.max())
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if least >= 0 and greatest <= top:
            return 0.0, top
    return least, greatest if greatest > least else least + 1.0


def _to_srgb(image: Image.Image, profile: bytes | None, name: str) -> Image.Image:
    """An image of mode RGB, L, CMYK or LAB as RGB in sRGB."""
    if profile:
        try:
            space = _space(profile)
            if space == "GRAY" and image.mode == "RGB" and _is_grey(image):
                image = image.convert("L")
            elif space == "RGB" and image.mode == "L":
                image = image.convert("RGB")
            return _transform(profile, image.mode).apply(image)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as failure:
            text = f"{name}: its colour profile is broken and ignored ({failure})"
            warnings.warn(text, ImageWarning, stacklevel=2)
    return _transform(None, "LAB").apply(image) if image.mode == "LAB" else image.convert("RGB")


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = (np.asarray(channel) for channel in image.split())
    return np.array_equal(red, green) and np.array_equal(red, blue)


@functools.lru_cache(maxsize=16)
def _space(profile: bytes) -> str:
    return ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip()


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform:
    """From a profile (None = plain LAB) to sRGB. Threads may share it: LittleCMS keeps no state while it converts."""
    source = ImageCms.createProfile("LAB") if profile is None else BytesIO(profile)
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return ImageCms.ImageCmsTransform(ImageCms.ImageCmsProfile(source), target, mode, "RGB")
