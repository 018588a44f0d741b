"""Attention over a photo as a small translucent picture, which the page lays over the thumbnail."""

import base64
import io

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image

__all__ = ["heat_uri"]

_SIDE = 96
"""Longer side in pixels: attention is coarse, and browsers enlarge smoothly."""

_OPACITY = 0.78


def heat_uri(attention: npt.NDArray[np.float32], width: int, height: int) -> str:
    """A data URI of a WebP picture with transparency, in the proportions of the photo.

    Args:
        attention: `[h, w]`, at least 0, over the whole photo, whatever its sum.
        width: of the photo, pixels.
        height: of the photo, pixels.
    """
    scale = _SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    highest = float(attention.max())
    heat = Image.fromarray(np.asarray(attention / highest if highest > 0 else attention, dtype=np.float32))
    strength = np.clip(np.asarray(heat.resize(size, Image.Resampling.BICUBIC)), 0, 1)
    # Little attention hides little: what a photo shows elsewhere stays to be seen.
    pixels = np.empty((*strength.shape, 4), dtype=np.uint8)
    pixels[..., :3] = (255 * colormaps["inferno"](0.25 + 0.7 * strength)[..., :3]).round()
    pixels[..., 3] = (255 * _OPACITY * strength**0.8).round()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=60)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
