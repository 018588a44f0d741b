"""Training views: a pure function of image, options and (seed, epoch, index)."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from gingham.data.preprocess import Preprocess, region_of, resized
from gingham.errors import RecipeError
from gingham.options import Options

__all__ = ["Augment", "check_augment", "rng_for", "view"]

_STREAM = 1
"""Keeps these streams apart from others of the same seed."""


class Augment(Options):
    """How a training view differs from the evaluation view.

    Attributes:
        resize: the region becomes a square of so many pixels, by the mode of `preprocess`, and a square of
            `preprocess.size` is cut out of it anywhere; null = straight to that size, nothing is cut off.
        horizontal_flip: probability of mirroring left and right.
    """

    resize: int | None = Field(default=250, ge=1, le=4096)
    horizontal_flip: float = Field(default=0.5, ge=0, le=1)

    @property
    def varies(self) -> bool:
        """Whether two views of one image can differ."""
        return self.resize is not None or 0 < self.horizontal_flip < 1


def check_augment(augment: Augment, preprocess: Preprocess) -> None:
    """Check that views can be cut out.

    Raises:
        RecipeError: `augment.resize` is smaller than `preprocess.size`.
    """
    if augment.resize is not None and augment.resize < preprocess.size:
        raise RecipeError(
            f"augment.resize is {augment.resize}, less than preprocess.size {preprocess.size}; make it at least that, "
            "or null"
        )


def rng_for(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one view: a function of these three alone, whatever was drawn before.

    The counter-based generator Philox is keyed by the seed and starts at a counter that holds epoch and index in its
    upper half. Each stream can give 2^128 blocks of numbers before it could meet another one.

    Args:
        seed: of the run, 0 .. 2^64-1.
        epoch: or number of the view, 0 .. 2^64-1.
        index: of the image in its table, 0 .. 2^64-1.
    """
    key = np.array([seed, _STREAM], dtype=np.uint64)
    counter = np.array([0, 0, epoch, index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def view(
    image: Image.Image,
    box: npt.NDArray[np.float32] | None,
    preprocess: Preprocess,
    augment: Augment,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """One training view.

    Args:
        image: upright RGB.
        box: `x1 y1 x2 y2` in pixels, or None or all NaN; see `Preprocess.apply`.
        preprocess: size, resize mode, filter and region.
        augment: what to vary.
        rng: three numbers are drawn, whatever the options: top, left, flip.

    Returns:
        uint8 `[size, size, 3]`.

    Raises:
        DataError: the box does not overlap the image.
        RecipeError: `augment.resize` is smaller than `preprocess.size`.
    """
    check_augment(augment, preprocess)
    down, right, flip = rng.random(3)
    size = preprocess.size
    side = augment.resize or size
    pixels = np.array(resized(image, region_of(image, box, preprocess), preprocess, side))
    top, left = int(down * (side - size + 1)), int(right * (side - size + 1))
    pixels = pixels[top : top + size, left : left + size]
    if flip < augment.horizontal_flip:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
