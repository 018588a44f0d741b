"""`gingham train`."""

import os
from pathlib import Path
from typing import Literal

import click

from gingham.cli.options import device_option, file_path, out_folder, rules_options

__all__ = ["command"]


@click.command("train")
@click.option("--data", type=file_path, metavar="DIR|TABLE", help="Folder or table of labelled photos.")
@click.option("--recipe", metavar="NAME|FILE", help="A built-in recipe (see `gingham recipes list`) or a file.")
@click.option("--out", type=out_folder, required=True, metavar="RUN", help="Folder of the run; new or empty.")
@click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field, as in train.epochs=3; repeatable."
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    metavar="K",
    help="Train K models, each without one of K parts of train and val, and measure each photo by the one that has "
    "not seen it.",
)
@click.option("--init", type=file_path, metavar="MODEL", help="Start from this tagger's weights.")
@rules_options
@click.option("--resume", "going_on", is_flag=True, help="Go on with the run in --out from its last checkpoint.")
@device_option
def command(
    data: Path | None,
    recipe: str | None,
    out: Path,
    changes: tuple[str, ...],
    folds: int | None,
    init: Path | None,
    leaks: Literal["drop", "keep", "error"] | None,
    skip_unreadable: float | None,
    going_on: bool,
    device: str,
) -> int:
    """Train a tagger from labelled photos and leave a run: its model, history, curves and metrics.

    With --folds, or a recipe that has members, there are several runs in folders of their own, and one model of all.

    With `torchrun --nproc-per-node N -m gingham train ...` it trains on N processes or GPUs.
    """
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.errors import ExitCode, MachineError, UserError
    from gingham.evaluation.tables import metrics_table
    from gingham.heap import keep_freed_memory
    from gingham.progress import Reporter
    from gingham.training.estimate import warn_if_slow
    from gingham.training.folder import require_unused
    from gingham.training.folds import in_folds
    from gingham.training.intake import Rules
    from gingham.training.interrupt import Stopped, stop_on_signals
    from gingham.training.jobs import go_on, start
    from gingham.training.recipe import load_recipe
    from gingham.training.run import is_main_process

    # Of several processes the first one speaks.
    reporter = ConsoleReporter() if os.environ.get("RANK", "0") == "0" else Reporter()
    show_warnings(reporter)
    keep_freed_memory()
    chosen = None if recipe is None and going_on else load_recipe(recipe or "laptop", changes)
    if going_on and recipe is None and changes:
        raise UserError("--set: a resumed run goes on with its own recipe; leave --set out, or start a new run")
    if going_on and folds is not None:
        raise UserError("--folds: a resumed run has the folds that it began with; leave --folds out")
    if going_on and init is not None:
        raise UserError("--init: a resumed run has its own weights; leave --init out, or start a new run")
    if going_on and (leaks is not None or skip_unreadable is not None):
        option = "--leaks" if leaks is not None else "--skip-unreadable"
        raise UserError(f"{option}: a resumed run goes on with the images that it began with; leave {option} out")
    try:
        with stop_on_signals() as stop:
            if going_on:
                metrics = go_on(out, data=data, recipe=chosen, device=device, reporter=reporter, stop=stop)
            else:
                if data is None:
                    raise UserError("--data: name the folder or table of labelled photos")
                if recipe is None:
                    raise UserError("--recipe: name one; `laptop` fits this machine, `gingham recipes list` shows all")
                assert chosen is not None
                require_unused(out)
                if folds is not None:
                    chosen = in_folds(chosen, folds)
                warn_if_slow(chosen, data, device, reporter, runs=folds or 1)
                metrics = start(
                    data,
                    chosen,
                    out,
                    folds=folds,
                    init=init,
                    rules=Rules(leaks or "drop", skip_unreadable),
                    device=device,
                    reporter=reporter,
                    stop=stop,
                )
    except Stopped:
        begun = (out / "recipe.yaml").is_file()
        way_on = f"go on with gingham train --resume --out {out}" if begun else "nothing was begun: call it again"
        reporter.say(f"stopped; {way_on}")
        return stop.exit_code
    except MachineError as failure:
        if not (out / "recipe.yaml").is_file():
            raise
        raise MachineError(
            f"{failure}; the last checkpoint stands: then gingham train --resume --out {out}"
        ) from failure
    if is_main_process():
        print_result(metrics_table(metrics))
        curves = f", curves in {out / 'curves.png'}" if (out / "curves.png").is_file() else ""
        reporter.say(f"run: {out} (model in {out / 'best'}{curves})")
    return ExitCode.DONE
