"""`gingham audit`."""

from pathlib import Path

import click

from gingham.cli.options import (
    check_outputs,
    data_option,
    data_settings,
    device_option,
    file_path,
    max_pixels_option,
    out_path,
)

__all__ = ["command"]


@click.command("audit")
@data_option
@click.option("--model", type=file_path, metavar="MODEL", help="Look for label errors with this model's backbone.")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write all that was found as JSON.")
@click.option("--html", "html_file", type=out_path, metavar="FILE", help="Write a page to look through.")
@data_settings
@max_pixels_option
@device_option
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Decoding threads.")
def command(
    data: Path,
    model: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    changes: tuple[str, ...],
    max_pixels: int | None,
    device: str,
    workers: int,
) -> int:
    """Look for faults in a labelled data set: images, duplicates, splits, boxes, classes, and with a model labels.

    Nothing is changed. If images cannot be read, the exit code is 4; all other findings leave it 0.
    """
    from gingham.audit.collect import audit
    from gingham.audit.page import write_page
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.cli.labels import changed_options
    from gingham.data.formats import read_labels
    from gingham.data.options import DataOptions
    from gingham.errors import ExitCode
    from gingham.inference.bundle import open_bundle
    from gingham.inference.torch_runtime import choose_device
    from gingham.storage import write_json

    reporter = ConsoleReporter()
    show_warnings(reporter)
    check_outputs({"--json": json_file, "--html": html_file}, [data, model])
    bundle = None if model is None else open_bundle(model)
    options = changed_options(DataOptions() if bundle is None else bundle.data, changes, max_pixels)
    table = read_labels(data, options)
    report = audit(
        table,
        bundle=bundle,
        device=choose_device(device),
        workers=workers,
        max_pixels=options.max_pixels,
        reporter=reporter,
    )
    if json_file is not None:
        write_json(json_file, report.to_json())
    if html_file is not None:
        write_page(report, table, html_file, max_pixels=options.max_pixels)
    for name, count in report.counts.items():
        print_result(f"{count:>8,}  {name.replace('_', ' ')}")
    return ExitCode.SOME_UNREADABLE if report.unreadable else ExitCode.DONE
