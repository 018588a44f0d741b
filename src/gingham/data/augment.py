"""What training views are drawn from: the options, and random numbers that are functions of (seed, epoch, index)."""

import math

import numpy as np
from pydantic import Field, field_validator

from gingham.data.preprocess import Preprocess
from gingham.errors import RecipeError
from gingham.options import Options

__all__ = ["Augment", "check_augment", "drawn_shape", "rng_for", "step_rng"]

_VIEWS, _STEPS = 1, 2
"""Keep these streams apart from others of the same seed."""


class Augment(Options):
    """How a training view differs from the evaluation view; in the order in which it happens.

    Attributes:
        whole_image: probability that the whole image is looked at where `preprocess.region` is `box`.
        resize: the region becomes a square of so many pixels, by the mode of `preprocess`, and a square of
            `preprocess.size` is cut out of it anywhere; null = straight to that size, nothing is cut off.
        crop_area: random resized crop: a rectangle with a share of the evaluation view's area between these two becomes
            the view; null = none. It takes the place of `resize`, which must be null then.
        crop_ratio: its width by its height, between these two, uniform in the logarithm.
        horizontal_flip: probability of mirroring left and right.
        brightness: factor between 1 minus and 1 plus this, uniform; this and the next three happen in random order.
        contrast: factor likewise.
        saturation: factor likewise.
        hue: shift between minus and plus this, as a share of the circle of hues.
        rotation: by an angle between minus and plus so many degrees, uniform; corners become white.
        trivial_augment: one of the 14 operations of TrivialAugment, with a random strength.
        erasing: probability that a rectangle is filled with noise.
        erasing_area: its share of the view's area, between these two, uniform.
        erasing_ratio: its width by its height, between these two, uniform in the logarithm.
    """

    whole_image: float = Field(default=0.0, ge=0, le=1)
    resize: int | None = Field(default=250, ge=1, le=4096)
    crop_area: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (0.75, 1.3333)
    horizontal_flip: float = Field(default=0.5, ge=0, le=1)
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    rotation: float = Field(default=0.0, ge=0, le=180)
    trivial_augment: bool = False
    erasing: float = Field(default=0.0, ge=0, le=1)
    erasing_area: tuple[float, float] = (0.02, 0.33)
    erasing_ratio: tuple[float, float] = (0.3, 3.3333)

    @field_validator("crop_area", "erasing_area")
    @classmethod
    def _shares(cls, pair: tuple[float, float] | None) -> tuple[float, float] | None:
        # A smaller crop would be blown up out of a handful of pixels.
        if pair is not None and not 0.01 <= pair[0] <= pair[1] <= 1:
            raise ValueError("two shares are needed, 0.01 <= smallest <= largest <= 1")
        return pair

    @field_validator("crop_ratio", "erasing_ratio")
    @classmethod
    def _ratios(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= pair[0] <= pair[1] <= 10:
            raise ValueError("two ratios are needed, 0.1 <= smallest <= largest <= 10")
        return pair

    @property
    def varies(self) -> bool:
        """Whether two views of one image can differ."""
        chances = (self.whole_image, self.horizontal_flip)
        changes = (self.rotation, self.brightness, self.contrast, self.saturation, self.hue, self.erasing)
        crops = self.resize is not None or self.crop_area is not None
        return crops or self.trivial_augment or any(0 < chance < 1 for chance in chances) or any(changes)

    @property
    def only_mirrors(self) -> bool:
        """Whether a view is the evaluation view or its mirror image, with equal chances."""
        still = self.model_copy(update={"horizontal_flip": 0.0})
        return self.horizontal_flip == 0.5 and self.whole_image == 0 and not still.varies


def check_augment(augment: Augment, preprocess: Preprocess) -> None:
    """Check that views can be cut out.

    Raises:
        RecipeError: `augment.resize` is smaller than `preprocess.size`, or there is `augment.crop_area` too.
    """
    if augment.resize is not None and augment.crop_area is not None:
        raise RecipeError(
            "augment.crop_area and augment.resize both cut a view out of the image; set augment.resize=null, or "
            "augment.crop_area=null"
        )
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
        index: of the image in its table, or what its content is numbered by, 0 .. 2^64-1.
    """
    return _stream(_VIEWS, seed, epoch, index)


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The random numbers of the mixing in one optimiser step, counted from the run's first; as `rng_for`."""
    return _stream(_STEPS, seed, 0, step)


def _stream(stream: int, seed: int, high: int, low: int) -> np.random.Generator:
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, 0, high, low], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def drawn_shape(
    areas: tuple[float, float], ratios: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float] | None:
    """Width and height of a random rectangle inside a square of side 1, as torchvision's `RandomResizedCrop` draws it.

    The area is uniform, the ratio of width to height uniform in the logarithm; a rectangle that does not fit is drawn
    anew, up to ten times.

    Args:
        areas: smallest and largest area.
        ratios: smallest and largest width by height.
        rng: twenty numbers are drawn, whatever comes out.

    Returns:
        Width and height, at most 1; None if none fitted.
    """
    low, high = (math.log(ratio) for ratio in ratios)
    for first, second in rng.random((10, 2)):
        area, ratio = areas[0] + first * (areas[1] - areas[0]), math.exp(low + second * (high - low))
        # A little more than 1 is rounding: the whole square was asked for.
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if max(width, height) <= 1 + 1e-9:
            return min(width, 1.0), min(height, 1.0)
    return None
