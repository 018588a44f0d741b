"""Training views: a pure function of image, options and (seed, epoch, index)."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as ops

from gingham.data.augment import Augment, check_augment, drawn_shape
from gingham.data.preprocess import Preprocess, region_of, resized
from gingham.training.trivial import OPERATIONS, WHITE, drawn_operation

__all__ = ["view"]

_LARGEST_PAGE = 4
"""How many times larger than the view the region is made at most, to cut a small crop out of it."""


def view(
    image: Image.Image,
    box: npt.NDArray[np.float32] | None,
    preprocess: Preprocess,
    augment: Augment,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """One training view.

    Every change draws its numbers whether it is used or not, so that switching one on or off leaves the others alone.

    Args:
        image: upright RGB.
        box: `x1 y1 x2 y2` in pixels, or None or all NaN; see `Preprocess.apply`.
        preprocess: size, resize mode, filter and region.
        augment: what to vary.
        rng: see `rng_for`.

    Returns:
        uint8 `[size, size, 3]`.

    Raises:
        DataError: the box does not overlap the image.
        RecipeError: `augment` and `preprocess` do not fit, see `check_augment`.
    """
    check_augment(augment, preprocess)
    down, right, flip, whole, turn = rng.random(5)
    shape = drawn_shape(augment.crop_area or (1.0, 1.0), augment.crop_ratio, rng)
    if whole < augment.whole_image:
        preprocess = preprocess.model_copy(update={"region": "image"})
    if augment.crop_area is None:
        seen = _cut_out(image, box, preprocess, augment.resize or preprocess.size, down, right)
    else:
        seen = _stretched(image, box, preprocess, shape or _longest(augment.crop_ratio), down, right)
    if flip < augment.horizontal_flip:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    seen = _coloured(seen, augment, rng)
    if augment.rotation:
        angle = (2 * turn - 1) * augment.rotation
        seen = ops.rotate(seen, angle, InterpolationMode.BILINEAR, fill=list(WHITE))
    operation, strength = drawn_operation(rng)
    if augment.trivial_augment:
        seen = OPERATIONS[operation][0](seen, strength)
    return _erased(np.array(seen), augment, rng)


def _cut_out(
    image: Image.Image,
    box: npt.NDArray[np.float32] | None,
    preprocess: Preprocess,
    side: int,
    down: float,
    right: float,
) -> Image.Image:
    """A square of the view's size, anywhere in the region as a square of `side` pixels."""
    page, size = resized(image, region_of(image, box, preprocess), preprocess, side), preprocess.size
    top, left = int(down * (side - size + 1)), int(right * (side - size + 1))
    return page.crop((left, top, left + size, top + size))


def _stretched(
    image: Image.Image,
    box: npt.NDArray[np.float32] | None,
    preprocess: Preprocess,
    shape: tuple[float, float],
    down: float,
    right: float,
) -> Image.Image:
    """A rectangle of the evaluation view, given as shares of its sides, stretched to its size."""
    # Large enough for the rectangle not to be blown up; but beyond that factor a page costs more than it shows.
    side = min(math.ceil(preprocess.size / min(shape)), _LARGEST_PAGE * preprocess.size)
    page = resized(image, region_of(image, box, preprocess), preprocess, side)
    width, height = shape[0] * side, shape[1] * side
    left, top = right * (side - width), down * (side - height)
    rectangle = (left, top, min(left + width, side), min(top + height, side))
    return page.resize((preprocess.size, preprocess.size), preprocess.filter, rectangle)


def _longest(ratios: tuple[float, float]) -> tuple[float, float]:
    """The largest rectangle whose ratio is allowed: what torchvision takes when none of ten fitted."""
    ratio = min(max(1.0, ratios[0]), ratios[1])
    return min(ratio, 1.0), min(1 / ratio, 1.0)


def _coloured(image: Image.Image, augment: Augment, rng: np.random.Generator) -> Image.Image:
    """Colour jitter as torchvision's `ColorJitter` defines it. Eight numbers are drawn."""
    amounts, order = 2 * rng.random(4) - 1, rng.random(4).argsort()
    changes = (
        (ops.adjust_brightness, 1.0, augment.brightness),
        (ops.adjust_contrast, 1.0, augment.contrast),
        (ops.adjust_saturation, 1.0, augment.saturation),
        (ops.adjust_hue, 0.0, augment.hue),
    )
    for number in order.tolist():
        change, centre, most = changes[number]
        if most:
            image = change(image, centre + float(amounts[number]) * most)
    return image


def _erased(pixels: npt.NDArray[np.uint8], augment: Augment, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Random erasing (Zhong et al. 2020, algorithm 1): a rectangle is filled with even noise, pixel by pixel."""
    chance, down, right = rng.random(3)
    shape = drawn_shape(augment.erasing_area, augment.erasing_ratio, rng)
    if chance < augment.erasing and shape is not None:
        size = len(pixels)
        width, height = round(shape[0] * size), round(shape[1] * size)
        left, top = int(right * (size - width + 1)), int(down * (size - height + 1))
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels[top : top + height, left : left + width] = noise
    return pixels
