"""The `data:` block of a recipe: how label files are to be read."""

from pydantic import Field, ValidationInfo, field_validator

from gingham.data.decode import MAX_PIXELS
from gingham.errors import RecipeError
from gingham.options import Options

__all__ = ["DataOptions", "refuse_unused"]


class DataOptions(Options):
    """How label files are to be read. The fields about columns are for CSV, Parquet and JSONL tables alone.

    Attributes:
        schema_file: name of a built-in schema, or path of a schema file; null = `deepfashion` for a folder in that
            layout (checked against its class list), else inferred from the labels.
        image_column: the column that holds the image paths.
        attributes: columns to read as attributes, in this order; null = those of the schema file, or without one all
            columns but the image, split, box and ignored ones.
        ignore_columns: columns that are no attributes.
        unlabelled: values to be read as "not labelled", besides the empty one.
        split_column: column with train, val or test; null = the column `split` if there is one, else the images are
            split at random, stratified by class.
        box_columns: the four columns of a box, in pixels of the upright image; null = x1, y1, x2, y2 if all are there.
        val_fraction: share of the images that a random split puts into `val`.
        split_seed: seed of the random split, or of the folds.
        folds: the images of `train` and `val` together are dealt into so many folds, stratified by class, with
            near duplicates in one fold; `test` stays as it is. null = the splits as they are.
        fold: which of the folds is `val`, from 0; the others are `train`.
        image_root: folder that the image paths are relative to; null = the folder of the table or data set.
        max_pixels: larger images (width x height) are refused, before they are decoded.
    """

    schema_file: str | None = None
    image_column: str = "image"
    attributes: tuple[str, ...] | None = None
    ignore_columns: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    split_column: str | None = None
    box_columns: tuple[str, str, str, str] | None = None
    val_fraction: float = Field(default=0.2, gt=0, lt=1)
    split_seed: int = Field(default=0, ge=0)
    folds: int | None = Field(default=None, ge=2)
    fold: int = Field(default=0, ge=0)
    image_root: str | None = None
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)

    @field_validator("attributes")
    @classmethod
    def _some(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names is not None and (not names or len(set(names)) != len(names)):
            raise ValueError("name at least one column, and each once; or null for all")
        return names

    @field_validator("box_columns")
    @classmethod
    def _four_different(cls, names: tuple[str, str, str, str] | None) -> tuple[str, str, str, str] | None:
        if names is not None and len(set(names)) != 4:
            raise ValueError("name four different columns: left, top, right, bottom")
        return names

    @field_validator("fold")
    @classmethod
    def _one_of_them(cls, fold: int, info: ValidationInfo) -> int:
        folds = info.data.get("folds")
        if folds is not None and fold >= folds:
            raise ValueError(f"there are {folds} folds, numbered from 0 to {folds - 1}")
        return fold

    @property
    def undealt(self) -> "DataOptions":
        """The same, without folds: for a model that knows all of them."""
        return self.model_copy(update={"folds": None, "fold": 0})

    @property
    def split_options(self) -> tuple[str, ...]:
        """The fields that matter only where images are split at random."""
        return ("val_fraction", "split_seed") if self.folds is None else ("val_fraction",)


def refuse_unused(options: DataOptions, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that were set but would have no effect on the data at hand.

    Args:
        options: the options.
        names: fields that have no effect.
        reason: why, for the message.

    Raises:
        RecipeError: one of the fields differs from its default.
    """
    for name in names:
        if getattr(options, name) != DataOptions.model_fields[name].default:
            raise RecipeError(f"data.{name} would have no effect: {reason}; remove the option")
