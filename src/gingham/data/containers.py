"""What the bytes of an image file say about it, where Pillow does not: its kind, its length, visible damage."""

import zlib

from PIL import features

__all__ = ["is_cut_off", "other_format", "visible_damage"]

_OTHER_FORMATS = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"<svg": "SVG",
    b"<?xml": "SVG or XML",
    b"\x00\x00\x01\x00": "icon",
    b"\x00\x00\x00\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL": "JPEG XL",
}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_PNG = b"\x89PNG\r\n\x1a\n"
_BMP_RUN_LENGTHS = {1, 2}
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT"}


def other_format(data: bytes) -> str | None:
    """What a file that Pillow does not know is, if it is a picture or document of a known kind."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "HEIC"
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS and not features.check("avif"):
        return "AVIF (this Pillow was built without it)"
    start = data[:64].lstrip()
    return next((kind for magic, kind in _OTHER_FORMATS.items() if start.startswith(magic)), None)


def is_cut_off(data: bytes) -> bool:
    """Whether a file's own sizes say that it is longer than it is: WebP and AVIF, whose decoders do not tell."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    if data[4:8] != b"ftyp":
        return False
    end = 0
    while end + 8 <= len(data):
        size = int.from_bytes(data[end : end + 4], "big")
        if size < 8:
            return False  # 0 = up to the end of the file, 1 = a size of 64 bits: not in photos
        end += size
    return end != len(data)


def visible_damage(data: bytes) -> str | None:
    """What is wrong with a PNG or BMP file, of the things that Pillow overlooks and decodes to doubtful pixels."""
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(b"BM"):
        return _bmp_damage(data)
    return None


def _png_damage(data: bytes) -> str | None:
    # Pillow checks the other chunks' checksums, but not that of the pixels. A file cut off is left for it to find.
    view = memoryview(data)
    begin = len(_PNG)
    while begin + 12 <= len(data):
        end = begin + 8 + int.from_bytes(data[begin : begin + 4], "big")
        kind = data[begin + 4 : begin + 8]
        if end + 4 > len(data) or kind == b"IEND":
            break
        if kind in _PIXEL_CHUNKS and zlib.crc32(view[begin + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return f"the checksum of a chunk {kind.decode('ascii')} is wrong"
        begin = end + 4
    return None


def _bmp_damage(data: bytes) -> str | None:
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return None  # the headers of OS/2
    height = int.from_bytes(data[22:26], "little", signed=True)
    planes = int.from_bytes(data[26:28], "little")
    compression = int.from_bytes(data[30:34], "little")
    if planes != 1:
        return f"its header says {planes} planes, and 1 is the only number allowed"
    if height < 0 and compression in _BMP_RUN_LENGTHS:
        return "it is both run-length encoded and stored from top to bottom, which is not allowed"
    return None
