"""What is to be known of one image file beside its labels: its pixels' hash, a thumbnail, and what is odd about it."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePath

import numpy as np
from PIL import ExifTags, Image, ImageCms

from gingham.data.decode import FORMATS, MAX_PIXELS, decode

__all__ = ["ODDITIES", "THUMBNAIL", "ImageFacts", "image_facts", "oddities"]

THUMBNAIL = 32
"""Side of the grey thumbnail in pixels: small enough to forget JPEG's noise, large enough to tell necklines apart."""

ODDITIES = {
    "tiny": "the shorter side has fewer than 64 pixels",
    "elongated": "one side is more than 3 times as long as the other",
    "uniform": "there is next to nothing to see: the brightness hardly varies",
    "grey": "without colour",
    "cmyk": "colours for print (CMYK), converted to sRGB",
    "deep": "more than 8 bits a channel, of which 8 are used",
    "transparent": "with an alpha channel or a transparent colour, put on white",
    "turned": "stored lying or mirrored, set upright by its EXIF orientation",
    "animated": "several frames, of which the first is used",
    "bad_profile": "its colour profile is broken or made for another kind of image, and ignored",
    "misnamed": "the file's extension does not fit its content",
}
"""Kind of oddity -> what it means."""

_TINY, _ELONGATED, _UNIFORM = 64, 3.0, 4.0

_EXTENSIONS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "PNG": {".png"},
    "WEBP": {".webp"},
    "AVIF": {".avif"},
    "GIF": {".gif"},
    "BMP": {".bmp"},
    "TIFF": {".tif", ".tiff"},
}
_PROFILE_MODES = {
    ("L", "GRAY"): "L",
    ("L", "RGB"): "RGB",
    ("RGB", "RGB"): "RGB",
    ("RGB", "GRAY"): "L",
    ("CMYK", "CMYK"): "CMYK",
    ("LAB", "Lab"): "LAB",
}
"""Mode of the image and colour space of its profile -> mode in which the profile is applied (see `pixels`)."""

_BITS_PER_SAMPLE = 258
_PNG_DEPTH = 24
"""Where a PNG file says how many bits a channel has."""


@dataclass(frozen=True)
class ImageFacts:
    """One readable image file.

    Attributes:
        pixels: SHA-256 of size and pixels of the upright RGB image: equal for pictures that decode to the same.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        spread: standard deviation of the brightness, 0 to 127.5.
        thumbnail: `THUMBNAIL` x `THUMBNAIL` bytes, row by row: the upright image in grey, squeezed into a square.
        format: Pillow's name of the file format.
        marks: those of `ODDITIES` that the file's header and pixels tell; the others follow from the fields above.
    """

    pixels: str
    width: int
    height: int
    spread: float
    thumbnail: bytes
    format: str
    marks: tuple[str, ...]


def image_facts(path: Path, *, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Decode an image and look at it. Raises `ImageError` as `decode` does."""
    image = decode(path, max_pixels=max_pixels)
    grey = image.convert("L")
    digest = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    small = grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    kind, marks = _header(path)
    if _is_grey(image):
        marks = (*marks, "grey")
    spread = float(np.asarray(grey).std())
    return ImageFacts(digest.hexdigest(), image.width, image.height, spread, small.tobytes(), kind, marks)


def oddities(facts: ImageFacts, name: str) -> dict[str, str]:
    """What is odd about an image, with a few words on it: a part of `ODDITIES`, in its order.

    Args:
        facts: of the image.
        name: its file name, for the extension.
    """
    short, long = sorted((facts.width, facts.height))
    found = dict.fromkeys(facts.marks, "")
    if short < _TINY:
        found["tiny"] = f"{facts.width} x {facts.height}"
    if long > _ELONGATED * short:
        found["elongated"] = f"{facts.width} x {facts.height}"
    if facts.spread < _UNIFORM:
        found["uniform"] = f"brightness varies by {facts.spread:.1f} of 255"
    extension = PurePath(name).suffix.lower()
    if extension not in _EXTENSIONS.get(facts.format, {extension}):
        found["misnamed"] = f"{facts.format} called {extension or 'without an extension'}"
    return {kind: found[kind] for kind in ODDITIES if kind in found}


def _header(path: Path) -> tuple[str, tuple[str, ...]]:
    """Format and marks, of a file that is known to decode."""
    with Image.open(path, formats=FORMATS) as image:
        marks = {
            "cmyk": image.mode == "CMYK",
            "deep": _is_deep(path, image),
            "transparent": image.has_transparency_data,
            "turned": _orientation(image) != 1,
            "animated": image.format != "MPO" and _is_animated(image),
            "bad_profile": _has_bad_profile(image),
        }
        return str(image.format), tuple(name for name, holds in marks.items() if holds)


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.mode.startswith("I") or image.mode == "F":
        return True
    if image.format == "PNG":
        with path.open("rb") as stream:
            return stream.read(_PNG_DEPTH + 1)[-1] == 16
    return image.format == "TIFF" and max(getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (1,))) > 8


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return 1  # as the decoder, which leaves such an image as it is
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:
        return False  # what comes after the first frame is broken, and is not used


def _has_bad_profile(image: Image.Image) -> bool:
    profile = image.info.get("icc_profile")
    if not profile:
        return False
    mode = image.mode if image.mode in {"L", "CMYK", "LAB"} else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        working = _PROFILE_MODES.get((mode, source.profile.xcolor_space.strip()))
        if working is None:
            return True
        ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), working, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return True
    return False


def _is_grey(image: Image.Image) -> bool:
    pixels = np.asarray(image)
    return bool((pixels[..., :1] == pixels[..., 1:]).all())
