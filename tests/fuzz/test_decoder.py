"""The decoder on spoilt images: an upright RGB image or a named error, whatever the bytes."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from gingham.data.decode import decode
from gingham.data.isolated import IsolatedDecoder
from gingham.data.pixels import ImageWarning
from gingham.errors import ImageError
from tests.data.builders import encoded, swapped_profile, tiff
from tests.fuzz.mutations import HURTFUL, spoilt

MAX_PIXELS = 1_000_000
REASONS = {"unreadable", "truncated", "too_large", "unsupported"}
Decode = Callable[..., Image.Image]


def seeds() -> Iterator[bytes]:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (17, 19, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    colour = picture.convert("RGB")
    common = {"exif": exif, "icc_profile": swapped_profile()}
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        yield encoded(colour, kind, **common)
    yield encoded(colour, "JPEG", progressive=True, subsampling=2)
    yield encoded(colour, "MPO", save_all=True, append_images=[colour])
    yield encoded(colour.convert("CMYK"), "JPEG")
    yield encoded(colour.convert("P"), "PNG", transparency=bytes(range(9)))
    yield encoded(colour.convert("P"), "GIF", transparency=3, save_all=True, append_images=[colour.convert("P")])
    for mode, kinds in {"1": "PNG TIFF", "L": "BMP", "LA": "PNG TIFF", "RGBA": "PNG WEBP TIFF BMP"}.items():
        for kind in kinds.split():
            yield encoded(picture.convert(mode), kind)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield encoded(colour, "TIFF", compression=compression)
    yield tiff((4, 4), 16, bytes(32))
    yield tiff((4, 4), 32, bytes(64), sample_format=3)
    yield encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)), "PNG")


SPOILT = spoilt(tuple(seeds()), HURTFUL)


def image_or_named_error(decoder: Decode, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ImageWarning)
        try:
            image = decoder(data, name="shirt")
        except ImageError as failure:
            check_error(failure.reason, str(failure))
            return
    assert type(image) is Image.Image
    assert image.mode == "RGB"
    assert 1 <= image.width * image.height <= MAX_PIXELS


def check_error(reason: str, message: str) -> None:
    assert reason in REASONS
    assert message.startswith("shirt: ")
    assert "\n" not in message
    assert "crashed" not in message, "the process died"
    assert "not decoded within" not in message


@given(SPOILT)
@settings(max_examples=400, derandomize=True, database=None, deadline=None)
def test_spoilt_images(data: bytes) -> None:
    image_or_named_error(lambda content, name: decode(content, name=name, max_pixels=MAX_PIXELS), data)


@pytest.mark.long
def test_many_spoilt_images() -> None:
    """In a child process: a crash is found, and its input with it."""
    with IsolatedDecoder(processes=1, max_pixels=MAX_PIXELS) as decoder:

        @given(SPOILT)
        @settings(max_examples=20_000, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def search(data: bytes) -> None:
            image_or_named_error(decoder.decode, data)

        search()


@pytest.mark.parametrize("data", list(seeds()))
def test_the_good_files_are_good(data: bytes) -> None:
    assert decode(data).mode == "RGB"
