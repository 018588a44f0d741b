"""One entrance for all label formats: look at what is there and read it."""

from pathlib import Path

from gingham.data.columns import READERS
from gingham.data.deepfashion import deepfashion_schema, find_lists, read_deepfashion
from gingham.data.folder import list_images
from gingham.data.folds import dealt
from gingham.data.options import DataOptions, refuse_unused
from gingham.data.table import LabelTable
from gingham.data.tables import infer_table_schema, read_table
from gingham.errors import DataError
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["infer_schema", "list_images", "read_labels"]

_DEFAULTS = DataOptions()
_TABLE_STEMS = ("labels", "images")


def read_labels(data: Path, options: DataOptions = _DEFAULTS, *, reporter: Reporter | None = None) -> LabelTable:
    """Read labelled photos: a folder in the DeepFashion layout, a table, or a folder with one table at its top.

    With `options.folds` the images are looked at too, as near duplicates stay together.

    Args:
        data: a folder, or a `.csv`, `.parquet` or `.jsonl` file.
        options: how to read it.
        reporter: hears of progress.

    Returns:
        The table; every image file in it exists.

    Raises:
        DataError: nothing of that kind is there, or something in it is wrong; names file and line.
        RecipeError: an option has no effect on this kind of data, or contradicts another.
        SchemaError: the schema file is missing or malformed.
        MachineError: there are folds, and the cache folder cannot be written.
    """
    if data.is_dir() and find_lists(data) is not None:
        table = read_deepfashion(data, options)
    else:
        table = read_table(_table_file(data), options)
    return dealt(table, options, reporter or Reporter())


def infer_schema(data: Path, options: DataOptions = _DEFAULTS) -> AttributeSchema:
    """The schema of labelled photos, with the classes of each attribute sorted; image files are not looked at.

    Args:
        data: as for `read_labels`; a folder in the DeepFashion layout has the built-in schema.
        options: how to read it.

    Raises:
        DataError: as `read_labels`, or a column looks like an identifier.
        RecipeError: a table and a `schema_file`, which would leave nothing to infer.
    """
    lists = find_lists(data) if data.is_dir() else None
    if lists is not None:
        return deepfashion_schema(lists, options)
    refuse_unused(options, ("schema_file",), "the schema is inferred from the labels")
    return infer_table_schema(_table_file(data), options)


def _table_file(data: Path) -> Path:
    if not data.exists():
        raise DataError(f"{data}: no such file or folder")
    if not data.is_dir():
        return data
    tables = sorted(path for path in data.iterdir() if path.suffix.lower() in READERS and not path.name.startswith("."))
    named = [path for path in tables if path.stem.lower() in _TABLE_STEMS]
    candidates = named or tables
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise DataError(f"{data}: several tables ({', '.join(path.name for path in candidates)}); name one of them")
    raise DataError(
        f"{data}: no labels found; expected a table ({', '.join(READERS)}) in it, or train.txt with train_attr.txt "
        "(DeepFashion layout) in it or in its folder split or Anno_fine"
    )
