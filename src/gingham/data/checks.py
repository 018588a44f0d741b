"""Checks that all readers of labels share: image files that are missing or listed twice, and malformed boxes."""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from gingham.errors import DataError

__all__ = ["check_images", "parse_box"]


def check_images(root: Path, images: Sequence[str], where: Callable[[int], str]) -> None:
    """Check that every image is a file and is listed once.

    Args:
        root: folder that the paths are relative to.
        images: N paths.
        where: row number (from 0) -> `file:line`, for the message.

    Raises:
        DataError: the first image that is missing (and how many are), or that is listed twice.
    """
    first: dict[str, int] = {}
    for row, image in enumerate(images):
        if image in first:
            raise DataError(f"{where(row)}: image '{image}' is listed already at {where(first[image])}; remove one")
        first[image] = row
    missing = [row for row, image in enumerate(images) if not os.path.isfile(root / image)]  # noqa: PTH113
    if missing:
        row = missing[0]
        more = f" (the first of {len(missing)} missing files)" if len(missing) > 1 else ""
        raise DataError(f"{where(row)}: image '{images[row]}' is not in {root}{more}; add it, or set data.image_root")


def parse_box(fields: Sequence[str], where: str) -> tuple[float, float, float, float]:
    """Read `x1 y1 x2 y2`.

    Raises:
        DataError: not four finite numbers, or a box without area; the message starts with `where`.
    """
    try:
        x1, y1, x2, y2 = (float(field) for field in fields)
    except ValueError:
        raise DataError(f"{where}: expected a box of four numbers x1 y1 x2 y2, got '{' '.join(fields)}'") from None
    if not all(math.isfinite(value) for value in (x1, y1, x2, y2)):
        raise DataError(f"{where}: the box '{' '.join(fields)}' holds a number that is not finite")
    if x2 <= x1 or y2 <= y1:
        raise DataError(f"{where}: the box '{' '.join(fields)}' has no area; expected x1 < x2 and y1 < y2")
    return x1, y1, x2, y2
