"""A wardrobe with planted faults, and what was planted."""

import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gingham.data.formats import read_labels
from gingham.schema import AttributeSchema

_SPLITS = ("train", "val", "test")


@dataclass
class Planted:
    """Names of images as the label files have them."""

    folder: Path
    identical: set[frozenset[str]] = field(default_factory=set)
    near: set[frozenset[str]] = field(default_factory=set)
    corrupt: set[str] = field(default_factory=set)
    swapped: set[tuple[str, str]] = field(default_factory=set)
    """Image and attribute."""


def plant(
    wardrobe: Path, folder: Path, *, identical: int, near: int, corrupt: int, swapped: int, seed: int = 0
) -> Planted:
    """Copy a wardrobe and spoil it.

    Of the duplicates every third is a PNG and every third a lossless WebP of the same pixels; of the near ones there
    are four kinds: JPEG quality 80, 90% of the size, mirrored, and all three. Copies get labels and boxes of their
    originals and go to any split. Each attribute has its share of the swapped labels.
    """
    shutil.copytree(wardrobe, folder)
    table = read_labels(folder)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(table)).tolist()
    planted = Planted(folder)
    lists = {split: _Lists(folder / "split", split) for split in _SPLITS}
    for number in range(identical + near):
        original = table.images[rows.pop()]
        with Image.open(folder / original) as image:
            name = _copy(image, folder, number, number % 3 if number < identical else None)
        split = str(rng.choice(_SPLITS))
        labels, box = lists[table.splits[table.images.index(original)]].of(original)
        if number >= identical and number % 4 in (1, 3):
            box = " ".join(f"{int(edge) * 9 // 10:03d}" for edge in box.split())
        lists[split].append(name, labels, box)
        (planted.identical if number < identical else planted.near).add(frozenset((original, name)))
    for number in range(corrupt):
        name = table.images[rows.pop()]
        _spoil(folder / name, number)
        planted.corrupt.add(name)
    schema = AttributeSchema.builtin("deepfashion")
    for number in range(swapped):
        row = rows.pop()
        name, k = table.images[row], number % len(schema)
        lists[table.splits[row]].swap(name, k, int(rng.integers(1, schema.sizes[k])), schema.sizes[k])
        planted.swapped.add((name, schema.names[k]))
    for each in lists.values():
        each.write()
    return planted


class _Lists:
    """The label files of one split."""

    def __init__(self, folder: Path, split: str) -> None:
        self._files = [folder / f"{split}{kind}.txt" for kind in ("", "_attr", "_bbox")]
        self._lines = [file.read_text().splitlines() for file in self._files]

    def of(self, image: str) -> tuple[str, str]:
        row = self._lines[0].index(image)
        return self._lines[1][row], self._lines[2][row]

    def append(self, image: str, labels: str, box: str) -> None:
        for lines, line in zip(self._lines, (image, labels, box), strict=True):
            lines.append(line)

    def swap(self, image: str, attribute: int, by: int, classes: int) -> None:
        row = self._lines[0].index(image)
        labels = [int(label) for label in self._lines[1][row].split()]
        labels[attribute] = (labels[attribute] + by) % classes
        self._lines[1][row] = " ".join(map(str, labels))

    def write(self) -> None:
        for file, lines in zip(self._files, self._lines, strict=True):
            file.write_text("".join(f"{line}\n" for line in lines))


def _copy(image: Image.Image, folder: Path, number: int, exact: int | None) -> str:
    """Write a copy: 0 = the same file, 1 = PNG, 2 = lossless WebP, None = a near duplicate."""
    stem = f"img/copy-{number:04d}"
    if exact == 0:
        shutil.copyfile(str(image.filename), folder / f"{stem}.jpg")  # type: ignore[attr-defined]
        return f"{stem}.jpg"
    if exact == 1:
        image.save(folder / f"{stem}.png")
        return f"{stem}.png"
    if exact == 2:
        image.save(folder / f"{stem}.webp", lossless=True, quality=0, method=0)
        return f"{stem}.webp"
    kind = number % 4
    if kind in (1, 3):
        image = image.resize((round(image.width * 0.9), round(image.height * 0.9)), Image.Resampling.BICUBIC)
    if kind in (2, 3):
        image = ImageOps.mirror(image)
    if kind in (0, 3):
        image.save(folder / f"{stem}.jpg", quality=80)
        return f"{stem}.jpg"
    image.save(folder / f"{stem}.png", compress_level=1)
    return f"{stem}.png"


def _spoil(file: Path, number: int) -> None:
    """Cut off, emptied, of text, or with another kind's name: what happens to files."""
    data = file.read_bytes()
    stream = io.BytesIO()
    Image.new("RGB", (40, 40)).save(stream, "PNG")
    broken = bytearray(stream.getvalue())
    broken[-20] ^= 0xFF
    file.write_bytes([data[: len(data) // 2], b"", b"<html>404 Not Found</html>", bytes(broken)][number % 4])
