"""Label tables in one file: which column is what, and how its cells become targets."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gingham.data.checks import check_images, parse_box
from gingham.data.columns import Columns, read_columns
from gingham.data.options import DataOptions, refuse_unused
from gingham.data.split import photo_groups, stratified_split
from gingham.data.table import LabelTable
from gingham.errors import DataError, RecipeError, SchemaError
from gingham.schema import RESERVED_NAMES, UNLABELLED, Attribute, AttributeSchema

__all__ = ["infer_table_schema", "read_table"]

_SPLIT_COLUMN = "split"
_BOX_COLUMNS = ("x1", "y1", "x2", "y2")
_SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_MOST_CLASSES = 100


@dataclass(frozen=True)
class _Roles:
    """What the columns are."""

    image: str
    split: str | None
    boxes: tuple[str, ...] | None
    attributes: tuple[str, ...]


def read_table(file: Path, options: DataOptions) -> LabelTable:
    """Read a CSV, Parquet or JSONL file with one row an image and one column an attribute.

    Without a split column the images are split by `stratified_split`, identical photos together; where they are to be
    dealt into folds, all are `train` until then.

    Raises:
        DataError: the file, a cell or an image file is wrong; names file and line (Parquet: row).
        RecipeError: an option is set that would have no effect on this file, or contradicts another.
        SchemaError: the schema file is malformed.
    """
    columns = read_columns(file)
    schema = AttributeSchema.load(options.schema_file) if options.schema_file else None
    roles = _roles(columns, options, schema)
    if schema is None:
        schema = _inferred(columns, roles.attributes, options.unlabelled)
    targets = np.stack(
        [_encode(columns, attribute, options.unlabelled) for attribute in schema.attributes], axis=1, dtype=np.int64
    )
    root = Path(options.image_root) if options.image_root else file.parent
    images = _images(columns, roles.image)
    check_images(root, images, columns.where)
    if roles.split is None and options.folds is not None:
        refuse_unused(options, options.split_options, "data.folds says how the images are dealt")
        splits: tuple[str, ...] = ("train",) * len(images)
    elif roles.split is None:
        groups = photo_groups([root / image for image in images], images)
        splits = stratified_split(targets, schema, groups, options.val_fraction, options.split_seed)
    else:
        refuse_unused(options, options.split_options, f"{file} has the split column '{roles.split}'")
        splits = _splits(columns, roles.split)
    boxes = None if roles.boxes is None else _boxes(columns, roles.boxes)
    return LabelTable(schema, root, images, targets, splits, boxes, str(file))


def infer_table_schema(file: Path, options: DataOptions) -> AttributeSchema:
    """The schema that the labels of a table spell out: its attribute columns, each with its sorted values.

    Raises:
        DataError: the file is malformed, or a column cannot be an attribute (too many values, or only one).
    """
    columns = read_columns(file)
    return _inferred(columns, _roles(columns, options, None).attributes, options.unlabelled)


def _roles(columns: Columns, options: DataOptions, schema: AttributeSchema | None) -> _Roles:
    image = columns.require(options.image_column, "data.image_column")
    for name in options.ignore_columns:
        columns.require(name, "data.ignore_columns")
    not_free = {image, *options.ignore_columns, *(options.attributes or ())}
    split = options.split_column
    if split is not None:
        columns.require(split, "data.split_column")
    elif _SPLIT_COLUMN in columns.cells and _SPLIT_COLUMN not in not_free:
        split = _SPLIT_COLUMN
    boxes: tuple[str, ...] | None = options.box_columns
    if boxes is not None:
        for name in boxes:
            columns.require(name, "data.box_columns")
    elif all(name in columns.cells and name not in not_free for name in _BOX_COLUMNS):
        boxes = _BOX_COLUMNS
    taken = {image, split, *(boxes or ())}
    attributes = _attribute_columns(columns, options, schema, taken | set(options.ignore_columns))
    for name in attributes:
        if name in taken or name in options.ignore_columns:
            raise RecipeError(f"{columns.file}: column '{name}' cannot be an attribute and something else as well")
    return _Roles(image, split, boxes, attributes)


def _attribute_columns(
    columns: Columns, options: DataOptions, schema: AttributeSchema | None, others: set[str | None]
) -> tuple[str, ...]:
    if schema is not None:
        if options.attributes is not None and set(options.attributes) != set(schema.names):
            raise RecipeError(
                f"data.attributes names {', '.join(options.attributes)}, but {options.schema_file} has "
                f"{', '.join(schema.names)}; give one of the two options"
            )
        return tuple(
            columns.require(name, f"an attribute of the schema {options.schema_file}") for name in schema.names
        )
    if options.attributes is not None:
        return tuple(columns.require(name, "data.attributes") for name in options.attributes)
    found = tuple(name for name in columns.cells if name not in others)
    if not found:
        raise DataError(f"{columns.file}: no column is left to be an attribute; there are {', '.join(columns.cells)}")
    return found


def _inferred(columns: Columns, names: Sequence[str], unlabelled: Sequence[str]) -> AttributeSchema:
    return AttributeSchema(tuple(_inferred_attribute(columns, name, unlabelled) for name in names))


def _inferred_attribute(columns: Columns, name: str, unlabelled: Sequence[str]) -> Attribute:
    way_out = "list the attributes in data.attributes, or this column in data.ignore_columns"
    if name in RESERVED_NAMES:
        raise DataError(f"{columns.file}: column '{name}' has a name that Gingham writes itself; {way_out}")
    cells = columns.text(name)
    counts = Counter(label for label in cells if label is not None and label not in unlabelled)
    labelled = counts.total()
    unique = len(counts)
    # A name or a number of each photo: too many values, mostly seen once; or, in small tables, never seen twice.
    if unique > _MOST_CLASSES or (unique > 10 and 2 * unique > labelled) or (unique == labelled >= 5):
        raise DataError(
            f"{columns.file}: column '{name}' looks like an identifier ({unique} different values in {labelled} rows); "
            f"{way_out}"
        )
    numbers = {label for label in counts if _is_integer(label)}
    if numbers and len(numbers) < unique:
        number, word = min(numbers), min(set(counts) - numbers)
        raise DataError(
            f"{columns.where(cells.index(number))}: column '{name}' holds the number {number}, but the class name "
            f"'{word}' at {columns.where(cells.index(word))}; use one of both, or give a schema in data.schema_file"
        )
    # Whole numbers in their own order, so that the class "10" comes after "2".
    labels = sorted(counts, key=(lambda label: (int(label), label)) if numbers else None)
    try:
        return Attribute(name, tuple(labels))
    except SchemaError as failure:
        raise DataError(f"{columns.file}: {failure}; {way_out}") from None


def _is_integer(label: str) -> bool:
    # ASCII digits only: `int` also takes other scripts' digits, underscores and a plus sign.
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19


def _encode(columns: Columns, attribute: Attribute, unlabelled: Sequence[str]) -> npt.NDArray[np.int64]:
    """Targets `[N]`: a class name, else a 0-based integer, else an error."""
    cells = columns.text(attribute.name)
    known: dict[str | None, int] = {None: UNLABELLED}
    known.update(attribute.index.items())
    known.update(dict.fromkeys(unlabelled, UNLABELLED))
    for row, label in enumerate(cells):
        if label in known or label is None:
            continue
        if not _is_integer(label):
            try:
                attribute.encode(label)
            except SchemaError as failure:
                raise DataError(f"{columns.where(row)}: {failure}") from None
        if not 0 <= int(label) < len(attribute):
            expected = f"expected 0..{len(attribute) - 1}"
            raise DataError(f"{columns.where(row)}: attribute '{attribute.name}' has label {label}, {expected}")
        known[label] = int(label)
    return np.array([known[label] for label in cells], dtype=np.int64)


def _images(columns: Columns, name: str) -> tuple[str, ...]:
    images = []
    for row, cell in enumerate(columns.cells[name]):
        if not isinstance(cell, str) or not cell:
            raise DataError(f"{columns.where(row)}: column '{name}' holds no image path")
        images.append(cell)
    return tuple(images)


def _splits(columns: Columns, name: str) -> tuple[str, ...]:
    splits = []
    for row, cell in enumerate(columns.text(name)):
        split = _SPLIT_WORDS.get((cell or "").lower())
        if split is None:
            expected = "expected train, val (or valid, validation) or test"
            raise DataError(f"{columns.where(row)}: column '{name}' holds '{cell or ''}'; {expected}")
        splits.append(split)
    return tuple(splits)


def _boxes(columns: Columns, names: Sequence[str]) -> npt.NDArray[np.float32]:
    boxes = np.full((len(columns.lines), 4), np.nan, dtype=np.float32)
    for row, cells in enumerate(zip(*(columns.text(name) for name in names), strict=True)):
        fields = [cell for cell in cells if cell is not None]
        if fields:
            boxes[row] = parse_box(fields, columns.where(row))
    return boxes
