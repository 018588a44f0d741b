"""`gingham cache`."""

import click

from gingham.cli.options import SuggestingGroup

__all__ = ["command"]


@click.group("cache", cls=SuggestingGroup, no_args_is_help=False)
def command() -> None:
    """Show or clear the cache of features and of what is known of images."""


@command.command("info")
def info() -> None:
    """Print where the cache is and what it holds."""
    from datetime import datetime

    from gingham.data.survey import survey_bytes, survey_folder
    from gingham.inference.shards import cache_info
    from gingham.storage import cache_directory

    entries = cache_info()
    click.echo(f"{survey_folder()}: {survey_bytes() / 1e9:.3f} GB")
    click.echo(f"{cache_directory() / 'features'}: {sum(entry['bytes'] for entry in entries) / 1e9:.3f} GB")
    for entry in entries:
        used = datetime.fromtimestamp(entry["last_used"]).astimezone().isoformat(" ", "minutes")
        click.echo(f"{entry['bytes'] / 1e9:8.3f} GB  {entry['rows']:8d} rows  last used {used}  {entry['space']}")


@command.command("clear")
def clear() -> None:
    """Remove all that is cached, but features that a training run uses now."""
    from gingham.data.survey import clear_survey
    from gingham.inference.shards import cache_info, clear_cache

    freed = clear_cache() + clear_survey()
    kept = sum(entry["bytes"] for entry in cache_info())
    click.echo(f"freed {freed / 1e9:.3f} GB" + (f"; {kept / 1e9:.3f} GB are in use and stay" if kept else ""))
