"""Small data sets, images and colour profiles for the tests of the data layer."""

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.errors import DataError, GinghamError

ROWS = {
    "train": ("0 1 2 3 4 0", "5 0 0 1 2 2", "5 2 2 0 2 1"),
    "val": ("1 1 1 2 0 2", "6 0 2 0 5 2"),
    "test": (),
}
"""Label lines in the DeepFashion layout; `test` has two images without labels."""

CLASS_LIST = """26
attribute_name   attribute_type
floral               1
graphic              1
striped              1
embroidered          1
pleated              1
solid                1
lattice              1
long_sleeve          2
short_sleeve         2
sleeveless           2
maxi_length          3
mini_length          3
no_dress             3
crew_neckline        4
v_neckline           4
square_neckline      4
no_neckline          4
denim                5
chiffon              5
cotton               5
leather              5
faux                 5
knit                 5
tight                6
loose                6
conventional         6
"""

PLAIN = """image,colour,sleeve,split
0.png,red,long,train
1.png,blue,,Training
2.png,blue,short,valid
3.png,,long,test
"""
"""A table with two attributes; each has one image without a label."""


def problem(data: Path, options: DataOptions | None = None, error: type[GinghamError] = DataError) -> str:
    """The line with which labels are refused, with paths as seen from their folder."""
    with pytest.raises(error) as caught:
        read_labels(data, options or DataOptions())
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{data if data.is_dir() else data.parent}/", "")


def photo(path: Path, shade: int = 100) -> Path:
    """Write a tiny photo; another shade gives other bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), (shade % 256, shade // 256, 50)).save(path, "PNG")
    return path


def deepfashion(root: Path, lists: str = "split", *, image_folder: str = "img", boxes: bool = True) -> Path:
    """Write a data set in the DeepFashion layout and return the folder of its lists."""
    folder = root / lists
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for split, rows in ROWS.items():
        names = []
        for _ in range(len(rows) or 2):
            photo(root / image_folder / f"{number:05}.jpg", number)
            names.append(f"img/{number:05}.jpg")
            number += 1
        write_lines(folder / f"{split}.txt", names)
        if rows:
            write_lines(folder / f"{split}_attr.txt", rows)
        if boxes:
            write_lines(folder / f"{split}_bbox.txt", [f"001 00{row} 007 006" for row in range(len(names))])
    (folder / "list_attr_cloth.txt").write_text(CLASS_LIST)
    return folder


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def table(path: Path, text: str, photos: int = 9) -> Path:
    """Write a text table and `photos` photos 0.png, 1.png ... beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    for number in range(photos):
        photo(path.parent / f"{number}.png", number)
    return path


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of an image file."""
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(size: tuple[int, int], bits: int, pixels: bytes, *, photometric: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed little-endian grey TIFF, with tags that Pillow's own writer would not write."""
    fields: Mapping[int, tuple[int, int]] = {
        256: (4, size[0]),
        257: (4, size[1]),
        258: (3, bits),
        259: (3, 1),
        262: (3, photometric),
        273: (4, 8),
        277: (3, 1),
        278: (4, size[1]),
        279: (4, len(pixels)),
        339: (3, sample_format),
    }
    directory = struct.pack("<H", len(fields))
    for tag, (kind, value) in fields.items():
        directory += struct.pack("<HHII", tag, kind, 1, value)
    padding = b"\0" * (len(pixels) % 2)
    offset = 8 + len(pixels) + len(padding)
    return struct.pack("<2sHI", b"II", 42, offset) + pixels + padding + directory + struct.pack("<I", 0)


def swapped_profile() -> bytes:
    """An RGB profile that calls sRGB's red green, and its green red."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    end = 132 + 12 * int.from_bytes(data[128:132], "big")
    head = data[:end].replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    return head + data[end:]


def linear_grey_profile() -> bytes:
    """A grey profile with gamma 1: the value 128 is as bright as 188 in sRGB."""

    def xyz(*values: float) -> bytes:
        return struct.pack(">3i", *(round(value * 65536) for value in values))

    white = b"XYZ \0\0\0\0" + xyz(0.9642, 1.0, 0.8249)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    table = struct.pack(">I4sII4sII", 2, b"wtpt", 156, len(white), b"kTRC", 156 + len(white), len(curve))
    body = table + white + curve
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"\0" * 4, 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 24 + struct.pack(">I", 0)
    header += xyz(0.9642, 1.0, 0.8249)
    return header.ljust(128, b"\0") + body
