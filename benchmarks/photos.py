"""The photos that benchmarks read: those of `$GINGHAM_SHARED` where it is, else garments that are drawn."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from gingham.storage import atomic_directory
from gingham.wardrobe import generate
from gingham.wardrobe.generate import garment

__all__ = ["DRAWN", "labelled", "large", "origin", "pixels", "small", "wardrobe"]

DRAWN = 400
_LARGE, _LARGE_SIZE = 8, (3000, 2000)


def wardrobe(folder: Path, garments: int = DRAWN) -> Path:
    """A labelled data set of drawn garments, drawn once."""
    place = folder / f"wardrobe-{garments}"
    if not place.is_dir():
        generate(place, garments, 0)
    return place


def labelled(folder: Path) -> Path:
    """The labelled data set that exports are checked on."""
    shared = _shared()
    return shared.parent if shared else wardrobe(folder)


def small(count: int, folder: Path, given: Path | None) -> list[str]:
    """Paths of so many photos of some 300 x 300 pixels, always the same; a folder with fewer is gone through again.

    Args:
        count: of paths.
        folder: where garments are drawn, if need be.
        given: the user's photos instead.
    """
    files = sorted(path for path in _folder(folder, given).iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    if not files:
        raise FileNotFoundError(f"{_folder(folder, given)}: no .jpg files")
    return [str(files[number % len(files)].resolve()) for number in range(count)]


def origin(given: Path | None) -> str:
    """What `small` reads, in words."""
    if given is not None:
        return "photos of the user's"
    return "photos of FashionDataset, some 300 x 300 pixels" if _shared() else "drawn garments, 300 x 300 pixels"


def _shared() -> Path | None:
    place = Path(os.environ.get("GINGHAM_SHARED", "")) / "FashionDataset" / "img"
    return place if "GINGHAM_SHARED" in os.environ and place.is_dir() else None


def _folder(folder: Path, given: Path | None) -> Path:
    return given or _shared() or wardrobe(folder) / "img"


def large(folder: Path) -> list[str]:
    """Paths of eight drawn photos of 3000 x 2000 pixels, with the noise of a sensor, JPEG of quality 90."""
    place = folder / f"large-{_LARGE}"
    if not place.is_dir():
        with atomic_directory(place) as made:
            for index in range(_LARGE):
                drawn = garment(1, index, 1000).picture.image.resize(_LARGE_SIZE, Image.Resampling.BICUBIC)
                noise = np.random.default_rng(index).normal(0.0, 4.0, (*drawn.size[::-1], 3))
                noisy = np.clip(np.asarray(drawn) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(made / f"{index}.jpg", quality=90)
    return [str(path.resolve()) for path in sorted(place.iterdir())]


def pixels(paths: list[str], size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """uint8 `[N, size, size, 3]`: photos squashed to squares."""
    images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for path in paths]
    return np.stack([np.asarray(image) for image in images])
