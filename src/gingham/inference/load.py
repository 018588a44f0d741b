"""From an image, wherever it is, to the pixels that networks take; knows nothing of networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from gingham.data.pixels import upright_rgb
from gingham.data.preprocess import Picture, Preprocess
from gingham.data.reduced import Reduced
from gingham.data.test_time import TestTime, evaluation_views, finest_pitch
from gingham.errors import DataError, ImageError, UserError

__all__ = ["Decode", "DecodeReduced", "Decoders", "Facts", "Item", "Look", "Source", "Views", "load", "read_image"]

Source = str | Path | bytes | Image.Image

Decode = Callable[..., Image.Image]
"""`decode`, or what does the same elsewhere: of a path or bytes, with `name`."""

P = TypeVar("P", bound=Picture)

DecodeReduced = Callable[..., Reduced]
"""`decode_reduced`, or what does the same elsewhere: of a path or bytes and the finest pitch, with `name`."""


class Decoders(NamedTuple):
    """What reads images: exactly, and where that is asked for approximately, for views."""

    exact: Decode
    reduced: DecodeReduced | None = None


Views = list[npt.NDArray[np.uint8]]
"""Of one image, uint8 `[size, size, 3]` each."""


class _Size(NamedTuple):
    width: int
    height: int


class Look(NamedTuple):
    """A way to look at an image: what becomes of it, in which views."""

    preprocess: Preprocess
    test_time: TestTime


class Facts(NamedTuple):
    """Of an image, beside its logits: size in pixels, mean brightness in 0..1, the box's share of the area (or NaN).

    The brightness is that of the first view.
    """

    width: int
    height: int
    brightness: float
    box_share: float


@dataclass(frozen=True)
class Item:
    """One image to tag: a name, where it is, and the garment's box `x1 y1 x2 y2` in pixels, if known."""

    id: str
    source: Source
    box: npt.NDArray[np.float32] | None = None

    @classmethod
    def unnamed(cls, source: Source, box: Sequence[float] | None) -> "Item":
        """An image that is called "image". Raises `UserError` if the box is not four numbers."""
        array = None if box is None else np.asarray(box, dtype=np.float32)
        if array is not None and array.shape != (4,):
            raise UserError(f"box: expected four numbers x1 y1 x2 y2, got {list(box or ())}")
        return cls("image", source, array)


def load(looks: Sequence[Look], decoders: Decoders, item: Item) -> tuple[Item, list[Views] | ImageError, Facts | None]:
    """Decode one image, once, and make the views of each look of it; with its facts, or the error that it came to.

    Raises:
        TypeError: the source is of a type that holds no image.
    """
    try:
        # A row of NaN is no box; a NaN beside numbers is a bad one.
        box = None if item.box is None or np.isnan(item.box).all() else item.box
        image: Picture
        if decoders.reduced is None:
            image = read_image(item, decoders.exact)
        else:
            image = _read(item, partial(decoders.reduced, finest=partial(_finest, looks, box)))
        seen = [evaluation_views(image, box, preprocess, test_time) for preprocess, test_time in looks]
    except ImageError as failure:
        return item, failure, None
    except DataError as failure:
        return item, ImageError("bad_box", f"{item.id}: {failure}"), None
    share = float("nan")
    if box is not None:
        share = float((box[2] - box[0]) * (box[3] - box[1]) / (image.width * image.height))
    return item, seen, Facts(image.width, image.height, _brightness(seen[0][0]), share)


def _brightness(view: npt.NDArray[np.uint8]) -> float:
    """The mean, 0..1, with the bits of `view.mean() / 255`: all sums are exact. Three times as fast."""
    # 257 rows of 255 fit into 16 bits.
    kind = np.uint16 if len(view) <= 257 else np.uint32
    columns = np.add.reduce(view.reshape(len(view), -1), axis=0, dtype=kind)
    return int(columns.sum(dtype=np.uint64)) / view.size / 255.0


def read_image(item: Item, decoder: Decode) -> Image.Image:
    """The upright RGB image of an item.

    Raises:
        ImageError: it cannot be read; `reason` says why.
        TypeError: the source is of a type that holds no image.
    """
    return _read(item, decoder)


def _finest(looks: Sequence[Look], box: npt.NDArray[np.float32] | None, width: int, height: int) -> float:
    """How many pixels of a photo, across or down, become one of the view that shows it most finely."""
    image = _Size(width, height)
    try:
        return min(finest_pitch(image, box, *look) for look in looks)
    except DataError:
        return 1.0  # a bad box is an error only if the photo can be read


def _read(item: Item, decoder: Callable[..., P]) -> P | Image.Image:
    source = Path(item.source) if isinstance(item.source, str) else item.source
    if isinstance(source, Image.Image):
        try:
            # Pillow reads pixels late; a file that is cut off shows only now.
            source.load()
        except (OSError, SyntaxError, ValueError) as failure:
            raise ImageError("unreadable", f"{item.id}: not a readable image ({failure})") from None
        if min(source.size) < 1:
            raise ImageError("unreadable", f"{item.id}: an image without pixels")
        return upright_rgb(source, item.id)
    if isinstance(source, bytes):
        return decoder(source, name=item.id)
    if isinstance(source, Path):
        return decoder(source)
    kinds = "a path, encoded bytes, or a PIL image (of an array: PIL.Image.fromarray)"
    raise TypeError(f"{item.id}: expected {kinds}, got {type(source).__name__}")
