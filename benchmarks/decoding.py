"""(c) From a JPEG file to the pixels that a network takes, one thread, small and large photos."""

from pathlib import Path
from typing import Any

from benchmarks.comparison import Settings, Spec, Table, compare, pixel_difference
from benchmarks.photos import large, origin, small
from benchmarks.work import Work

__all__ = ["gingham", "measure", "pillow", "torchvision"]

_SMALL = 64
_SIZE = 224
_ANSWERS = 4


def measure(settings: Settings) -> list[Table]:
    """A table for small photos and one for large ones."""
    shapes = {
        origin(settings.photos): small(_SMALL, settings.models, settings.photos),
        "drawn photos, 3000 x 2000 pixels": large(settings.models),
    }
    return [
        compare(
            f"{what[0].upper()}{what[1:]}, squashed to {_SIZE} x {_SIZE}, one thread",
            baselines=[_spec("Pillow: open, convert, resize (bicubic)", "pillow", photos)],
            candidates=[
                _spec("torchvision: decode_jpeg, v2 resize (bicubic, antialias)", "torchvision", photos),
                _spec("Gingham", "gingham", photos),
                _spec("Gingham --fast-decode", "gingham", photos, fast_decode=True),
            ],
            unit="photos",
            settings=settings,
            differ=pixel_difference,
        )
        for what, photos in shapes.items()
    ]


def _spec(name: str, factory: str, photos: list[str], **further: Any) -> Spec:
    return Spec(name, f"benchmarks.decoding:{factory}", {"photos": photos, **further}, {"OMP_NUM_THREADS": "1"})


def _over(photos: list[str], decode: Any) -> Work:
    """All photos in a call. The answers are the pixels of the first ones."""
    import numpy as np

    def call() -> int:
        for photo in photos:
            decode(photo)
        return len(photos)

    def answers() -> list[list[float]]:
        return [np.asarray(decode(photo), dtype=np.float64).ravel().tolist() for photo in photos[:_ANSWERS]]

    return Work(call, answers)


def pillow(photos: list[str]) -> Work:
    """What people write."""
    import numpy as np
    from PIL import Image

    def decode(path: str) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.BICUBIC))

    return _over(photos, decode)


def torchvision(photos: list[str]) -> Work:
    """What torchvision has of its own."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resize

    torch.set_num_threads(1)

    def decode(path: str) -> Any:
        image = decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
        return resize(image, [_SIZE, _SIZE], InterpolationMode.BICUBIC, antialias=True).permute(1, 2, 0).numpy()

    return _over(photos, decode)


def gingham(photos: list[str], fast_decode: bool = False) -> Work:
    """Gingham's decoder and preprocessing, with all that they check."""
    from gingham.data.decode import decode as exact
    from gingham.data.preprocess import Preprocess
    from gingham.data.reduced import decode_reduced
    from gingham.data.test_time import TestTime
    from gingham.inference.load import Decoders, Item, Look, load

    decoders = Decoders(exact, decode_reduced if fast_decode else None)
    look = Look(Preprocess(size=_SIZE), TestTime())

    def decode(path: str) -> Any:
        _, views, _ = load([look], decoders, Item(path, Path(path)))
        if isinstance(views, Exception):
            raise views
        return views[0][0]

    return _over(photos, decode)
