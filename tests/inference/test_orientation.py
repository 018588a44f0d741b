"""A garment has its tags whichever way the camera was held."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data.decode import decode
from gingham.inference.tagger import Tagger
from gingham.wardrobe import garment
from tests.data.builders import encoded

_STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""Orientation -> what a camera stores, by the EXIF standard: 6 = its first row is the right-hand side of the scene."""


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_lossless_garments_are_tagged_alike_in_each_orientation(
    model: Path, tmp_path: Path, kind: str, options: dict[str, bool]
) -> None:
    tagger = Tagger.load(model, device="cpu", deterministic=True)
    for index in range(2):
        upright = np.asarray(garment(3, index, 120).picture.image)[:, 10:100]
        expected = tagger(Image.fromarray(np.ascontiguousarray(upright)))
        for orientation, stored in _STORED.items():
            exif = Image.Exif()
            exif[0x0112] = orientation
            file = tmp_path / f"{index}-{orientation}.image"
            pixels = Image.fromarray(np.ascontiguousarray(stored(upright)))
            file.write_bytes(encoded(pixels, kind, exif=exif, **options))
            assert (np.asarray(decode(file)) == upright).all()
            assert tagger(file) == expected
