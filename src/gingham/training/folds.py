"""Cross-validation: a run for each fold, and predictions of every photo by the model that has not seen it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.errors import BundleError, UserError
from gingham.evaluation.metrics import Metrics
from gingham.predictions import Predictions
from gingham.progress import Reporter
from gingham.training.checks import check_composition
from gingham.training.folder import Origin
from gingham.training.intake import DEFAULT_RULES, Intake, Rules
from gingham.training.interrupt import Stop
from gingham.training.joint import check_count, joint_folder, pinned_recipe, write_joint
from gingham.training.recipe import Recipe
from gingham.training.run import PREDICTIONS
from gingham.training.subrun import finish_run

__all__ = ["OUT_OF_FOLD", "in_folds", "out_of_fold", "train_folds"]

OUT_OF_FOLD = "predictions-oof.parquet"


def in_folds(recipe: Recipe, folds: int) -> Recipe:
    """The recipe with `data.folds` set, checked for what out-of-fold predictions need.

    Raises:
        UserError: it has another number of folds or says which fold, there would be too many models for one bundle, or
            an epoch would be chosen on the photos that are then predicted.
    """
    if recipe.data.folds not in (None, folds):
        raise UserError(
            f"--folds {folds}: the recipe has data.folds={recipe.data.folds}; give the same, or set it to null"
        )
    if recipe.data.fold:
        raise UserError(
            f"--folds {folds}: all folds are trained, but the recipe has data.fold={recipe.data.fold}; set 0"
        )
    for name, one in (recipe.member_recipes() or {"": recipe}).items():
        if one.train.choose != "last":
            of = f" of member '{name}'" if name else ""
            raise UserError(
                f"--folds {folds}: train.choose{of} is {one.train.choose}: the epoch that is best on the photos that "
                "are then predicted would flatter; set train.choose=last"
            )
    check_count(folds * max(1, len(recipe.members)))
    data = DataOptions.parse({**recipe.data.model_dump(), "folds": folds}, source=f"--folds {folds}")
    return recipe.model_copy(update={"data": data})


def train_folds(
    data: Path,
    recipe: Recipe,
    out: Path,
    folds: int,
    *,
    rules: Rules = DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    from_features: bool = False,
) -> Metrics:
    """Train a run for each fold in `out/fold-0` and on, or go on where that stopped, and put them together.

    What is left in `out`: `predictions-oof.parquet`, of all photos that are not in `test`, each predicted by the model
    that has not seen it, with a column `fold`; `metrics.json` and `report.html` of these; and
    `best/`, one model of all folds' models.

    Args:
        data: folder or table of labelled photos.
        recipe: every choice; may have members.
        out: the folder.
        folds: how many, at least 2.
        rules: as in `train`.
        device: as in `train`.
        reporter: hears of progress.
        stop: as in `train`.
        from_features: as in `finish_run`.

    Returns:
        The metrics of the out-of-fold predictions.

    Raises:
        UserError: as `in_folds` and `train`; too few photos for so many folds among it.
        BundleError: labels have changed since the first fold was trained, or files are damaged.
        MachineError, Stopped: as `train`.
    """
    reporter = reporter or Reporter()
    recipe = in_folds(recipe, folds)
    for one in recipe.member_recipes().values() if recipe.members else [recipe]:
        check_composition(one)
    table = read_labels(data, recipe.data, reporter=reporter)
    recipe = pinned_recipe(recipe)
    folders = [out / f"fold-{fold}" for fold in range(folds)]
    with joint_folder(out, recipe, Origin(data, None, Intake(rules, {}, {}), folds), lambda: None) as start:
        for fold, folder in enumerate(folders):
            reporter.say(f"{out}: fold {fold + 1} of {folds}")
            own = recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": fold})})
            finish_run(
                folder,
                data,
                own,
                rules=rules,
                device=device,
                reporter=reporter,
                stop=stop,
                from_features=from_features,
                before=start,
            )
        start()
        parts = [Predictions.from_parquet(folder / PREDICTIONS) for folder in folders]
        predictions = out_of_fold(out, parts, table)
        facts = {
            "data": table.source,
            "folds": folds,
            "images": len(predictions),
            "validation": "out of fold: each image by the networks that were not trained on it",
            "seed": recipe.train.seed,
        }
        return write_joint(out, folders, predictions, OUT_OF_FOLD, table=table, data=recipe.data.undealt, trained=facts)


def out_of_fold(out: Path, folds: Sequence[Predictions], table: LabelTable) -> Predictions:
    """All folds' predictions in the order of the table, with the column `fold`."""
    row_of = {name: row for row, name in enumerate(table.images)}
    ids = [name for part in folds for name in part.ids]
    if not row_of.keys() >= set(ids):
        raise BundleError(f"{out}: images of its folds are not in {table.source} any more; choose another --out")
    order = np.argsort([row_of[name] for name in ids], kind="stable")
    schema = folds[0].schema
    targets = np.concatenate([_targets(part) for part in folds])[order]
    rows = [row_of[ids[place]] for place in order]
    if not np.array_equal(targets, table.with_schema(schema).targets[rows]):
        raise BundleError(f"{out}: labels have changed since its folds were trained; choose another --out")
    columns: Mapping[str, Any] = {
        name: np.concatenate([part.columns[name] for part in folds])[order] for name in folds[0].columns
    }
    fold_of = np.repeat(np.arange(len(folds)), [len(part) for part in folds])[order]
    return Predictions(
        schema,
        tuple(ids[place] for place in order),
        np.concatenate([part.logits for part in folds])[order],
        targets,
        {**columns, "fold": fold_of},
        {**folds[0].source, "model": "", "split": "out of fold", "folds": len(folds)},
    )


def _targets(part: Predictions) -> Any:
    assert part.targets is not None
    return part.targets
