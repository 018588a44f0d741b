"""TrivialAugment (Müller and Hutter 2021): one operation at one strength, both drawn evenly."""

import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as ops

__all__ = ["OPERATIONS", "WHITE", "drawn_operation"]

WHITE = (255.0, 255.0, 255.0)
"""What comes in where a geometric operation leaves nothing."""

_STRENGTHS = 31

_Operation = Callable[[Image.Image, float], Image.Image]


def _moved(
    image: Image.Image,
    *,
    shear: tuple[float, float] = (0.0, 0.0),
    translate: tuple[int, int] = (0, 0),
    center: list[float] | None = None,
) -> Image.Image:
    moved: Image.Image = ops.affine(
        image, 0.0, list(translate), 1.0, list(shear), InterpolationMode.BILINEAR, list(WHITE), center
    )
    return moved


def _angle(strength: float) -> float:
    return math.degrees(math.atan(strength))


OPERATIONS: dict[str, tuple[_Operation, tuple[float, float], bool]] = {
    "identity": (lambda image, strength: image, (0.0, 0.0), False),
    "shear_x": (
        lambda image, strength: _moved(image, shear=(_angle(strength), 0.0), center=[0.0, 0.0]),
        (0.0, 0.99),
        True,
    ),
    "shear_y": (
        lambda image, strength: _moved(image, shear=(0.0, _angle(strength)), center=[0.0, 0.0]),
        (0.0, 0.99),
        True,
    ),
    "translate_x": (lambda image, strength: _moved(image, translate=(int(strength), 0)), (0.0, 32.0), True),
    "translate_y": (lambda image, strength: _moved(image, translate=(0, int(strength))), (0.0, 32.0), True),
    "rotate": (
        lambda image, strength: ops.rotate(image, strength, InterpolationMode.BILINEAR, fill=list(WHITE)),
        (0.0, 135.0),
        True,
    ),
    "brightness": (lambda image, strength: ops.adjust_brightness(image, 1 + strength), (0.0, 0.99), True),
    "saturation": (lambda image, strength: ops.adjust_saturation(image, 1 + strength), (0.0, 0.99), True),
    "contrast": (lambda image, strength: ops.adjust_contrast(image, 1 + strength), (0.0, 0.99), True),
    "sharpness": (lambda image, strength: ops.adjust_sharpness(image, 1 + strength), (0.0, 0.99), True),
    "posterize": (lambda image, strength: ops.posterize(image, 8 - round(strength)), (0.0, 6.0), False),
    "solarize": (lambda image, strength: ops.solarize(image, 255.0 * strength), (1.0, 0.0), False),
    "autocontrast": (lambda image, strength: ops.autocontrast(image), (0.0, 0.0), False),
    "equalize": (lambda image, strength: ops.equalize(image), (0.0, 0.0), False),
}
"""Name -> operation on an RGB image, its weakest and strongest setting, and whether it may go the other way: the wide
space of the paper's table 5. torchvision's `TrivialAugmentWide` draws from torch's global generator, so that only its
operations are used here."""


def drawn_operation(rng: np.random.Generator) -> tuple[str, float]:
    """Draw an operation and one of its 31 strengths, with its direction.

    Args:
        rng: three numbers are drawn, whatever comes out: operation, strength, direction.

    Returns:
        A name of `OPERATIONS` and what to call its operation with.
    """
    which, strength, direction = rng.random(3)
    name = list(OPERATIONS)[int(which * len(OPERATIONS))]
    _, ends, signed = OPERATIONS[name]
    # In float32, as torchvision has it: int(strength) would be another one now and then.
    chosen = float(torch.linspace(*ends, _STRENGTHS)[int(strength * _STRENGTHS)])
    return name, -chosen if signed and direction < 0.5 else chosen
