"""`gingham plot`."""

from pathlib import Path
from typing import Literal

import click

from gingham.cli.options import file_path, out_folder

__all__ = ["command"]


@click.command("plot")
@click.argument("source", type=file_path, metavar="RUN|FILE.parquet")
@click.option("--out", type=out_folder, required=True, metavar="DIR", help="Folder for the plots.")
@click.option("--format", "kind", type=click.Choice(["png", "svg"]), default="png", show_default=True)
@click.option("--compare", type=file_path, metavar="OTHER.parquet", help="Plot what is gained over these predictions.")
def command(source: Path, out: Path, kind: Literal["png", "svg"], compare: Path | None) -> None:
    """Draw the plots of a report for a paper: a run's own predictions, or saved ones."""
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.predictions import Predictions
    from gingham.report.content import collect
    from gingham.report.figures import write_figures
    from gingham.training.outcome import history_of, predictions_of

    show_warnings(ConsoleReporter())
    if source.is_dir():
        predictions, history = predictions_of(source), history_of(source)
    else:
        predictions, history = Predictions.from_parquet(source), None
    other = None if compare is None else Predictions.from_parquet(compare)
    content = collect(predictions, title=source.name, history=history, other=other)
    for path in write_figures(content, out, kind):
        print_result(str(path))
