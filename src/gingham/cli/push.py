"""`gingham push`."""

from pathlib import Path

import click

from gingham.cli.options import model_argument

__all__ = ["command"]


@click.command("push")
@model_argument
@click.argument("repository", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Only the owner sees it; refused where the repository is public already.")
@click.option("--message", default="Add a tagger", show_default=True, help="Of the commit.")
def command(model: Path, repository: str, private: bool, message: str) -> None:
    """Upload a bundle, or a run's best, to the Hugging Face Hub as one commit, which is printed.

    The manifest and the files that it lists are sent, and nothing else. Log in first: hf auth login, or HF_TOKEN.
    """
    from gingham.inference.repository import push_bundle

    click.echo(f"{repository}@{push_bundle(model, repository, private=private, message=message)}")
