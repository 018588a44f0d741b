"""`gingham evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from gingham.cli.options import (
    check_outputs,
    data_settings,
    device_option,
    file_path,
    max_pixels_option,
    out_path,
    out_path_ending,
    speed_options,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gingham.inference.calibration import StoredCalibration
    from gingham.predictions import Predictions

__all__ = ["command"]

_OF_SAVED = {"model", "json_file", "prior_correction"}
"""The options that mean something for saved predictions."""


@click.command("evaluate")
@click.argument("model", type=file_path, metavar="MODEL|FILE.parquet")
@click.option("--data", type=file_path, metavar="DIR|TABLE", help="Folder or table of labelled photos, for a model.")
@click.option("--split", default="val", show_default=True, help="Which split: train, val or test.")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write the metrics as JSON.")
@click.option(
    "--predictions",
    type=out_path_ending(".parquet"),
    metavar="FILE.parquet",
    help="Write logits and targets of each image.",
)
@click.option(
    "--prior-correction",
    is_flag=True,
    help="Measure again with an offset for each class, fitted on other folds of the predictions.",
)
@data_settings
@max_pixels_option
@device_option
@speed_options
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    data: Path | None,
    split: str,
    json_file: Path | None,
    predictions: Path | None,
    prior_correction: bool,
    changes: tuple[str, ...],
    max_pixels: int | None,
    device: str,
    deterministic: bool,
    batch_size: int | None,
    workers: int,
) -> None:
    """Measure a tagger on a labelled split: mean class accuracy with its interval, per attribute and per class.

    Predictions that were saved before (FILE.parquet) are measured as they are, without --data.
    """
    from gingham.cli.console import ConsoleReporter, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.errors import UserError
    from gingham.inference.bundle import open_bundle
    from gingham.inference.tagger import Tagger
    from gingham.predictions import Predictions
    from gingham.schema import UNLABELLED

    check_outputs({"--json": json_file, "--predictions": predictions}, [data, model])
    if model.suffix == ".parquet":
        _refuse_options_of_models(context, model)
        _report(Predictions.from_parquet(model), json_file, prior_correction, None)
        return
    if data is None:
        raise click.UsageError("Missing option '--data'.", context)
    reporter = ConsoleReporter()
    show_warnings(reporter)
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
    if predictions is not None:
        predicted.to_parquet(predictions)
    if bundle.calibrated and prior_correction:
        raise UserError(
            "--prior-correction: a calibrated model keeps its tags; measure it without, or the model before"
        )
    _report(predicted, json_file, prior_correction, bundle.calibration if bundle.calibrated else None)


def _refuse_options_of_models(context: click.Context, file: Path) -> None:
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
        if given and parameter.name not in _OF_SAVED:
            raise click.UsageError(f"{parameter.opts[0]}: {file} holds predictions; this is for a model", context)


def _report(
    predicted: "Predictions", json_file: Path | None, prior_correction: bool, stored: "StoredCalibration | None"
) -> None:
    """Measure, write and print; of a calibrated model also its confidences and promises."""
    from dataclasses import asdict

    from gingham.cli.console import print_result
    from gingham.evaluation.bootstrap import paired_bootstrap
    from gingham.evaluation.calibration import measure, with_tags
    from gingham.evaluation.decisions import kept
    from gingham.evaluation.metrics import evaluate
    from gingham.evaluation.prior import cross_fitted, folds_of
    from gingham.evaluation.tables import calibration_table, comparison_table, kept_table, metrics_table
    from gingham.storage import write_json

    metrics = evaluate(predicted if stored is None else with_tags(predicted, stored.calibration))
    plain = metrics.to_json()
    shown: list[RenderableType] = [metrics_table(metrics)]
    if prior_correction:
        folds, origin = folds_of(predicted)
        corrected = cross_fitted(predicted, folds)
        metrics, comparison = evaluate(corrected), paired_bootstrap(predicted, corrected)
        plain["prior_correction"] = {
            "folds": origin,
            "metrics": metrics.to_json(),
            "comparison": comparison.to_json(),
        }
        shown += [f"With an offset for each class, fitted on the others of {origin}:", metrics_table(metrics)]
        shown += ["Without (first) and with offsets (second):", comparison_table(comparison)]
    if stored is not None:
        tags, confidence = stored.calibration.confidence(predicted.logits)
        measured = measure(predicted, stored.calibration.probabilities(predicted.logits), tags)
        plain["calibration"] = {name: asdict(one) for name, one in measured.items()}
        shown += ["Confidences, before and after calibration:", calibration_table(measured)]
        promises = [(one, kept(one, predicted, tags, confidence)) for one in stored.decisions]
        plain["promises"] = [{"precision": one.precision, "kept": counts} for one, counts in promises]
        shown += [kept_table(one, counts) for one, counts in promises]
    if json_file is not None:
        write_json(json_file, plain)
    for part in shown:
        print_result(part)
