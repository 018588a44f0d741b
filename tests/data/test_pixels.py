import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gingham.data.decode import decode_bytes
from gingham.data.pixels import ImageWarning
from gingham.errors import ImageError
from tests.data.builders import encoded, linear_grey_profile, swapped_profile, tiff


def pixels(data: bytes) -> np.ndarray:
    image = decode_bytes(data)
    assert type(image) is Image.Image
    assert image.mode == "RGB"
    assert image.info == {}
    return np.asarray(image)


def colours(data: bytes) -> list[tuple[int, ...]]:
    return [tuple(colour) for colour in pixels(data).reshape(-1, 3).tolist()]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_rgb_is_kept_by_every_lossless_format(kind: str) -> None:
    image = Image.new("RGB", (3, 1))
    image.putdata([(255, 0, 0), (0, 255, 0), (1, 2, 3)])
    assert colours(encoded(image, kind)) == [(255, 0, 0), (0, 255, 0), (1, 2, 3)]


@pytest.mark.parametrize(("kind", "options"), [("WEBP", {"lossless": True}), ("AVIF", {"quality": 100})])
def test_webp_and_avif(kind: str, options: dict[str, object]) -> None:
    image = Image.new("RGB", (16, 16), (200, 30, 60))
    np.testing.assert_allclose(pixels(encoded(image, kind, **options))[8, 8], (200, 30, 60), atol=3)


def test_jpeg() -> None:
    data = encoded(Image.new("RGB", (16, 16), (200, 30, 60)), "JPEG", quality=95)
    np.testing.assert_allclose(pixels(data)[8, 8], (200, 30, 60), atol=3)


def test_mpo_is_read_as_its_first_picture() -> None:
    first, second = Image.new("RGB", (16, 16), "white"), Image.new("RGB", (16, 16), "black")
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert pixels(data).min() == 255


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    assert colours(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))[0] == (255, 0, 0)


def test_one_bit() -> None:
    image = Image.new("1", (2, 1))
    image.putdata([0, 255])
    assert colours(encoded(image, "PNG")) == [(0, 0, 0), (255, 255, 255)]


def test_grey() -> None:
    assert colours(encoded(Image.new("L", (1, 1), 77), "PNG")) == [(77, 77, 77)]


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 256, 257, 32768, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        assert [colour[0] for colour in colours(encoded(Image.fromarray(values), kind))] == [0, 1, 1, 128, 255]


def test_16_bit_big_endian_tiff() -> None:
    little = tiff((2, 1), 16, struct.pack("<2H", 0, 65535))
    values = np.array([[0, 32768, 65535]], dtype=">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    assert [colour[0] for colour in colours(encoded(image, "TIFF"))] == [0, 128, 255]
    assert [colour[0] for colour in colours(little)] == [0, 255]


def test_12_bit_grey_is_scaled_by_its_own_range() -> None:
    # Two values of 12 bits in three bytes: 0 and 4095.
    assert [colour[0] for colour in colours(tiff((2, 1), 12, bytes([0x00, 0x0F, 0xFF])))] == [0, 255]


@pytest.mark.parametrize(("bits", "pixels_"), [(8, bytes([0, 255])), (16, struct.pack("<2H", 0, 65535))])
def test_tiff_whose_zero_is_white(bits: int, pixels_: bytes) -> None:
    assert [colour[0] for colour in colours(tiff((2, 1), bits, pixels_, photometric=0))] == [255, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 128, 255], [0, 128, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-100, 0, 155], [0, 100, 255]),
        ([0, 500_000, 1_000_000], [0, 128, 255]),
        ([70_000, 70_000, 70_000], [0, 0, 0]),
    ],
)
def test_32_bit_integers(values: list[int], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], dtype=np.int32)), "TIFF")
    assert [colour[0] for colour in colours(data)] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_floats(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], dtype=np.float32)), "TIFF")
    assert [colour[0] for colour in colours(data)] == expected


def test_floats_that_are_not_finite_are_refused() -> None:
    data = encoded(Image.fromarray(np.array([[0.0, np.nan]], dtype=np.float32)), "TIFF")
    with pytest.raises(ImageError, match="not finite") as caught:
        decode_bytes(data)
    assert caught.value.reason == "unsupported"


def test_transparency_is_blended_with_white() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 128)])
    for kind in ("PNG", "TIFF"):
        assert colours(encoded(image, kind)) == [(255, 0, 0), (255, 255, 255), (127, 127, 127)]


def test_transparency_of_webp_and_avif() -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert pixels(encoded(image, "WEBP", lossless=True)).min() == 255
    assert pixels(encoded(image, "AVIF", quality=100)).min() >= 253


def test_grey_with_alpha() -> None:
    image = Image.new("LA", (2, 1))
    image.putdata([(10, 255), (10, 0)])
    assert colours(encoded(image, "PNG")) == [(10, 10, 10), (255, 255, 255)]


def test_palette_with_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    assert colours(encoded(image, "PNG")) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert colours(encoded(image, "PNG", transparency=1)) == [(255, 0, 0), (255, 255, 255), (0, 0, 255)]
    partly = encoded(image, "PNG", transparency=bytes([255, 0, 128]))
    assert colours(partly) == [(255, 0, 0), (255, 255, 255), (127, 127, 255)]
    assert colours(encoded(image, "GIF", transparency=1)) == [(255, 0, 0), (255, 255, 255), (0, 0, 255)]


@pytest.mark.parametrize(
    ("mode", "values", "key", "expected"),
    [
        ("L", [7, 8], 7, [255, 8]),
        ("1", [0, 255], 0, [255, 255]),
        ("RGB", [(1, 2, 3), (9, 9, 9)], (1, 2, 3), [255, 9]),
    ],
)
def test_png_with_a_transparent_colour(mode: str, values: list, key: object, expected: list[int]) -> None:
    image = Image.new(mode, (2, 1))
    image.putdata(values)
    assert [colour[0] for colour in colours(encoded(image, "PNG", transparency=key))] == expected


def test_16_bit_grey_png_with_a_transparent_value() -> None:
    image = Image.fromarray(np.array([[1000, 25700]], dtype=np.uint16))
    assert [colour[0] for colour in colours(encoded(image, "PNG", transparency=1000))] == [255, 100]


def test_cmyk() -> None:
    image = Image.new("CMYK", (2, 1))
    image.putdata([(0, 255, 255, 0), (0, 0, 0, 255)])
    assert colours(encoded(image, "TIFF")) == [(255, 0, 0), (0, 0, 0)]
    jpeg = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    np.testing.assert_allclose(pixels(jpeg)[8, 8], (255, 0, 0), atol=4)


def test_lab() -> None:
    # CIELAB (D50) of white, black and sRGB's red (54.3, 80.8, 69.9), as in a TIFF file: L of 255, a and b signed.
    image = Image.frombytes("LAB", (3, 1), bytes([255, 0, 0, 0, 0, 0, 138, 81, 70]))
    white, black, red = colours(encoded(image, "TIFF"))
    np.testing.assert_allclose(white, (255, 255, 255), atol=2)
    np.testing.assert_allclose(black, (0, 0, 0), atol=2)
    np.testing.assert_allclose(red, (255, 0, 0), atol=6)


def test_colour_profile_is_applied() -> None:
    data = encoded(Image.new("RGB", (2, 2), (255, 0, 0)), "PNG", icc_profile=swapped_profile())
    np.testing.assert_allclose(colours(data)[0], (0, 255, 0), atol=2)


def test_colour_profile_is_applied_beneath_transparency() -> None:
    image = Image.new("RGBA", (2, 1))
    image.putdata([(255, 0, 0, 255), (255, 0, 0, 0)])
    opaque, clear = colours(encoded(image, "PNG", icc_profile=swapped_profile()))
    np.testing.assert_allclose(opaque, (0, 255, 0), atol=2)
    assert clear == (255, 255, 255)


def test_rgb_profile_on_a_grey_image_keeps_it_grey() -> None:
    (colour,) = colours(encoded(Image.new("L", (1, 1), 90), "PNG", icc_profile=swapped_profile()))
    np.testing.assert_allclose(colour, (90, 90, 90), atol=4)


def test_grey_profile() -> None:
    (colour,) = colours(encoded(Image.new("L", (1, 1), 128), "PNG", icc_profile=linear_grey_profile()))
    np.testing.assert_allclose(colour, (188, 188, 188), atol=1)
    image = Image.new("LA", (1, 1), (128, 255))
    np.testing.assert_allclose(colours(encoded(image, "PNG", icc_profile=linear_grey_profile()))[0], colour)


@pytest.mark.parametrize("profile", [b"no profile at all", linear_grey_profile()], ids=["broken", "of another kind"])
def test_unusable_colour_profile_is_ignored_with_a_warning(profile: bytes) -> None:
    data = encoded(Image.new("RGB", (1, 1), (255, 0, 0)), "PNG", icc_profile=profile)
    with pytest.warns(ImageWarning, match=r"shirt\.png: its colour profile"):
        image = decode_bytes(data, name="shirt.png")
    assert image.getpixel((0, 0)) == (255, 0, 0)


# The letter F, which no turn or mirror maps to itself.
_F = np.array([[0, 0, 0], [0, 255, 255], [0, 0, 255], [0, 255, 255]], dtype=np.uint8)
_STORED = {
    1: _F,
    2: _F[:, ::-1],
    3: _F[::-1, ::-1],
    4: _F[::-1],
    5: _F.T,
    6: np.rot90(_F),
    7: np.rot90(_F, 2).T,
    8: np.rot90(_F, -1),
}
"""What a camera stores for each orientation, by the definition in the EXIF standard."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    # Blocks of 16 pixels survive JPEG's compression.
    stored = np.kron(_STORED[orientation], np.ones((16, 16), dtype=np.uint8))
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)).convert("RGB"), kind, exif=exif)
    upright = pixels(data)
    assert upright.shape == (64, 48, 3)
    np.testing.assert_allclose(upright[8::16, 8::16, 0], _F, atol=8)


def test_exif_orientation_of_16_bit_grey() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(np.zeros((2, 5), dtype=np.uint16)), "PNG", exif=exif)
    assert pixels(data).shape == (5, 2, 3)


@pytest.mark.parametrize("orientation", [0, 9, 4000])
def test_unknown_orientation_is_no_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert pixels(encoded(Image.new("RGB", (5, 2)), "PNG", exif=exif)).shape == (2, 5, 3)


def test_broken_exif_is_no_orientation() -> None:
    stream = BytesIO()
    Image.new("RGB", (5, 2)).save(stream, "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f garbage")
    assert pixels(stream.getvalue()).shape == (2, 5, 3)
