"""`gingham wardrobe`."""

from pathlib import Path

import click

from gingham.cli.options import out_folder

__all__ = ["command"]


@click.command("wardrobe")
@click.argument("out", type=out_folder, metavar="OUT")
@click.option("--count", type=click.IntRange(7), default=1000, show_default=True, help="Number of garments.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything that is drawn.")
def command(out: Path, count: int, seed: int) -> None:
    """Draw a data set of synthetic garments, in the layout of FashionDataset."""
    from gingham.cli.console import ConsoleReporter
    from gingham.wardrobe import generate

    reporter = ConsoleReporter()
    with reporter.bar("drawing", count) as bar:
        generate(out, count, seed, processes=2, progress=lambda done: bar.advance())
    reporter.say(f"{out}: {count} garments")
