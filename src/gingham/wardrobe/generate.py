"""A wardrobe on disk: many garments in the folder layout of the challenge."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.storage import atomic_directory
from gingham.wardrobe.classes import CLASSES
from gingham.wardrobe.cloth import Box
from gingham.wardrobe.render import Garment, render
from gingham.wardrobe.style import Style, draw_style

__all__ = ["FEWEST", "Piece", "draw_labels", "garment", "generate"]

FEWEST = 7
"""The smallest wardrobe with a picture in each part."""

_JPEG_QUALITY = 92
_LABELS, _STYLE = 0, 1


@dataclass(frozen=True)
class Piece:
    """One garment of a wardrobe: its labels, its style, and its picture."""

    labels: tuple[int, ...]
    style: Style
    picture: Garment


def _labels(seed: int, index: int) -> tuple[int, ...]:
    rng = np.random.default_rng([seed, index, _LABELS])
    return tuple(int(rng.integers(len(classes))) for classes in CLASSES.values())


def draw_labels(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The labels [count, 6] of the first `count` garments: each attribute uniform, and independent of the others."""
    return np.array([_labels(seed, index) for index in range(count)], dtype=np.int64).reshape(count, len(CLASSES))


def garment(seed: int, index: int, size: int = 300) -> Piece:
    """Garment `index` of the wardrobe `seed`: a pure function, so that any order and any process gives the same."""
    labels = _labels(seed, index)
    style = draw_style(np.random.default_rng([seed, index, _STYLE]))
    return Piece(labels, style, render(labels, style, size))


def _write_one(index: int, *, folder: Path, seed: int, size: int) -> Box:
    piece = garment(seed, index, size)
    piece.picture.image.save(folder / f"{index:05d}.jpg", quality=_JPEG_QUALITY)
    return piece.picture.box


def _boxes(count: int, processes: int, write: Callable[[int], Box]) -> Iterator[Box]:
    if processes == 1:
        yield from map(write, range(count))
        return
    # Spawned, not forked: the caller may hold threads (PyTorch's, for one) that a fork would leave half alive.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(write, range(count), chunksize=16)


def generate(
    out: Path,
    count: int,
    seed: int,
    *,
    size: int = 300,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write `count` garments to the folder `out`: pictures in `img/`, lists in `split/`, whole or not at all.

    The first 70% are `train`, the next 15% `val`, the last 15% `test`; all three parts have labels and boxes.

    Args:
        out: the folder to write; it must not exist or must be empty.
        count: number of garments, at least `FEWEST`.
        seed: which wardrobe; the same seed gives the same pictures, and a larger one begins with a smaller one's.
        size: side of the pictures in pixels.
        processes: how many to draw with; the pictures do not depend on it.
        progress: called after each picture with the number that are done.

    Raises:
        DataError: `out` is not empty, or `count` is too small.
        MachineError: no space, or no permission to write there.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out}: already exists and is not an empty folder; remove it or name another place")
    if count < FEWEST:
        raise DataError(f"{out}: {count} garments are too few to split; ask for at least {FEWEST}")
    with atomic_directory(out) as folder:
        pictures, lists = folder / "img", folder / "split"
        pictures.mkdir()
        lists.mkdir()
        boxes: list[Box] = []
        for box in _boxes(count, processes, partial(_write_one, folder=pictures, seed=seed, size=size)):
            boxes.append(box)
            if progress is not None:
                progress(len(boxes))
        _write_lists(lists, draw_labels(count, seed), boxes)


def _write_lists(folder: Path, labels: npt.NDArray[np.int64], boxes: list[Box]) -> None:
    count = len(boxes)
    held = count * 15 // 100
    bounds = {"train": (0, count - 2 * held), "val": (count - 2 * held, count - held), "test": (count - held, count)}
    for part, (start, stop) in bounds.items():
        rows = range(start, stop)
        _write(folder / f"{part}.txt", [f"img/{index:05d}.jpg" for index in rows])
        _write(folder / f"{part}_attr.txt", [" ".join(map(str, labels[index].tolist())) for index in rows])
        _write(folder / f"{part}_bbox.txt", [" ".join(f"{edge:03d}" for edge in boxes[index]) for index in rows])
    names = [f"{name:<21}{number}" for number, classes in enumerate(CLASSES.values(), start=1) for name in classes]
    _write(folder / "list_attr_cloth.txt", [str(len(names)), "attribute_name   attribute_type", *names])


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
