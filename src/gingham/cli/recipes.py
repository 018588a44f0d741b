"""`gingham recipes`."""

from pathlib import Path

import click

from gingham.cli.options import SuggestingGroup, out_path_ending

__all__ = ["command"]


@click.group("recipes", cls=SuggestingGroup, no_args_is_help=False)
def command() -> None:
    """List or copy the recipes that come along."""


@command.command("list")
def list_recipes() -> None:
    """Print name and purpose of each recipe."""
    from gingham.training.builtin import builtin_recipes

    for name, purpose in builtin_recipes().items():
        click.echo(f"{name:<14} {purpose}")


@command.command("copy")
@click.argument("name")
@click.argument("out", type=out_path_ending(".yaml", ".yml"), metavar="FILE.yaml")
def copy_recipe(name: str, out: Path) -> None:
    """Copy a recipe, with its comments, to a file of your own; an existing file is not replaced."""
    from gingham.errors import UserError
    from gingham.storage import write_text
    from gingham.training.builtin import recipe_text

    text = recipe_text(name)
    if out.exists():
        raise UserError(f"{out}: exists; choose another name")
    write_text(out, text)
