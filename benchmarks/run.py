"""Measure: `python -m benchmarks.run --out DIR --models DIR`; `make bench` does that.

Each letter writes its file as soon as it is done. A run that was interrupted goes on with those that are missing, or
that were measured otherwise: at another commit, on another machine, or with other options.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

import click

from benchmarks import machine
from benchmarks.comparison import QUICK, Settings, Table
from benchmarks.harness import Plan
from benchmarks.process import MissingError
from gingham.documents import DOCUMENT_LIMIT
from gingham.storage import read_json, write_json

__all__ = ["LETTERS", "is_done", "measure_letter"]

LETTERS = ("networks", "tagging", "decoding", "training", "memory", "rates", "startup")
"""(a) to (g): each is a module with `measure(settings) -> list[Table]`."""

Measure = Callable[[Settings], list[Table]]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/bench"), show_default=True)
@click.option("--models", type=click.Path(path_type=Path), default=Path("runs/bench-models"), show_default=True)
@click.option("--photos", type=click.Path(path_type=Path), help="Folder of small photos; default: see the page.")
@click.option("--only", type=click.Choice(LETTERS), multiple=True, help="Default: all.")
@click.option("--quick", is_flag=True, help="A look whether it works: the laptop model, few samples, minutes.")
@click.option("--swin", is_flag=True, help="Swin-L too.")
@click.option("--rounds", type=click.IntRange(1), help="Samples of each candidate; default 7, with --quick 3.")
@click.option("--again", is_flag=True, help="Measure what is done already, too.")
def main(
    out: Path,
    models: Path,
    photos: Path | None,
    only: tuple[str, ...],
    quick: bool,
    swin: bool,
    rounds: int | None,
    again: bool,
) -> None:
    """Measure Gingham against what people run now."""
    plan = QUICK if quick else Plan()
    plan = Plan(**{**vars(plan), "rounds": rounds or plan.rounds})
    settings = Settings(quick=quick, swin=swin, models=models, photos=photos, plan=plan, say=click.echo)
    for letter in only or LETTERS:
        file = out / f"{letter}.json"
        about = {
            "letter": letter,
            "quick": quick,
            "swin": swin,
            "rounds": plan.rounds,
            "photos": str(photos or ""),
            "machine": machine.describe(),
        }
        if not again and is_done(file, about):
            click.echo(f"{letter}: done already ({file})")
            continue
        click.echo(f"{letter}:")
        measure: Measure = import_module(f"benchmarks.{letter}").measure
        write_json(file, measure_letter(measure, settings, about))
        click.echo(f"{letter}: {file}")


def measure_letter(measure: Measure, settings: Settings, about: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a letter; one that cannot be measured says why."""
    begin = monotonic()
    try:
        tables, reason = [table.plain() for table in measure(settings)], ""
    except MissingError as failure:
        settings.say(f"  not measured: {failure}")
        tables, reason = [], str(failure)
    return {**about, "took": round(monotonic() - begin, 1), "tables": tables, "missing": reason}


def is_done(file: Path, about: Mapping[str, Any]) -> bool:
    """Whether a file holds what would be measured now, but for its time."""
    if not file.is_file():
        return False
    found = read_json(file, limit=DOCUMENT_LIMIT)
    return not found["missing"] and _asked(found) == _asked(about)


def _asked(about: Mapping[str, Any]) -> dict[str, Any]:
    asked = {key: about[key] for key in ("letter", "quick", "swin", "rounds", "photos")}
    return {**asked, "machine": {key: value for key, value in about["machine"].items() if key != "time"}}


if __name__ == "__main__":
    main()
