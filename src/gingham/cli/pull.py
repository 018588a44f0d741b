"""`gingham pull`."""

from pathlib import Path

import click

from gingham.cli.options import file_path

__all__ = ["command"]


@click.command("pull")
@click.argument("reference", metavar="OWNER/NAME[@REVISION]")
@click.option("--out", type=file_path, required=True, metavar="FOLDER", help="Folder of the bundle; must not exist.")
def command(reference: str, out: Path) -> None:
    """Download a bundle from the Hugging Face Hub and check it.

    REVISION is a branch, tag or commit. All files are of one commit, which is printed and kept in FOLDER/pulled.json.
    HF_ENDPOINT and HF_TOKEN work as they do everywhere.
    """
    from gingham.huggingface import split_reference
    from gingham.inference.repository import pull_bundle

    repository, revision = split_reference(reference)
    _, commit = pull_bundle(repository, out, revision=revision)
    click.echo(f"{repository}@{commit}")
