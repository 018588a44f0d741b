"""Each mode and depth, in files put together by hand where a writer would do a part of the work; values by hand."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from gingham.data.decode import decode_bytes
from gingham.data.pixels import upright_rgb
from gingham.errors import ImageError
from tests.data.builders import encoded, tiff

Colour = tuple[int, int, int]


def png(width: int, bits: int, colour: int, row: bytes, **chunks: bytes) -> bytes:
    """A PNG of one row of pixels, packed as the format wants them; further chunks by name, before the pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">2I5B", width, 1, bits, colour, 0, 0, 0)
    more = b"".join(chunk(name.encode(), content) for name, content in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), more, chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    )


def bmp(width: int, bits: int, row: bytes, palette: bytes = b"", masks: bytes = b"") -> bytes:
    """A BMP of one row of pixels; `masks` of a row of bit fields."""
    offset = 54 + len(masks) + len(palette)
    row += b"\0" * (-len(row) % 4)
    head = struct.pack("<2sIHHI", b"BM", offset + len(row), 0, 0, offset)
    info = struct.pack("<3I2H6I", 40, width, 1, 1, bits, 3 if masks else 0, len(row), 0, 0, len(palette) // 4, 0)
    return head + info + masks + palette + row


def grey(*values: int) -> list[Colour]:
    return [(value, value, value) for value in values]


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
RED_GREEN_BLUE = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255])

FILES = {
    # A sample of b bits, v, is v / (2^b - 1) of 255.
    "png 1 bit": (png(3, 1, GREY, bytes([0b10100000])), grey(255, 0, 255)),
    "png 2 bits": (png(4, 2, GREY, bytes([0b00011011])), grey(0, 85, 170, 255)),
    "png 4 bits": (png(4, 4, GREY, bytes([0x01, 0x8F])), grey(0, 17, 136, 255)),
    "png 8 bits": (png(3, 8, GREY, bytes([0, 77, 255])), grey(0, 77, 255)),
    # 16 bits: v / 257, rounded: 128 is below a half, 129 above.
    "png 16 bits": (png(5, 16, GREY, struct.pack(">5H", 0, 128, 129, 25700, 65535)), grey(0, 0, 1, 100, 255)),
    "png 16 bits with a key": (
        png(2, 16, GREY, struct.pack(">2H", 514, 515), tRNS=struct.pack(">H", 514)),
        grey(255, 2),
    ),
    "png 8 bits with a key": (png(2, 8, GREY, bytes([9, 10]), tRNS=struct.pack(">H", 9)), grey(255, 10)),
    "png rgb": (png(2, 8, RGB, bytes([1, 2, 3, 250, 128, 7])), [(1, 2, 3), (250, 128, 7)]),
    "png rgb with a key": (
        png(2, 8, RGB, bytes([1, 2, 3, 1, 2, 4]), tRNS=struct.pack(">3H", 1, 2, 3)),
        [(255, 255, 255), (1, 2, 4)],
    ),
    # Pillow keeps the high byte of 16 bits a channel, at most one step from v / 257.
    "png rgb of 16 bits": (png(1, 16, RGB, struct.pack(">3H", 0, 0x80C0, 0xFFFF)), [(0, 0x80, 255)]),
    "png rgb of 16 bits with a key": (
        png(2, 16, RGB, struct.pack(">6H", 0x0102, 0x0304, 0x0506, 0x1102, 0x0304, 0x0506), tRNS=b"\1\2\3\4\5\6"),
        [(255, 255, 255), (0x11, 3, 5)],
    ),
    "png palette": (png(3, 8, PALETTE, bytes([2, 0, 1]), PLTE=RED_GREEN_BLUE), [(0, 0, 255), (255, 0, 0), (0, 255, 0)]),
    "png palette of 2 bits": (
        png(3, 2, PALETTE, bytes([0b10000100]), PLTE=RED_GREEN_BLUE),
        [(0, 0, 255), (255, 0, 0), (0, 255, 0)],
    ),
    # An opacity of 51 / 255 = 1/5: a fifth of the colour and four fifths of white.
    "png palette with transparency": (
        png(3, 8, PALETTE, bytes([0, 1, 2]), PLTE=RED_GREEN_BLUE, tRNS=bytes([0, 51])),
        [(255, 255, 255), (204, 255, 204), (0, 0, 255)],
    ),
    "png grey and alpha": (png(3, 8, GREY_ALPHA, bytes([10, 255, 10, 0, 100, 51])), grey(10, 255, 224)),
    "png grey and alpha of 16 bits": (
        png(2, 16, GREY_ALPHA, struct.pack(">4H", 25700, 65535, 25700, 0)),
        grey(100, 255),
    ),
    "png rgba": (png(2, 8, RGBA, bytes([200, 100, 0, 51, 1, 2, 3, 255])), [(244, 224, 204), (1, 2, 3)]),
    "png rgba of 16 bits": (png(1, 16, RGBA, struct.pack(">4H", 200 * 257, 100 * 257, 0, 51 * 257)), [(244, 224, 204)]),
    "bmp 1 bit": (bmp(3, 1, bytes([0b01000000]), bytes([0, 0, 0, 0, 255, 255, 255, 0])), grey(0, 255, 0)),
    "bmp 8 bits": (bmp(2, 8, bytes([1, 0]), bytes([3, 2, 1, 0, 6, 5, 4, 0])), [(4, 5, 6), (1, 2, 3)]),
    # Five bits a channel: 31 is all of it, 16 is 16 / 31 of 255 = 131.6, of which Pillow cuts the fraction off.
    "bmp 16 bits": (bmp(2, 16, struct.pack("<2H", 31 << 10, 16 << 5)), [(255, 0, 0), (0, 131, 0)]),
    "bmp 24 bits": (bmp(1, 24, bytes([3, 2, 1])), [(1, 2, 3)]),
    "bmp 32 bits": (bmp(1, 32, bytes([3, 2, 1, 0])), [(1, 2, 3)]),
    "bmp of bit fields": (
        bmp(1, 16, struct.pack("<H", 0xF81F), masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)),
        [(255, 0, 255)],
    ),
    "tiff 8 bits, 0 is white": (tiff((2, 1), 8, bytes([0, 200]), photometric=0), grey(255, 55)),
    "tiff 12 bits": (tiff((2, 1), 12, bytes([0x80, 0x0F, 0xFF])), grey(128, 255)),
    "tiff 16 bits": (tiff((3, 1), 16, struct.pack("<3H", 128, 129, 65535)), grey(0, 1, 255)),
    "tiff 16 bits, 0 is white": (tiff((2, 1), 16, struct.pack("<2H", 257, 65535), photometric=0), grey(254, 0)),
    "tiff signed 32 bits": (tiff((3, 1), 32, struct.pack("<3i", -5, 0, 5), sample_format=2), grey(0, 128, 255)),
    "tiff floats": (tiff((3, 1), 32, struct.pack("<3f", 0.0, 0.2, 1.0), sample_format=3), grey(0, 51, 255)),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str) -> None:
    data, expected = FILES[name]
    assert [tuple(colour) for colour in np.asarray(decode_bytes(data))[0].tolist()] == expected


def one(mode: str, *bands: int, palette: bytes | None = None) -> Image.Image:
    image = Image.frombytes(mode, (1, 1), bytes(bands))
    if palette:
        image.putpalette(palette)
    return image


MODES = {
    "1": (one("1", 0x80), (255, 255, 255)),
    "L": (one("L", 77), (77, 77, 77)),
    # 100 * 51 / 255 + 255 * 204 / 255
    "LA": (one("LA", 100, 51), (224, 224, 224)),
    "La": (one("La", 20, 51), (224, 224, 224)),
    "P": (one("P", 1, palette=RED_GREEN_BLUE), (0, 255, 0)),
    "PA": (one("PA", 1, 51, palette=RED_GREEN_BLUE), (204, 255, 204)),
    "RGB": (one("RGB", 1, 2, 3), (1, 2, 3)),
    "RGBX": (one("RGBX", 1, 2, 3, 4), (1, 2, 3)),
    "RGBA": (one("RGBA", 200, 100, 0, 51), (244, 224, 204)),
    # Multiplied by a fifth already.
    "RGBa": (one("RGBa", 40, 20, 0, 51), (244, 224, 204)),
    # What one ink lets through, times what black does: (1 - 51/255) * (1 - 51/255) of 255.
    "CMYK": (one("CMYK", 51, 102, 0, 51), (163, 122, 204)),
    # JFIF: R = Y + 1.402 (Cr - 128), G = Y - 0.344 (Cb - 128) - 0.714 (Cr - 128), B = Y + 1.772 (Cb - 128).
    "YCbCr": (one("YCbCr", 120, 108, 158), (162, 105, 85)),
    # L* = 50.2, a* = b* = 0 is a luminance of 0.1857, and that in sRGB 0.468 of 255.
    "LAB": (one("LAB", 128, 0, 0), (119, 119, 119)),
    "HSV": (one("HSV", 0, 255, 200), (200, 0, 0)),
    "I;16": (one("I;16", *struct.pack("<H", 25700)), (100, 100, 100)),
    "I;16L": (one("I;16L", *struct.pack("<H", 25700)), (100, 100, 100)),
    "I;16B": (one("I;16B", *struct.pack(">H", 25700)), (100, 100, 100)),
    "I;16N": (one("I;16N", *struct.pack("=H", 25700)), (100, 100, 100)),
    # More than 255, so of 65535.
    "I": (one("I", *struct.pack("=i", 25700)), (100, 100, 100)),
    "F": (one("F", *struct.pack("=f", 0.4)), (102, 102, 102)),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_images_that_are_open_already(mode: str) -> None:
    image, expected = MODES[mode]
    assert image.mode == mode
    before = image.tobytes(), dict(image.info)
    result = upright_rgb(image, "image")
    assert (image.tobytes(), dict(image.info)) == before
    assert result.mode == "RGB"
    # Two roundings, of the opacity or of the colour space, may add up to a step.
    tolerance = 1 if mode in {"La", "YCbCr", "LAB"} else 0
    assert max(abs(a - b) for a, b in zip(result.getpixel((0, 0)), expected, strict=True)) <= tolerance


def test_no_mode_of_pillow_is_forgotten() -> None:
    assert {*Image.MODES} <= {*MODES}


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "CMYK", "LAB", "I;16", "I", "F"])
def test_strips_join_without_a_seam(mode: str) -> None:
    """An image of several strips is what its pixels are one by one."""
    values = np.random.default_rng(0).integers(0, 256, (1200, 1024, 4), dtype=np.uint8)
    values[..., 3] |= 1
    picture = Image.fromarray(values)
    if mode in {"I;16", "I", "F"}:
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        picture = Image.fromarray((values.view(np.uint32)[..., 0] % 65536).astype(kind))
    elif mode == "LAB":
        picture = Image.frombytes("LAB", picture.size, picture.convert("RGB").tobytes())
    elif mode != "RGBA":
        picture = picture.convert("RGB").convert(mode) if mode in {"P", "CMYK"} else picture.convert(mode)
    assert picture.mode == mode
    whole = upright_rgb(picture, "image")
    for top in (0, 1000, 1023, 1024, 1199):
        box = (0, top, 1024, top + 1)
        if mode in {"I", "F"}:  # their range is that of the whole image
            row = np.rint(np.asarray(picture.crop(box)).astype(float) / 257).astype(np.uint8)
            assert (np.asarray(whole.crop(box)) == row[..., None]).all()
        else:
            assert whole.crop(box).tobytes() == upright_rgb(picture.crop(box), "image").tobytes()


def test_a_palette_image_without_its_palette_is_refused() -> None:
    with pytest.raises(ImageError, match="its pixels refer to a palette, and it has none") as caught:
        decode_bytes(png(1, 8, PALETTE, b"\0"))
    assert caught.value.reason == "unreadable"


def test_a_profile_that_says_srgb_changes_no_pixel() -> None:
    values = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = decode_bytes(encoded(Image.fromarray(values), "PNG", icc_profile=profile))
    assert (np.asarray(found) == values).all()
