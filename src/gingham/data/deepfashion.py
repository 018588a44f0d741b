"""The layout of DeepFashion's fine-grained attribute benchmark, in all the variants that circulate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.data.checks import check_images, parse_box
from gingham.data.folder import is_image_name
from gingham.data.options import DataOptions, refuse_unused
from gingham.data.table import SPLITS, LabelTable
from gingham.errors import DataError
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["deepfashion_schema", "find_lists", "read_deepfashion"]

_BUILTIN = "deepfashion"
_CLASS_LIST = "list_attr_cloth.txt"
_TABLE_OPTIONS = ("image_column", "attributes", "ignore_columns", "split_column", "box_columns")


def find_lists(data: Path) -> Path | None:
    """The folder with `train.txt`, `val.txt` or `test.txt`: `split`, `Anno_fine` or the data folder itself; or None."""
    for folder in (data / "split", data / "Anno_fine", data):
        if any((folder / f"{split}.txt").is_file() for split in SPLITS):
            return folder
    return None


def read_deepfashion(data: Path, options: DataOptions) -> LabelTable:
    """Read a folder in this layout; of `train`, `val` and `test` those that are there.

    Each has a list of images (`train.txt`), labels (`train_attr.txt`; needed for all but `test`) and optional boxes
    (`train_bbox.txt`). Landmark files are not read. Any file may begin with a count, a header line, or both.

    Raises:
        DataError: a file is missing or malformed, or files disagree; names file and line.
        RecipeError: an option is set that has no effect on this layout.
        SchemaError: the schema file is malformed.
    """
    lists = find_lists(data)
    if lists is None:
        raise DataError(f"{data}: no train.txt, val.txt or test.txt in it, nor in its folders split or Anno_fine")
    refuse_unused(options, _TABLE_OPTIONS, f"{data} is in the DeepFashion layout, which has no columns")
    refuse_unused(options, options.split_options, f"{data} is in the DeepFashion layout, which is split already")
    schema = deepfashion_schema(lists, options)
    images: list[str] = []
    places: list[str] = []
    splits: list[str] = []
    targets: list[npt.NDArray[np.int64]] = []
    boxes: list[npt.NDArray[np.float32]] = []
    for split in SPLITS:
        file = lists / f"{split}.txt"
        if not file.is_file():
            continue
        rows = _read_lines(file)
        images += [line for _, line in rows]
        places += [f"{file}:{number}" for number, _ in rows]
        splits += [split] * len(rows)
        targets.append(_read_targets(file, len(rows), schema, options.unlabelled))
        boxes.append(_read_boxes(file, len(rows)))
    root = _image_root(data, lists, options, images[0])
    check_images(root, images, places.__getitem__)
    all_boxes = np.concatenate(boxes)
    return LabelTable(
        schema=schema,
        root=root,
        images=tuple(images),
        targets=np.concatenate(targets),
        splits=tuple(splits),
        boxes=None if np.isnan(all_boxes).all() else all_boxes,
        source=str(data),
    )


def deepfashion_schema(lists: Path, options: DataOptions) -> AttributeSchema:
    """The schema file of the options, or the built-in `deepfashion`; checked against the folder's class list, if any.

    Raises:
        DataError: the class list is malformed, or lists other classes than the schema.
        SchemaError: the schema file is malformed.
    """
    schema = AttributeSchema.load(options.schema_file or _BUILTIN)
    file = lists / _CLASS_LIST
    if not file.is_file():
        return schema
    listed = _read_class_list(file)
    expected = [list(attribute.classes) for attribute in schema.attributes]
    if listed == expected:
        return schema
    way_out = "correct it" if options.schema_file else "name the schema of this data in data.schema_file"
    what = f"the schema '{options.schema_file or _BUILTIN}'"
    if len(listed) != len(expected):
        raise DataError(f"{file}: it lists {len(listed)} attributes, but {what} has {len(expected)}; {way_out}")
    number = next(number for number in range(len(listed)) if listed[number] != expected[number])
    raise DataError(
        f"{file}: attribute {number + 1} has the classes {', '.join(listed[number])}, but {what} has "
        f"{', '.join(expected[number])} for '{schema.names[number]}'; {way_out}"
    )


def _read_lines(file: Path) -> list[tuple[int, str]]:
    """Line numbers and contents, without blanks around them, without a count line and a header line.

    Raises:
        DataError: the file is missing, not UTF-8, has an empty line in between, holds nothing, or less than its count.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError) as failure:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({failure})") from None
    rows = [(number, line.strip()) for number, line in enumerate(text.rstrip().split("\n"), start=1)]
    for number, line in rows[:-1]:
        if not line:
            raise DataError(f"{file}:{number}: empty line; remove it, here and in the files that go with it")
    count = None
    if len(rows) > 1 and rows[0][1].isdecimal() and not rows[1][1].isdecimal():
        count = int(rows.pop(0)[1])
    if rows and _is_header(rows[0][1]):
        rows.pop(0)
    if not rows or not rows[0][1]:
        raise DataError(f"{file}: it lists nothing")
    if count is not None and count != len(rows):
        raise DataError(f"{file}:1: the count is {count}, but {len(rows)} lines follow; is the file cut off?")
    return rows


def _is_header(line: str) -> bool:
    """Column names: neither numbers nor an image's path nor a class with its attribute's number."""
    fields = line.split()
    if "/" in line or is_image_name(line):
        return False
    return not any(_is_number(field) for field in fields)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _beside(images: Path, kind: str) -> Path:
    return images.with_name(f"{images.stem}_{kind}.txt")


def _same_length(images: Path, count: int, file: Path, rows: Sequence[tuple[int, str]]) -> None:
    if len(rows) == count:
        return
    number, what = (rows[-1][0], "the last row") if len(rows) < count else (rows[count][0], "one row too many")
    raise DataError(
        f"{file}:{number}: {what}: it has {len(rows)} rows, but {images} lists {count} images; each needs one"
    )


def _read_targets(
    images: Path, count: int, schema: AttributeSchema, unlabelled: Sequence[str]
) -> npt.NDArray[np.int64]:
    """Targets `[N, K]` of one split; all -1 for a `test.txt` without labels."""
    file = _beside(images, "attr")
    if not file.is_file():
        if images.stem == "test":
            return np.full((count, len(schema)), UNLABELLED, dtype=np.int64)
        raise DataError(f"{file}: no such file; {images} needs the labels of its images there")
    rows = _read_lines(file)
    _same_length(images, count, file, rows)
    targets = np.empty((count, len(schema)), dtype=np.int64)
    for row, (number, line) in enumerate(rows):
        fields = line.split()
        if len(fields) != len(schema):
            raise DataError(f"{file}:{number}: {len(fields)} labels, expected {len(schema)}: {', '.join(schema.names)}")
        for column, (field, attribute) in enumerate(zip(fields, schema.attributes, strict=True)):
            if field in unlabelled:
                targets[row, column] = UNLABELLED
                continue
            expected = f"expected 0..{len(attribute) - 1}"
            if not (field.isascii() and field.removeprefix("-").isdigit()):
                raise DataError(f"{file}:{number}: attribute '{attribute.name}' has '{field}', {expected}")
            if not 0 <= int(field) < len(attribute):
                raise DataError(f"{file}:{number}: attribute '{attribute.name}' has label {int(field)}, {expected}")
            targets[row, column] = int(field)
    return targets


def _read_boxes(images: Path, count: int) -> npt.NDArray[np.float32]:
    """Boxes `[N, 4]` of one split; all NaN if it has no box file."""
    file = _beside(images, "bbox")
    boxes = np.full((count, 4), np.nan, dtype=np.float32)
    if file.is_file():
        rows = _read_lines(file)
        _same_length(images, count, file, rows)
        for row, (number, line) in enumerate(rows):
            boxes[row] = parse_box(line.split(), f"{file}:{number}")
    return boxes


def _read_class_list(file: Path) -> list[list[str]]:
    """Class names by attribute: line `floral  1` says that attribute 1 has the class floral."""
    classes: dict[int, list[str]] = {}
    for number, line in _read_lines(file):
        name, _, attribute = line.replace("\t", " ").rpartition(" ")
        if not attribute.isdecimal() or not name.strip():
            raise DataError(f"{file}:{number}: expected a class name and the number of its attribute, got '{line}'")
        classes.setdefault(int(attribute), []).append(name.strip())
    if sorted(classes) != list(range(1, len(classes) + 1)):
        raise DataError(f"{file}: the attributes' numbers are {sorted(classes)}, expected 1..{len(classes)}")
    return [classes[attribute] for attribute in sorted(classes)]


def _image_root(data: Path, lists: Path, options: DataOptions, first: str) -> Path:
    """The folder that `img/...` is relative to: beside or above the lists; some copies have one more folder `Img`."""
    if options.image_root is not None:
        return Path(options.image_root)
    candidates = (data, lists, lists.parent, data / "Img", lists.parent / "Img")
    return next((folder for folder in candidates if (folder / first).is_file()), data)
