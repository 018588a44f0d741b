"""A run that is to be finished, however far it came: for folds, members of an ensemble, and studies."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gingham.errors import BundleError, UserError
from gingham.evaluation.metrics import Metrics, evaluate
from gingham.inference.bundle import open_bundle
from gingham.predictions import Predictions
from gingham.progress import Reporter
from gingham.training.checks import require_same_recipe
from gingham.training.ensemble import train_members
from gingham.training.folder import Origin, has_begun, read_origin
from gingham.training.intake import DEFAULT_RULES, Intake, Rules
from gingham.training.interrupt import Stop
from gingham.training.joint import require_same_rules
from gingham.training.measure import FROM_FEATURES
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import PREDICTIONS, resume, train

__all__ = ["finish_run"]


def _nothing() -> None: ...


def finish_run(
    out: Path,
    data: Path,
    recipe: Recipe,
    *,
    init: Path | None = None,
    rules: Rules = DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    from_features: bool = False,
    before: Callable[[], None] = _nothing,
) -> Metrics:
    """Train a run, or go on with it if it was begun, or read its result if it is complete.

    A recipe with members becomes one run each, in `out/members`, and one model of them all.

    Args:
        out: the run's folder.
        data: folder or table of labelled photos.
        recipe: every choice; that of a run that was begun must be equal.
        init: as in `train`.
        rules: as in `train`; those of a run that was begun must be equal.
        device: as in `train`.
        reporter: hears of progress.
        stop: as in `train`.
        from_features: with `features.cache`, the final predictions come from cached features; see
            `predict_validation`. A result that was computed from the images is as good.
        before: as in `train`.

    Returns:
        The metrics on the validation split.

    Raises:
        UserError: as `train`; or the run was begun with another recipe or other rules; or there are several processes.
        BundleError, MachineError, Stopped: as `resume`.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "several runs in a row (folds, members, studies) are trained by one process; leave torchrun out, or train "
            "each run with --set data.folds and data.fold, or without members, and join them with gingham ensemble"
        )
    reporter = reporter or Reporter()
    if recipe.members:
        one = partial(
            finish_run,
            data=data,
            init=init,
            rules=rules,
            device=device,
            reporter=reporter,
            stop=stop,
            from_features=from_features,
        )

        def finish(folder: Path, member: Recipe, start: Callable[[], None]) -> Metrics:
            return one(folder, recipe=member, before=start)

        origin = Origin(data, init, Intake(rules, {}, {}))
        return train_members(out, recipe, origin, finish, before=before, reporter=reporter)
    begin = partial(train, device=device, reporter=reporter, stop=stop, from_features=from_features)
    go_on = partial(resume, device=device, reporter=reporter, stop=stop, from_features=from_features)
    if not has_begun(out):
        return begin(data, recipe, out, init=init, rules=rules, before=before)
    file, origin = read_origin(out)
    require_same_recipe(out, load_recipe(str(file)), recipe)
    require_same_rules(out, origin.rules, rules)
    # Elsewhere the data may be others: going on compares all labels, and measures again.
    finished = _result(out, from_features=from_features) if origin.data.resolve() == data.resolve() else None
    if finished is None:
        return go_on(out, data=data, recipe=recipe)
    reporter.say(f"{out}: complete")
    return finished


def _result(out: Path, *, from_features: bool) -> Metrics | None:
    """The metrics of a complete run; None if it is not complete, or something of it is damaged."""
    try:
        # A run writes its model card's metrics last of all.
        if open_bundle(out / "best").trained.get("metrics") is None:
            return None
        predictions = Predictions.from_parquet(out / PREDICTIONS)
    except BundleError:
        return None
    if not from_features and predictions.source.get("computed_from") == FROM_FEATURES:
        return None
    return evaluate(predictions)
