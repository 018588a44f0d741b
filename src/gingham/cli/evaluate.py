"""`gingham evaluate`."""

from pathlib import Path

import click

from gingham.cli.options import (
    check_outputs,
    data_option,
    data_settings,
    device_option,
    max_pixels_option,
    model_argument,
    out_path,
    out_path_ending,
    speed_options,
)

__all__ = ["command"]


@click.command("evaluate")
@model_argument
@data_option
@click.option("--split", default="val", show_default=True, help="Which split: train, val or test.")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write the metrics as JSON.")
@click.option(
    "--predictions",
    type=out_path_ending(".parquet"),
    metavar="FILE.parquet",
    help="Write logits and targets of each image.",
)
@data_settings
@max_pixels_option
@device_option
@speed_options
def command(
    model: Path,
    data: Path,
    split: str,
    json_file: Path | None,
    predictions: Path | None,
    changes: tuple[str, ...],
    max_pixels: int | None,
    device: str,
    deterministic: bool,
    batch_size: int | None,
    workers: int,
) -> None:
    """Measure a tagger on a labelled split: mean class accuracy with its interval, per attribute and per class."""
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.errors import UserError
    from gingham.evaluation.metrics import evaluate
    from gingham.evaluation.tables import metrics_table
    from gingham.inference.bundle import open_bundle
    from gingham.inference.tagger import Tagger
    from gingham.schema import UNLABELLED
    from gingham.storage import write_json

    reporter = ConsoleReporter()
    show_warnings(reporter)
    check_outputs({"--json": json_file, "--predictions": predictions}, [data, model])
    bundle = open_bundle(model)
    options = changed_options(bundle.data, changes, max_pixels)
    tagger = Tagger.from_bundle(bundle, device=device, max_pixels=options.max_pixels, deterministic=deterministic)
    tagger.batch_size(batch_size)
    table = labels_for(data, bundle, options).split(split)
    if table.targets.max() == UNLABELLED:
        raise UserError(f"--split {split}: none of its {len(table)} images has a label; predict tags without labels")
    predicted = tagger.predict(
        table,
        batch_size=batch_size,
        workers=workers,
        reporter=reporter,
        source={"split": split, "deterministic": deterministic},
    )
    metrics = evaluate(predicted)
    if predictions is not None:
        predicted.to_parquet(predictions)
    if json_file is not None:
        write_json(json_file, metrics.to_json())
    print_result(metrics_table(metrics))
