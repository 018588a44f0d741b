"""`gingham submit`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gingham.cli.options import (
    check_outputs,
    data_option,
    data_settings,
    fast_decode_option,
    max_pixels_option,
    model_argument,
    out_path_ending,
    running_options,
    speed_options,
)

if TYPE_CHECKING:
    from gingham.inference.runtimes import Running

__all__ = ["command"]


@click.command("submit")
@model_argument
@data_option
@click.option("--out", type=out_path_ending(".zip"), required=True, metavar="FILE.zip", help="The submission to write.")
@data_settings
@max_pixels_option
@fast_decode_option
@running_options
@speed_options
def command(
    model: Path,
    data: Path,
    out: Path,
    changes: tuple[str, ...],
    max_pixels: int | None,
    fast_decode: bool,
    running: "Running",
    batch_size: int | None,
    workers: int,
) -> None:
    """Write the challenge's submission: a zip with prediction.txt, one line of integers an image of the test split."""
    from gingham.cli.console import ConsoleReporter, show_warnings
    from gingham.cli.labels import changed_options
    from gingham.data.formats import read_labels
    from gingham.evaluation.calibration import with_tags
    from gingham.inference.bundle import open_bundle
    from gingham.inference.submission import write_submission
    from gingham.inference.tagger import Tagger

    reporter = ConsoleReporter()
    show_warnings(reporter)
    check_outputs({"--out": out}, [data, model])
    bundle = open_bundle(model)
    options = changed_options(bundle.data, changes, max_pixels)
    tagger = Tagger.from_bundle(
        bundle, max_pixels=options.max_pixels, fast_decode=fast_decode, reporter=reporter, **running
    )
    tagger.batch_size(batch_size)
    table = read_labels(data, options).split("test")
    predictions = tagger.predict(table, batch_size=batch_size, workers=workers, reporter=reporter)
    write_submission(with_tags(predictions, bundle.calibration.calibration), table.schema, out)
    reporter.say(
        f"{out}: {len(predictions)} lines in the order of the test split"
        + ", of photos decoded approximately" * fast_decode
    )
