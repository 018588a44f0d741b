"""What is checked before a run begins, and what a resumed one must agree with."""

import hashlib
import math
from pathlib import Path

import numpy as np

from gingham.data.augment import check_augment
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.data.test_time import check_test_time
from gingham.errors import DataError, UserError
from gingham.losses.options import LossOptions
from gingham.losses.weights import attribute_weights, class_weights
from gingham.models.network import Network
from gingham.options import Options
from gingham.progress import Reporter
from gingham.schema import AttributeSchema
from gingham.training.recipe import Recipe

__all__ = [
    "check_boxes",
    "check_composition",
    "check_labels",
    "check_loss",
    "check_mixed_tokens",
    "data_fingerprint",
    "first_difference",
    "require_same_recipe",
]


def data_fingerprint(*tables: LabelTable) -> str:
    """SHA-256 of the schema, image names, targets and boxes of tables."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(table.schema.fingerprint.encode())
        digest.update("\n".join(table.images).encode())
        digest.update(table.targets.tobytes())
        digest.update(b"" if table.boxes is None else table.boxes.tobytes())
    return digest.hexdigest()


def check_composition(recipe: Recipe) -> None:
    """Refuse options that are fine by themselves but not together.

    Raises:
        UserError: names the options and the way out.
    """
    check_augment(recipe.augment, recipe.preprocess)
    check_test_time(recipe.test_time, recipe.preprocess)
    if recipe.features.cache and not recipe.model.frozen:
        raise UserError("features.cache: only a frozen backbone has features worth keeping; set model.frozen=true too")
    if recipe.mix.used and recipe.features.cache and recipe.mix.level == "pixels":
        raise UserError(
            "mix.level is pixels, but with features.cache=true there are none while training; set mix.level=tokens, "
            "which mixes the cached features, or features.cache=false"
        )
    if recipe.mix.used and not recipe.features.cache and recipe.mix.level == "tokens":
        raise UserError(
            "mix.level is tokens, but only cached features are mixed as tokens; set mix.level=pixels, or "
            "features.cache=true"
        )
    _check_backbone(recipe)
    if recipe.train.patience is not None and recipe.train.choose == "last":
        raise UserError(
            "train.patience waits for an epoch that is better, but train.choose=last takes one that is not; set "
            "train.patience=null, or train.choose=best"
        )
    deferred = recipe.loss.deferred_from
    if deferred is not None and recipe.loss.class_weights == "none":
        raise UserError(
            "loss.deferred_from: there are no class weights to defer; set loss.class_weights too, or neither"
        )
    if deferred is not None and deferred > recipe.train.epochs:
        raise UserError(
            f"loss.deferred_from: epoch {deferred} never comes, as train.epochs is {recipe.train.epochs}; "
            "set loss.class_weights=none if no class shall count more"
        )


def _check_backbone(recipe: Recipe) -> None:
    """Refuse options of a backbone that is trained where it is not."""
    if recipe.model.trains_backbone:
        return
    for name, value, idle in (
        ("train.backbone_rate", recipe.train.backbone_rate, 1),
        ("train.layer_decay", recipe.train.layer_decay, 1),
        ("model.stochastic_depth", recipe.model.stochastic_depth, 0),
        ("train.checkpointing", recipe.train.checkpointing, False),
    ):
        if value != idle:
            raise UserError(
                f"{name} is {value}, but with model.frozen=true nothing of the backbone is trained; set it to {idle}, "
                "or model.unfrozen_stages or model.frozen=false"
            )


def check_mixed_tokens(recipe: Recipe, network: Network) -> None:
    """Refuse mixing of cached tokens that are more than the cells of a grid.

    Raises:
        UserError: names the option and the way out.
    """
    kept = network.backbone.kept
    if recipe.mix.used and recipe.features.cache and kept.shape[0] != math.prod(kept.grid):
        raise UserError(
            f"mix.level is tokens, but among those that {recipe.model.backbone} passes on to its unfrozen stages are "
            f"{kept.shape[0] - math.prod(kept.grid)} that belong to no place of the image (class tokens), which cannot "
            "be cut and pasted; set model.unfrozen_stages=0, or mix.mixup=0 and mix.cutmix=0"
        )


def check_loss(options: LossOptions, schema: AttributeSchema, reporter: Reporter) -> None:
    """Refuse weights of attributes and classes that the data do not have, before anything that takes time.

    Warn of making up for rare classes twice.

    Raises:
        RecipeError: names the attribute or class, and the nearest that there is.
    """
    class_weights(np.zeros(schema.total, dtype=np.int64), schema, options.class_weights)
    attribute_weights(options.attribute_weights, schema)
    by_count = isinstance(options.class_weights, str) and options.class_weights != "none"
    if options.name == "balanced_softmax" and options.tau > 0 and by_count:
        reporter.warn(
            "loss.name=balanced_softmax makes up for rare classes, and so does "
            f"loss.class_weights={options.class_weights}; set loss.class_weights=none to do it once"
        )


def check_boxes(train_table: LabelTable, val_table: LabelTable, preprocess: Preprocess, reporter: Reporter) -> None:
    """Where the model shall look at garment boxes: warn of images that have none, whose whole area is used.

    Raises:
        DataError: no training image has one.
    """
    if preprocess.region != "box":
        return
    for name, table in (("train", train_table), ("val", val_table)):
        absent = len(table) if table.boxes is None else int(np.isnan(table.boxes).any(axis=1).sum())
        if name == "train" and absent == len(table):
            raise DataError(
                f"{table.source}: preprocess.region is 'box', but no training image has a garment box; "
                "add the boxes, or set preprocess.region=image"
            )
        if absent:
            reporter.warn(f"split '{name}': {absent} of {len(table)} images have no garment box: each is used whole")


def check_labels(train_table: LabelTable, val_table: LabelTable, reporter: Reporter) -> None:
    """Warn of classes without an example.

    Raises:
        DataError: an attribute has no label at all to train on.
    """
    for name, table in (("train", train_table), ("val", val_table)):
        counts = table.counts()
        for attribute, part in zip(table.schema.attributes, table.schema.slices, strict=True):
            if name == "train" and not counts[part].any():
                raise DataError(f"{table.source}: attribute '{attribute.name}' has no label in split 'train'")
        absent = [column for column, count in zip(table.schema.columns, counts, strict=True) if not count]
        if absent:
            reporter.warn(f"split '{name}' has no example of {', '.join(absent)}")


def require_same_recipe(out: Path, own: Recipe, recipe: Recipe | None) -> None:
    """Check that what goes on in `out` goes on with its own recipe. Raises `UserError` if another one is given."""
    if recipe is not None and (recipe := recipe.with_choices_of(own)) != own:
        raise UserError(f"{out}: a run goes on with its own recipe, but {first_difference(own, recipe)}")


def first_difference(mine: Recipe, other: Recipe) -> str:
    """`block.field is X here and Y there`, of the first field in which two recipes differ."""
    for block in type(mine).model_fields:
        ours, theirs = getattr(mine, block), getattr(other, block)
        if not isinstance(ours, Options):
            continue
        for field in type(ours).model_fields:
            if getattr(ours, field) != getattr(theirs, field):
                return f"{block}.{field} is {getattr(theirs, field)!r} here and {getattr(ours, field)!r} there"
    return "their members differ"
