"""`gingham schema`."""

from pathlib import Path

import click

from gingham.cli.options import SuggestingGroup, data_settings, file_path, out_path_ending

__all__ = ["command"]


@click.group("schema", cls=SuggestingGroup, no_args_is_help=False)
def command() -> None:
    """Infer an attribute schema from labels."""


@command.command("infer")
@click.argument("labels", type=file_path, metavar="LABELS")
@click.option(
    "--out",
    type=out_path_ending(".yaml", ".yml", ".json"),
    required=True,
    metavar="SCHEMA.yaml",
    help="File to write, as YAML or JSON; must not exist.",
)
@data_settings
def infer(labels: Path, out: Path, changes: tuple[str, ...]) -> None:
    """Read a table of labels and write the attributes and classes that it holds."""
    from gingham.cli.labels import changed_options
    from gingham.data.infer import infer_schema, write_schema
    from gingham.data.options import DataOptions
    from gingham.errors import UserError

    if out.exists():
        raise UserError(f"{out}: exists; choose another name")
    schema = infer_schema(labels, changed_options(DataOptions(), changes))
    write_schema(schema, out)
    for attribute in schema.attributes:
        click.echo(f"{attribute.name}: {', '.join(attribute.classes)}")
