"""Reading the labels that a model is measured on: as its training read them, unless told otherwise."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.documents import parse_yaml
from gingham.errors import RecipeError
from gingham.inference.bundle import Bundle

__all__ = ["changed_options", "labels_for"]


def changed_options(options: DataOptions, changes: Sequence[str], max_pixels: int | None = None) -> DataOptions:
    """Data options with `data.field=value` changes on top, and `--max-pixels` on top of these.

    Raises:
        RecipeError: a change is not of the data block, or wrong.
    """
    values = options.model_dump()
    for change in changes:
        name, separator, text = change.partition("=")
        block, _, field = name.strip().partition(".")
        if block != "data" or not separator or not field:
            raise RecipeError(
                f"--set {change}: only fields of the data block can be set here, as in data.image_column=file"
            )
        try:
            values[field] = parse_yaml(text)
        except (yaml.YAMLError, ValueError):
            raise RecipeError(f"--set {change}: the value is not valid YAML; quote it") from None
    if max_pixels is not None:
        values["max_pixels"] = max_pixels
    return DataOptions.parse(values, source="--set data")


def labels_for(data: Path, bundle: Bundle, options: DataOptions) -> LabelTable:
    """Read labels and put them into the model's schema.

    Raises:
        DataError: the data are malformed.
        SchemaError: the data's schema is not the model's; both are named.
    """
    table = read_labels(data, options)
    if set(table.schema.names) == set(bundle.schema.names):
        return table.with_schema(bundle.schema)
    bundle.schema.require_same(table.schema, f"model {bundle.path}", f"data {data}")
    return table
