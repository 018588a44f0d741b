"""Images and garment boxes in tables without labels, for tagging."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.data.checks import parse_box
from gingham.data.columns import Columns, read_columns
from gingham.data.options import DataOptions
from gingham.errors import DataError

__all__ = ["read_boxes", "read_listing"]

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
    boxes = {name: box for name, box in _rows(columns, "image", _COLUMNS, "--boxes") if box is not None}
    if not boxes:
        raise DataError(f"{file}: it holds no box")
    return boxes


def read_listing(file: Path, options: DataOptions) -> list[tuple[str, Path, npt.NDArray[np.float32] | None]]:
    """Read a table that lists images to tag; labels in it, if any, are not looked at.

    Args:
        file: a `.csv`, `.parquet` or `.jsonl` table.
        options: name the columns of the image and the box, and the folder that images are relative to.

    Returns:
        Name as listed, path, and box `[4]` or None, for each row.

    Raises:
        DataError: the file is malformed, a column is missing, or an image is listed twice; names the line. Whether
            the images exist is not checked.
    """
    columns = read_columns(file)
    corners = options.box_columns or (_COLUMNS if all(name in columns.cells for name in _COLUMNS) else ())
    root = file.parent if options.image_root is None else Path(options.image_root)
    rows = _rows(columns, options.image_column, corners, "data.image_column, data.box_columns")
    return [(name, root / name, box) for name, box in rows]


def _rows(
    columns: Columns, image: str, corners: Sequence[str], option: str
) -> list[tuple[str, npt.NDArray[np.float32] | None]]:
    names = columns.text(columns.require(image, option))
    cells = [columns.text(columns.require(name, option)) for name in corners]
    rows: dict[str, npt.NDArray[np.float32] | None] = {}
    for row, name in enumerate(names):
        fields = [value for column in cells if (value := column[row]) is not None]
        if name is None:
            raise DataError(f"{columns.where(row)}: the image has no name")
        if name in rows:
            raise DataError(f"{columns.where(row)}: '{name}' is listed twice; remove one")
        rows[name] = np.array(parse_box(fields, columns.where(row)), dtype=np.float32) if fields else None
    return list(rows.items())
