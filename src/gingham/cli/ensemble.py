"""`gingham ensemble`."""

from pathlib import Path

import click

from gingham.cli.options import file_path, out_folder

__all__ = ["command"]


@click.command("ensemble")
@click.argument("models", type=file_path, nargs=-1, required=True, metavar="MODEL MODEL...")
@click.option(
    "--out", type=out_folder, required=True, metavar="FOLDER", help="Folder of the new bundle; must not exist."
)
def command(models: tuple[Path, ...], out: Path) -> None:
    """Join taggers of the same attributes in one bundle, which averages their probabilities.

    Each keeps its backbone, preprocessing and test-time views, and all networks count alike: of a MODEL that is an
    ensemble, each member counts as much as another MODEL. All verbs take the new bundle as they take any other.
    """
    from gingham.cli.console import ConsoleReporter
    from gingham.errors import UserError
    from gingham.inference.bundle import open_bundle
    from gingham.inference.join import join_bundles

    if len(models) < 2:
        raise UserError(f"{models[0]}: an ensemble needs several models; name at least two")
    if out.exists():
        raise UserError(f"--out {out}: exists; choose another folder")
    reporter = ConsoleReporter()
    for model in models:
        if open_bundle(model).calibrated:
            reporter.warn(f"{model}: its calibration is left out; an ensemble is calibrated as a whole")
    bundle = join_bundles(models, out)
    reporter.say(f"{out}: {len(bundle.members)} networks (gingham info {out} lists them)")
