"""Evaluation preprocessing: from an upright RGB image to the uint8 square that a network takes."""

import math
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field, field_validator

from gingham.errors import DataError
from gingham.options import Options

__all__ = ["Extent", "Picture", "Preprocess", "Region", "region_of", "resized", "shown"]

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

Region = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels; fractions are allowed."""


class Extent(Protocol):
    """What has a size in pixels: an image, or what is known of one."""

    @property
    def width(self) -> int:
        """See the class."""

    @property
    def height(self) -> int:
        """See the class."""


class Picture(Extent, Protocol):
    """Upright RGB pixels that can be looked at in another size: an image, or a `reduced.Reduced` one."""

    def resize(self, size: tuple[int, int], resample: int, box: Region | None = None) -> Image.Image:
        """As `Image.resize`; the box is in pixels of the `Extent`."""


class Preprocess(Options):
    """How a photo becomes a square of `size` x `size` pixels.

    Attributes:
        size: width and height of the result, in pixels.
        resize: `squash` ignores the aspect ratio and keeps all of the region; `shortest` keeps the aspect ratio and
            cuts the ends of the longer side off; `pad` keeps the aspect ratio and fills up with white.
        interpolation: the filter, widened when it shrinks (antialiasing).
        region: `image` takes the whole image, `box` the box of the garment, where there is one.
        box_margin: added on each side of the box, as a fraction of its width and height; cut off at the image's edge.
        mean: of the three channels, subtracted inside the network, on the scale 0..1; null = that of the weights.
        std: of the three channels, divided by inside the network, on the scale 0..1; null = that of the weights.
    """

    size: int = Field(default=224, ge=1, le=4096)
    resize: Literal["squash", "shortest", "pad"] = "squash"
    interpolation: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    region: Literal["image", "box"] = "image"
    box_margin: float = Field(default=0.1, ge=0, le=10)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @field_validator("mean", "std")
    @classmethod
    def _finite(cls, values: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if values is not None and not all(math.isfinite(value) for value in values):
            raise ValueError("three finite numbers are needed")
        return values

    @field_validator("std")
    @classmethod
    def _positive(cls, values: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if values is not None and min(values) <= 0:
            raise ValueError("a standard deviation must be greater than 0")
        return values

    @property
    def filter(self) -> Image.Resampling:
        """Pillow's name of `interpolation`."""
        return _FILTERS[self.interpolation]

    def apply(self, image: Picture, box: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.uint8]:
        """Cut the region out and resize it, in one step.

        Args:
            image: upright RGB.
            box: `x1 y1 x2 y2` in pixels; None or all NaN = no box. Only read if `region` is `box`; without a box the
                whole image is taken, and it is for the caller to say so.

        Returns:
            uint8 `[size, size, 3]`.

        Raises:
            DataError: the box does not overlap the image, or is malformed.
        """
        return np.array(resized(image, region_of(image, box, self), self, self.size))


def region_of(image: Extent, box: npt.NDArray[np.float32] | None, preprocess: Preprocess) -> Region:
    """The part of the image that is looked at: all of it, or the box with its margin, cut off at the image's edge.

    Raises:
        DataError: the box does not overlap the image, has no area, or holds a NaN beside numbers.
    """
    whole = (0.0, 0.0, float(image.width), float(image.height))
    if preprocess.region == "image" or box is None or np.isnan(box).all():
        return whole
    x1, y1, x2, y2 = (float(value) for value in box)
    overlaps = x1 < x2 and y1 < y2 and x1 < image.width and y1 < image.height and x2 > 0 and y2 > 0
    if not overlaps or not np.isfinite(box).all():
        # The whole image instead would be another picture under the same labels: not without being told.
        raise DataError(
            f"the box {x1:g} {y1:g} {x2:g} {y2:g} has no area inside the image of {image.width} x {image.height} pixels"
        )
    across, down = preprocess.box_margin * (x2 - x1), preprocess.box_margin * (y2 - y1)
    return max(x1 - across, whole[0]), max(y1 - down, whole[1]), min(x2 + across, whole[2]), min(y2 + down, whole[3])


def resized(image: Picture, region: Region, preprocess: Preprocess, size: int) -> Image.Image:
    """The region as an image of `size` x `size` pixels, by the mode and filter of `preprocess`."""
    resample = preprocess.filter
    if preprocess.resize != "pad":
        return image.resize((size, size), resample, box=shown(image, region, preprocess, size))
    inner, corner = _letterbox(region, size)
    page = Image.new("RGB", (size, size), "white")
    page.paste(image.resize(inner, resample, box=region), corner)
    return page


def shown(image: Extent, region: Region, preprocess: Preprocess, size: int) -> Region:
    """What the square that `resized` makes of a region shows, edge to edge, in pixels of the image.

    It is the region (`squash`), a square of it (`shortest`), or more than it: with `pad` white lies around the region,
    and the edges are where the square would end if the image went on.
    """
    left, top, right, bottom = region
    width, height = right - left, bottom - top
    if preprocess.resize == "squash":
        return region
    if preprocess.resize == "shortest":
        side = min(width, height)
        left, top = left + (width - side) / 2, top + (height - side) / 2
        return left, top, min(left + side, image.width), min(top + side, image.height)
    inner, corner = _letterbox(region, size)
    # In pixels of the image, those of the square: not quite as wide as high, since the inner size is rounded.
    across, down = width / inner[0], height / inner[1]
    left, top = left - corner[0] * across, top - corner[1] * down
    return left, top, left + size * across, top + size * down


def _letterbox(region: Region, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of a region inside of the square, and its upper left corner there."""
    left, top, right, bottom = region
    width, height = right - left, bottom - top
    scale = size / max(width, height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    return inner, ((size - inner[0]) // 2, (size - inner[1]) // 2)
