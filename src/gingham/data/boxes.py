"""Garment boxes for images that have no label file."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.data.checks import parse_box
from gingham.data.columns import read_columns
from gingham.errors import DataError

__all__ = ["read_boxes"]

_COLUMNS = ("x1", "y1", "x2", "y2")


def read_boxes(file: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read boxes by image name.

    Args:
        file: a `.csv`, `.parquet` or `.jsonl` table with columns `image`, `x1`, `y1`, `x2`, `y2`.

    Returns:
        Image name -> float32 `[4]`, `x1 y1 x2 y2` in pixels of the upright image. Rows with an empty box are left out.

    Raises:
        DataError: the file is missing or malformed, names an image twice, or holds no box; names the line.
    """
    columns = read_columns(file)
    names = columns.text(columns.require("image", "--boxes"))
    cells = [columns.text(columns.require(name, "--boxes")) for name in _COLUMNS]
    boxes: dict[str, npt.NDArray[np.float32]] = {}
    for row, (name, values) in enumerate(zip(names, zip(*cells, strict=True), strict=True)):
        fields = [value for value in values if value is not None]
        if name is None:
            raise DataError(f"{columns.where(row)}: the image has no name")
        if name in boxes:
            raise DataError(f"{columns.where(row)}: a second box of '{name}'; remove one")
        if fields:
            boxes[name] = np.array(parse_box(fields, columns.where(row)), dtype=np.float32)
    if not boxes:
        raise DataError(f"{file}: it holds no box")
    return boxes
