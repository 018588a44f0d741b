"""Conducting a study: every run, seed and fold that is not done yet, and the table after each."""

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.errors import UserError
from gingham.predictions import Predictions
from gingham.progress import Inside, Reporter
from gingham.storage import remove_directory
from gingham.study.outputs import finished, write_out_of_fold, write_outputs
from gingham.study.plan import Plan
from gingham.study.record import read_record, require_goes_on, write_record
from gingham.study.results import Row
from gingham.training.folder import CHECKPOINTS, claim
from gingham.training.folds import out_of_fold
from gingham.training.intake import DEFAULT_RULES, Rules
from gingham.training.interrupt import Stop
from gingham.training.parts import check_run
from gingham.training.recipe import Recipe
from gingham.training.run import PREDICTIONS
from gingham.training.subrun import finish_run

__all__ = ["conduct"]


def conduct(
    plan: Plan,
    data: Path,
    out: Path,
    *,
    only: Sequence[str] = (),
    rules: Rules = DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> dict[str, Row]:
    """Train what is not trained yet, and write tables and plots anew whenever a run is done with a seed.

    All recipes are checked against the data before the first one is trained. Seed by seed all runs are trained, so that
    there is early something to compare. Killed at any moment, the same call goes on.

    Args:
        plan: runs, seeds and folds.
        data: folder or table of labelled photos.
        out: the study's folder: new, empty, or one in which this study began with the same or fewer runs and seeds.
        only: names of the runs to train now; none = all. The table has whatever is done.
        rules: which images are left out; the same as when the study began.
        device: `auto`, `cpu`, `cuda` or `mps`.
        reporter: hears of progress.
        stop: how the study hears that it shall stop.

    Returns:
        The table: run -> figures.

    Raises:
        UserError: the plan, the data or the folder are wrong, or the plan changes what was begun.
        MachineError: the disk is full or refuses.
        Stopped: see `stop`.
    """
    reporter, stop = reporter or Reporter(), stop or Stop()
    if unknown := sorted(set(only) - set(plan.recipes)):
        raise UserError(f"{plan.source}: no run '{unknown[0]}'; there are {', '.join(plan.recipes)}")
    record = read_record(out)
    if record is not None:
        require_goes_on(record, out, data, plan, rules)
    results = {run: finished(out, run) for run in plan.recipes}
    chosen = [run for run in plan.recipes if not only or run in only]
    work = [(run, seed) for seed in plan.seeds for run in chosen if seed not in results[run]]
    inner = Inside(reporter)
    table = read_labels(data, plan.recipes[plan.baseline].data, reporter=inner)
    for run in dict.fromkeys(run for run, _ in work):
        with _named(plan, run):
            _check(plan.recipes[run], data, rules, device, inner)
    with claim(out):
        plan = write_record(out, data, plan, rules, record)
        rows = write_outputs(out, plan, results)
        with reporter.bar("study", len(work) * plan.folds) as inner.outer:
            for run, seed in work:
                with _named(plan, run):
                    _train(plan, run, seed, data, table, out, rules=rules, device=device, reporter=inner, stop=stop)
                results[run] = finished(out, run)
                rows = write_outputs(out, plan, results)
                value = results[run][seed].mean_class_accuracy
                reporter.say(f"{run}, seed {seed}: mean class accuracy {value:.1%}, out of fold")
    return rows


def _check(recipe: Recipe, data: Path, rules: Rules, device: str, reporter: Reporter) -> None:
    for one in recipe.member_recipes().values() if recipe.members else [recipe]:
        check_run(data, one, rules, device, reporter)


def _train(
    plan: Plan,
    run: str,
    seed: int,
    data: Path,
    table: LabelTable,
    out: Path,
    *,
    rules: Rules,
    device: str,
    reporter: Inside,
    stop: Stop,
) -> None:
    """Train all folds of one run with one seed, as far as they are not there, and join their predictions."""
    place = out / "runs" / run / f"seed-{seed}"
    folders = [place / f"fold-{fold}" for fold in range(plan.folds)]
    for fold, folder in enumerate(folders):
        reporter.prefix = f"{run}, seed {seed}, fold {fold + 1} of {plan.folds}: "
        finish_run(
            folder,
            data,
            plan.recipe(run, seed, fold),
            rules=rules,
            device=device,
            reporter=reporter,
            stop=stop,
            from_features=True,
        )
        reporter.outer.advance()
    predictions = out_of_fold(place, [Predictions.from_parquet(folder / PREDICTIONS) for folder in folders], table)
    write_out_of_fold(out, run, seed, predictions, sum(map(_seconds, place.rglob("history.csv"))))
    # Nothing goes on from them any more, and they are most of what a study leaves.
    for checkpoints in list(place.rglob(CHECKPOINTS)):
        remove_directory(checkpoints)


@contextlib.contextmanager
def _named(plan: Plan, run: str) -> Iterator[None]:
    """Say which run an error of the user's is about."""
    try:
        yield
    except UserError as failure:
        raise UserError(f"{plan.source}, run '{run}': {failure}") from failure


def _seconds(history: Path) -> float:
    """What the epochs of a training took; not what was lost to a kill."""
    with history.open(encoding="utf-8", newline="") as stream:
        return sum(float(row["seconds"]) for row in csv.DictReader(stream))
