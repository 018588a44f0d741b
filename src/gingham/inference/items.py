"""From paths on the command line to images with names and boxes."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.data.boxes import read_boxes, read_listing
from gingham.data.columns import READERS
from gingham.data.folder import list_images
from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.errors import DataError, UserError
from gingham.inference.tagger import Item
from gingham.progress import Reporter

__all__ = ["gather_items", "printable"]


def gather_items(
    paths: Sequence[Path],
    *,
    boxes: Path | None,
    split: str | None,
    options: DataOptions,
    reporter: Reporter,
) -> list[Item]:
    """The images to tag, sorted by name.

    Args:
        paths: image files, folders, and tables that list images; or, with `split`, one labelled data set.
        boxes: a table of boxes by image name, see `read_boxes`.
        split: which split of the data set.
        options: how the data set or the tables are read.
        reporter: hears of images without a box and of boxes without an image.

    Raises:
        DataError: a path does not exist, there is no image, or the boxes are malformed.
        UserError: several data sets, or boxes for none of the images.
    """
    if split is not None:
        if len(paths) != 1:
            raise UserError("--split: give one PATH, the labelled data set")
        table = read_labels(paths[0], options).split(split)
        known = {} if table.boxes is None else dict(zip(table.images, table.boxes, strict=True))
        found = [(name, table.path(row)) for row, name in enumerate(table.images)]
    else:
        tables = [path for path in paths if path.suffix.lower() in READERS and path.is_file()]
        plain = [path for path in paths if path not in tables]
        found, known = list_images(plain) if plain or not tables else [], {}
        for path in tables:
            listed = read_listing(path, options)
            found += [(name, place) for name, place, _ in listed]
            known |= {name: box for name, _, box in listed if box is not None}
        if twice := [name for name, times in Counter(name for name, _ in found).items() if times > 1]:
            raise DataError(f"image '{twice[0]}' is listed twice; give each image once")
    if boxes is not None:
        known = _matched(read_boxes(boxes), found, boxes, reporter)
    items = (Item(printable(name), path, known.get(name)) for name, path in found)
    return sorted(items, key=lambda item: item.id)


def printable(name: str) -> str:
    """A file's name as text that can be written as UTF-8: bytes that are none become escapes with a backslash."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _matched(
    boxes: dict[str, npt.NDArray[np.float32]], found: Sequence[tuple[str, Path]], file: Path, reporter: Reporter
) -> dict[str, npt.NDArray[np.float32]]:
    """Boxes by the name that the image has here; a box file may name it relative to a folder further up or down.

    Raises:
        DataError: no box is of any image, or one could be of several.
    """
    matched: dict[str, npt.NDArray[np.float32]] = {}
    used: dict[str, str] = {}
    for rank in (0, 1):
        # A box that has its image is no candidate for another one that is merely called alike.
        free = boxes.keys() - used.keys()
        for name, path in found:
            given = next((candidate for candidate in _names(name, path)[rank] if candidate in free), None)
            if given is None or name in matched:
                continue
            if given in used:
                raise DataError(
                    f"{file}: '{given}' could be {used[given]} or {name}; name the images relative to the folder given"
                )
            used[given] = name
            matched[name] = boxes[given]
    if not matched:
        raise DataError(f"{file}: none of its {len(boxes)} boxes is of one of the {len(found)} images; check the names")
    if len(matched) < len(found):
        reporter.warn(f"{file}: no box for {len(found) - len(matched)} of {len(found)} images")
    if len(used) < len(boxes):
        reporter.say(f"{file}: {len(boxes) - len(used)} boxes are of images that are not tagged here")
    return matched


def _names(name: str, path: Path) -> tuple[list[str], list[str]]:
    """What an image may be called: its name here, then ever longer ends of its path; if need be, ever shorter ones."""
    # Links are not followed: the user knows the path that was given.
    full = Path(os.path.abspath(path))  # noqa: PTH100
    own = len(Path(name).parts)
    ends = ["/".join(full.parts[-length:]) for length in range(1, len(full.parts))]
    return [name, *ends[own:], full.as_posix()], list(reversed(ends[: own - 1]))
