"""A folder of several runs whose models become one: how it begins, goes on and ends."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gingham.data.options import DataOptions
from gingham.data.table import LabelTable
from gingham.errors import UserError
from gingham.evaluation.metrics import Metrics, evaluate
from gingham.inference.bundle import MOST_MEMBERS
from gingham.inference.join import join_bundles
from gingham.models.hub import pinned
from gingham.predictions import Predictions
from gingham.report.page import Photos
from gingham.report.write import write_report
from gingham.storage import write_json
from gingham.training.checks import require_same_recipe
from gingham.training.folder import Origin, begin, claim, has_begun, read_origin
from gingham.training.intake import DEFAULT_RULES, Rules
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import REPORT

__all__ = ["check_count", "joint_folder", "pinned_recipe", "require_same_rules", "write_joint"]


@contextlib.contextmanager
def joint_folder(out: Path, recipe: Recipe, origin: Origin, before: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Be the only job in a folder of runs, and yield what each of its runs calls before it begins.

    The folder begins with the first of them, so that nothing is left where that one is refused. If it has begun
    already, it goes on.

    Args:
        out: the folder.
        recipe: of all of them.
        origin: what it was started with.
        before: called before it begins.

    Raises:
        UserError: another job is at work in it, or it began with another recipe, other rules or folds.
        BundleError: its files are damaged.
        MachineError: the disk is full or refuses.
    """
    with ExitStack() as held:
        started = False

        def start() -> None:
            nonlocal started
            if started:
                return
            before()
            held.enter_context(claim(out))
            if not has_begun(out):
                begin(out, recipe, origin)
            started = True

        if has_begun(out):
            file, recorded = read_origin(out)
            require_same_recipe(out, load_recipe(str(file)), recipe)
            if recorded.folds != origin.folds:
                raise UserError(f"{out}: it began as another kind of run; choose another --out")
            require_same_rules(out, recorded.rules, origin.rules or DEFAULT_RULES)
            start()
        yield start


def check_count(models: int) -> None:
    """Check before anything is trained that one bundle can hold so many models. Raises `UserError` else."""
    if models > MOST_MEMBERS:
        raise UserError(f"{models} models: one bundle holds at most {MOST_MEMBERS}; take fewer folds or members")


def require_same_rules(out: Path, began: Rules | None, rules: Rules) -> None:
    """Check that what goes on leaves out what it left out before. Raises `UserError` else."""
    if began is not None and began != rules:
        raise UserError(f"{out}: it began with {_said(began)}, not {_said(rules)}; choose another --out")


def _said(rules: Rules) -> str:
    skip = "" if rules.skip_unreadable is None else f" --skip-unreadable {rules.skip_unreadable:g}"
    return f"--leaks {rules.leaks}{skip}"


def pinned_recipe(recipe: Recipe) -> Recipe:
    """The recipe with `hub` weights at the commit that they have now, its members' too: all runs start from the same.

    Raises:
        RecipeError, WeightsError: as `pinned`.
    """
    if not recipe.members:
        return recipe.with_weights(pinned(recipe.model.backbone, recipe.model.weights))
    members = []
    for member, own in zip(recipe.members, recipe.member_recipes().values(), strict=True):
        weights = pinned(own.model.backbone, own.model.weights)
        changes = member.changes if weights == own.model.weights else {**member.changes, "model.weights": weights}
        members.append(member.model_copy(update={"changes": changes}))
    return recipe.model_copy(update={"members": tuple(members)})


def write_joint(
    out: Path,
    parts: Sequence[Path],
    predictions: Predictions,
    file: str,
    *,
    table: LabelTable,
    data: DataOptions,
    trained: Mapping[str, Any] | None,
) -> Metrics:
    """Write what the runs of a folder are together: predictions, metrics, a report, and one bundle of all their models.

    Args:
        out: the folder.
        parts: its runs.
        predictions: of them together, each of photos that the model in question has not been trained on.
        file: the predictions' file name.
        table: where the photos are.
        data: how labels are read to measure the bundle.
        trained: facts for the model card; None = those of the runs.

    Raises:
        UserError: nothing is labelled, or two models are the same.
        MachineError: the disk is full or refuses.
    """
    metrics = evaluate(predictions)
    predictions.to_parquet(out / file)
    write_json(out / "metrics.json", metrics.to_json())
    paths = dict(zip(table.images, table.paths(), strict=True))
    photos = Photos(paths, max_pixels=data.max_pixels)
    write_report(predictions, out / REPORT, title=out.name, photos=photos, metrics=metrics)
    join_bundles(parts, out / "best", name=out.name, data=data, trained=trained, metrics=metrics)
    return metrics
