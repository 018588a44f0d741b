"""From whatever Pillow decoded to upright 8-bit sRGB: orientation, depth, transparency, colour profile."""

import functools
import itertools
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import TypeAlias

from PIL import ExifTags, Image, ImageChops, ImageCms

from gingham.data.bands import bands
from gingham.errors import ImageError

__all__ = ["ImageWarning", "orientation", "upright_rgb"]


class ImageWarning(UserWarning):
    """An image could be read, but a part of its metadata was broken and left out of account."""


Opaque: TypeAlias = tuple[Image.Image, Image.Image | None]
"""Colours in mode RGB, L, CMYK or LAB, and in mode L how opaque they are; None = all of them are."""

Transform: TypeAlias = ImageCms.ImageCmsTransform | None

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


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a loaded image into an upright one in mode RGB.

    - Grey of more than 8 bits is scaled and not clipped, see `deep.span`.
    - Transparent pixels are blended with white.
    - Colours are converted to sRGB by the image's ICC profile. One that is broken, or made for another kind of image,
      is left out of account, with an `ImageWarning`.

    Beside the image and the result (4 bytes a pixel) it takes a few megabytes; to turn it, the result once more.

    Args:
        image: a loaded image of any mode; it is left as it is.
        name: what warnings and errors call it.

    Raises:
        ImageError: `unsupported`: float pixels that are not finite; `unreadable`: a palette is missing.
    """
    if image.mode in {"P", "PA"} and image.palette is None:
        raise ImageError("unreadable", f"{name}: its pixels refer to a palette, and it has none")
    turn = _TURNS.get(orientation(image))
    opaque = _splitter(image, name)
    mode, transform = _to_srgb(image, opaque, name)
    if opaque is _eight_bits and transform is None and not image.has_transparency_data:
        if turn is not None and image.mode == "RGB":
            page, turn = image.transpose(turn), None  # not copied before it is turned
        else:
            page = image.convert("RGB")
    else:
        page = Image.new("RGB", image.size)
        for box in bands(image):
            page.paste(_on_white(opaque(image.crop(box)), mode, transform), box)
    page.info = {}
    return page if turn is None else page.transpose(turn)


def orientation(image: Image.Image) -> int:
    """How a camera was held, by EXIF: 1 to 8, 1 = upright; other values mean nothing and leave the image as it is."""
    # TIFF images are upright after loading, and Pillow has removed the tag.
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return 1  # EXIF data that cannot be parsed cannot say how the camera was held
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _splitter(image: Image.Image, name: str) -> Callable[[Image.Image], Opaque]:
    """What makes 8-bit colours and opacity of a part of this image."""
    if not (image.mode.startswith("I") or image.mode == "F"):
        return _eight_bits
    # Here and not above: NumPy takes more memory than all the rest of a process that only decodes.
    from gingham.data.deep import eight_bits, span

    return functools.partial(eight_bits, ends=span(image, name))


def _eight_bits(band: Image.Image) -> Opaque:
    if band.mode == "La":
        band = band.convert("LA")  # the only mode that Pillow converts it to
    key = band.info.get("transparency")
    if band.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # A PNG of 16 bits a channel: Pillow keeps the high byte of the pixels, but both of the transparent colour.
        band.info["transparency"] = tuple(value >> 8 for value in key)
    if band.has_transparency_data:
        with_alpha = band.convert("RGBA")
        return with_alpha.convert("RGB"), with_alpha.getchannel("A")
    return (band if band.mode in {"RGB", "L", "CMYK", "LAB"} else band.convert("RGB")), None


def _on_white(parts: Opaque, mode: str, transform: Transform) -> Image.Image:
    """SRGB colours, given the mode that the transform takes."""
    colours, alpha = parts
    colours = colours if colours.mode == mode else colours.convert(mode)
    colours = colours.convert("RGB") if transform is None else transform.apply(colours)
    if alpha is None:
        return colours
    page = Image.new("RGB", colours.size, "white")
    page.paste(colours, mask=alpha)
    return page


def _to_srgb(image: Image.Image, opaque: Callable[[Image.Image], Opaque], name: str) -> tuple[str, Transform]:
    """The mode that the image's colours are to be in, and what makes them sRGB then; None = they are."""
    mode = opaque(image.crop((0, 0, 1, 1)))[0].mode
    if profile := image.info.get("icc_profile"):
        try:
            space = _space(profile)
            if space == "GRAY" and mode == "RGB" and all(_is_grey(opaque(image.crop(box))[0]) for box in bands(image)):
                return "L", _transform(profile, "L")
            chosen = "RGB" if space == "RGB" and mode == "L" else mode
            return chosen, _transform(profile, chosen)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as failure:
            text = f"{name}: its colour profile is broken and ignored ({failure})"
            warnings.warn(text, ImageWarning, stacklevel=2)
    return mode, _transform(None, "LAB") if mode == "LAB" else None


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())


@functools.lru_cache(maxsize=16)
def _space(profile: bytes) -> str:
    return ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space.strip()


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> Transform:
    """From a profile (None = plain LAB) to sRGB; None = it is sRGB. Threads may share it: LittleCMS keeps no state."""
    source = ImageCms.createProfile("LAB") if profile is None else BytesIO(profile)
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.ImageCmsTransform(ImageCms.ImageCmsProfile(source), target, mode, "RGB")
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether colours stay within one step of 255, which is rounding: most photos have a profile that says sRGB."""
    steps = [round(255 * step / 32) for step in range(33)]
    colours = bytes(itertools.chain.from_iterable(itertools.product(steps, repeat=3)))
    grid = Image.frombytes("RGB", (33, 33 * 33), colours)
    return ImageChops.difference(grid, transform.apply(grid)).point([0, 0, *[255] * 254] * 3).getbbox() is None
