"""Reading the labels that a model is measured on: as its own run read them, unless told otherwise."""

from collections.abc import Sequence
from pathlib import Path

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.errors import RecipeError
from gingham.schema import AttributeSchema
from gingham.training.recipe import load_recipe

__all__ = ["data_options", "labels_for"]


def data_options(model: Path | None, changes: Sequence[str]) -> DataOptions:
    """The `data:` block of the run that MODEL is or is the best of, if any, with `data.field=value` changes.

    Args:
        model: a bundle or run; None = the block's defaults.
        changes: on top.

    Raises:
        RecipeError: a change is not of the data block, or wrong.
    """
    for change in changes:
        if not change.startswith("data."):
            raise RecipeError(
                f"--set {change}: only fields of the data block can be set here, as in data.image_column=file"
            )
    own = None if model is None else _recipe_of(model)
    return load_recipe("report" if own is None else str(own), changes).data


def _recipe_of(model: Path) -> Path | None:
    model = model.absolute()
    for folder in (model, *([model.parent] if model.name == "best" else [])):
        # A run has both; a recipe alone may be anybody's.
        if (folder / "recipe.yaml").is_file() and (folder / "run.json").is_file():
            return folder / "recipe.yaml"
    return None


def labels_for(data: Path, schema: AttributeSchema, model: Path, changes: Sequence[str]) -> LabelTable:
    """Read labels and put them into the model's schema.

    Raises:
        DataError: the data are malformed.
        SchemaError: the data's schema is not the model's; both are named.
    """
    table = read_labels(data, data_options(model, changes))
    if set(table.schema.names) == set(schema.names):
        return table.with_schema(schema)
    schema.require_same(table.schema, f"model {model}", f"data {data}")
    return table
