"""`gingham augment-preview`."""

from pathlib import Path

import click

from gingham.cli.options import check_outputs, data_option, out_path_ending

__all__ = ["command"]


@click.command("augment-preview")
@data_option
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    help="A built-in recipe (see `gingham recipes list`) or a file.",
)
@click.option("--out", type=out_path_ending(".png"), required=True, metavar="SHEET.png", help="The picture.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field, as in augment.rotation=10; repeatable.",
)
@click.option("--images", type=click.IntRange(1, 100), default=4, show_default=True, help="Training images.")
@click.option("--views", type=click.IntRange(1, 20), default=6, show_default=True, help="Views of each of them.")
def command(data: Path, recipe: str, out: Path, changes: tuple[str, ...], images: int, views: int) -> None:
    """Draw a contact sheet of what training sees: evaluation view, training views, and mixtures if the recipe mixes.

    Mixed tokens cannot be seen: pixels stand for them.
    """
    from gingham.cli.console import ConsoleReporter
    from gingham.training.preview import augment_preview
    from gingham.training.recipe import load_recipe

    check_outputs({"--out": out}, [data])
    shown = augment_preview(data, load_recipe(recipe, changes), out, images=images, views=views)
    ConsoleReporter().say(f"{out}: {shown} image{'s' * (shown != 1)}")
