"""`gingham predict`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gingham.cli.options import (
    check_outputs,
    data_settings,
    fast_decode_option,
    file_path,
    max_pixels_option,
    model_argument,
    out_path,
    running_options,
    speed_options,
)

if TYPE_CHECKING:
    from gingham.inference.runtimes import Running

__all__ = ["command"]


@click.command("predict")
@model_argument
@click.argument("paths", type=file_path, nargs=-1, required=True, metavar="PATH...")
@click.option("--out", type=out_path, required=True, metavar="FILE", help="Table to write: .csv, .parquet or .jsonl.")
@click.option("--boxes", type=file_path, metavar="FILE", help="Garment boxes: a table with image, x1, y1, x2, y2.")
@click.option("--split", help="PATH is a labelled data set: tag this split of it (its boxes are used).")
@click.option(
    "--precision",
    type=float,
    metavar="P",
    help="Say in <attribute>_accepted which tags may go without a look, as calibrated for this promise.",
)
@click.option("--coverage", type=float, metavar="C", help="Give in <attribute>_set the classes calibrated for this.")
@click.option("--top-k", type=int, metavar="N", help="Give in <attribute>_top the N most probable classes.")
@click.option(
    "--statistics",
    is_flag=True,
    help="Add the size, brightness and box area of each image, for gingham monitor.",
)
@data_settings
@max_pixels_option
@click.option(
    "--isolated",
    is_flag=True,
    help="Decode in child processes: an image that crashes or stalls a library costs only itself.",
)
@fast_decode_option
@running_options
@speed_options
def command(
    model: Path,
    paths: tuple[Path, ...],
    out: Path,
    boxes: Path | None,
    split: str | None,
    precision: float | None,
    coverage: float | None,
    top_k: int | None,
    statistics: bool,
    changes: tuple[str, ...],
    max_pixels: int | None,
    isolated: bool,
    fast_decode: bool,
    running: "Running",
    batch_size: int | None,
    workers: int,
) -> int:
    """Tag images: files, folders, tables that list images, or with --split a labelled data set.

    Folders are searched with all below them. A table (.csv, .parquet, .jsonl) has a column `image`, and may have boxes
    in x1, y1, x2, y2.

    Writes one row an image in sorted order, and FILE.manifest.json beside it. Images that cannot be read get a row
    with the reason in `error`; the exit code is then 4. The tag is the best class whether it is accepted or not.
    """
    from gingham.cli.console import ConsoleReporter, show_warnings
    from gingham.cli.labels import changed_options
    from gingham.data.columns import READERS
    from gingham.errors import ExitCode, UserError
    from gingham.inference.bulk import table_columns, table_writer, tag_images
    from gingham.inference.bundle import open_bundle
    from gingham.inference.decide import Decider
    from gingham.inference.items import gather_items, printable
    from gingham.inference.tagger import Tagger

    reporter = ConsoleReporter()
    show_warnings(reporter)
    table_writer(out)
    check_outputs({"--out": out}, [*paths, boxes, model])
    if changes and split is None and not any(path.suffix.lower() in READERS for path in paths):
        raise UserError(f"--set {changes[0]}: no table to read; give one as PATH, or a data set with --split")
    bundle = open_bundle(model)
    # Before the networks are loaded and the paths read: what is asked for must be stored, and fit the table.
    decider = Decider(bundle.schema, bundle.calibration, precision=precision, coverage=coverage, top_k=top_k)
    table_columns(bundle.schema, decider, statistics=statistics)
    options = changed_options(bundle.data, changes, max_pixels)
    items = gather_items(paths, boxes=boxes, split=split, options=options, reporter=reporter)
    tagger = Tagger.from_bundle(
        bundle, max_pixels=options.max_pixels, isolated=isolated, fast_decode=fast_decode, reporter=reporter, **running
    )
    if boxes is not None and not tagger.boxed:
        reporter.warn(f"--boxes {boxes}: without effect, this model looks at whole images")
    failed = tag_images(
        tagger,
        items,
        out,
        total=len(items),
        options={
            "paths": [printable(str(path)) for path in paths],
            "boxes": None if boxes is None else printable(str(boxes)),
            "split": split,
            "precision": precision,
            "coverage": coverage,
            "top_k": top_k,
            "statistics": statistics,
            "set": list(changes),
            **running,
            "batch_size": tagger.batch_size(batch_size),
            "isolated": isolated,
            "fast_decode": fast_decode,
            "max_pixels": tagger.max_pixels,
        },
        batch_size=batch_size,
        workers=workers,
        reporter=reporter,
        decider=decider,
        statistics=statistics,
    )
    reporter.say(
        f"{out}: {len(items)} image{'s' * (len(items) != 1)}"
        + (f", {failed} unreadable (see column 'error')" if failed else "")
    )
    return ExitCode.SOME_UNREADABLE if failed else ExitCode.DONE
