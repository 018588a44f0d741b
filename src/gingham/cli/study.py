"""`gingham study`."""

from pathlib import Path
from typing import Literal

import click

from gingham.cli.options import device_option, file_path, out_folder, rules_options

__all__ = ["command"]


def _seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not all(part.strip().isdecimal() for part in value.split(",")):
        raise click.BadParameter(f"{value!r}: whole numbers are needed, as in 0,1,2", context, parameter)
    return tuple(int(part) for part in value.split(","))


@click.command("study")
@click.argument("study", required=False, metavar="[NAME|FILE]")
@click.option("--data", type=file_path, metavar="DIR|TABLE", help="Folder or table of labelled photos.")
@click.option("--out", type=out_folder, metavar="OUT", help="Folder of the study; one that was begun goes on.")
@click.option("--only", multiple=True, metavar="RUN", help="Train only this run now; repeatable.")
@click.option("--seeds", callback=_seeds, metavar="0,1,2", help="Train with these seeds, not the study's.")
@click.option("--folds", type=click.IntRange(2), metavar="K", help="Deal the photos into so many folds.")
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field in all runs; repeatable.")
@rules_options
@device_option
def command(
    study: str | None,
    data: Path | None,
    out: Path | None,
    only: tuple[str, ...],
    seeds: tuple[int, ...] | None,
    folds: int | None,
    changes: tuple[str, ...],
    leaks: Literal["drop", "keep", "error"] | None,
    skip_unreadable: float | None,
    device: str,
) -> int:
    """Train many recipes that differ in little, with folds and seeds, and compare them in one table.

    Without NAME or FILE, list the studies that come along. Interrupted or killed, the same command goes on.
    """
    from gingham.errors import ExitCode, UserError
    from gingham.training.builtin import builtin_studies

    if study is None:
        for name, purpose in builtin_studies().items():
            click.echo(f"{name:<14} {purpose}")
        return ExitCode.DONE
    if data is None or out is None:
        raise UserError(f"{'--data' if data is None else '--out'}: needed to conduct a study; see gingham study --help")
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.heap import keep_freed_memory
    from gingham.study.conduct import conduct
    from gingham.study.plan import load_plan
    from gingham.training.intake import Rules
    from gingham.training.interrupt import Stopped, stop_on_signals

    reporter = ConsoleReporter()
    show_warnings(reporter)
    keep_freed_memory()
    plan = load_plan(study, changes=changes, seeds=seeds, folds=folds)
    try:
        with stop_on_signals() as stop:
            rules = Rules(leaks or "drop", skip_unreadable)
            conduct(plan, data, out, only=only, rules=rules, device=device, reporter=reporter, stop=stop)
    except Stopped:
        reporter.say("stopped; the same command goes on")
        return stop.exit_code
    print_result((out / "table.md").read_text(encoding="utf-8").rstrip("\n"))
    reporter.say(f"study: {out} (table.csv, table.md, study.json, study.png, attributes.png, predictions/)")
    return ExitCode.DONE
