"""`gingham evaluate`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from gingham.cli.options import (
    check_outputs,
    data_settings,
    fast_decode_option,
    file_path,
    max_pixels_option,
    out_path,
    out_path_ending,
    running_options,
    speed_options,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gingham.evaluation.metrics import Metrics
    from gingham.inference.calibration import StoredCalibration
    from gingham.inference.runtimes import Running
    from gingham.predictions import Predictions

__all__ = ["command"]

_OF_SAVED = {"model", "json_file", "prior_correction", "report", "compare", "photos"}
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
@click.option(
    "--report",
    type=out_path_ending(".html"),
    metavar="FILE.html",
    help="Write everything as one page that opens from disk: plots, confusions, calibration, photos.",
)
@click.option(
    "--compare", type=file_path, metavar="OTHER.parquet", help="For --report: what is gained over these predictions."
)
@click.option(
    "--photos", type=file_path, metavar="DIR", help="For --report of saved predictions: the folder of their photos."
)
@data_settings
@max_pixels_option
@fast_decode_option
@running_options
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
    report: Path | None,
    compare: Path | None,
    photos: Path | None,
    changes: tuple[str, ...],
    max_pixels: int | None,
    fast_decode: bool,
    running: "Running",
    batch_size: int | None,
    workers: int,
) -> None:
    """Measure a tagger on a labelled split: mean class accuracy with its interval, per attribute and per class.

    Predictions that were saved before (FILE.parquet) are measured as they are, without --data. With --report the photos
    need no labels: the page then has shares and confidence only.
    """
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.errors import UserError
    from gingham.evaluation.calibration import with_tags
    from gingham.inference.attention import attention_of
    from gingham.inference.bundle import open_bundle
    from gingham.inference.tagger import Tagger
    from gingham.predictions import Predictions
    from gingham.report.content import has_labels
    from gingham.report.page import Photos
    from gingham.report.write import write_report
    from gingham.training.outcome import history_of

    for option, value in (("--compare", compare), ("--photos", photos)):
        if value is not None and report is None:
            raise click.UsageError(f"{option}: it is for --report, which is not given", context)
    check_outputs({"--json": json_file, "--predictions": predictions, "--report": report}, [data, model, compare])
    other = None if compare is None else Predictions.from_parquet(compare)
    reporter = ConsoleReporter()
    show_warnings(reporter)
    unmeasured = report is not None and json_file is None and not prior_correction
    history, explain, stored = None, None, None
    if model.suffix == ".parquet":
        _refuse_options_of_models(context, model)
        predicted = Predictions.from_parquet(model)
        shown = Photos({} if photos is None else _photos_in(photos, predicted))
    else:
        if photos is not None:
            raise click.UsageError(
                f"--photos: {model} holds no predictions; a model's photos are those of --data", context
            )
        if data is None:
            raise click.UsageError("Missing option '--data'.", context)
        bundle = open_bundle(model)
        if bundle.calibrated:
            stored = bundle.calibration
            if prior_correction:
                raise UserError(
                    "--prior-correction: a calibrated model keeps its tags; measure it without, or the model before"
                )
        options = changed_options(bundle.data, changes, max_pixels)
        tagger = Tagger.from_bundle(
            bundle, max_pixels=options.max_pixels, fast_decode=fast_decode, reporter=reporter, **running
        )
        tagger.batch_size(batch_size)
        table = labels_for(data, bundle, options).split(split)
        if not unmeasured and not has_labels(table.targets):
            raise UserError(
                f"--split {split}: none of its {len(table)} images has a label; predict tags without labels, "
                "or look at them with --report"
            )
        predicted = tagger.predict(
            table,
            batch_size=batch_size,
            workers=workers,
            reporter=reporter,
            source={"split": split, "deterministic": tagger.deterministic},
        )
        if predictions is not None:
            predicted.to_parquet(predictions)
        shown = Photos(dict(zip(table.images, table.paths(), strict=True)), max_pixels=options.max_pixels)
        history = history_of(model)
        explain = partial(attention_of, tagger, table, reporter=reporter)
    metrics: Metrics | None = None
    lines: list[RenderableType] = []
    if unmeasured and not has_labels(predicted.targets):
        reporter.say("no photo has a label: nothing is measured")
    else:
        metrics, lines = _measure(predicted, json_file, prior_correction, stored)
    if report is not None:
        write_report(
            predicted if stored is None else with_tags(predicted, stored.calibration),
            report,
            title=str(model),
            photos=shown,
            metrics=metrics,
            history=history,
            other=other,
            compared_with="" if compare is None else str(compare),
            explain=explain,
            calibrated=None if stored is None else stored.calibration.probabilities(predicted.logits),
            decisions=() if stored is None else stored.decisions,
        )
        lines.append(f"report: {report}")
    for part in lines:
        print_result(part)


def _photos_in(folder: Path, predicted: "Predictions") -> dict[str, Path]:
    from gingham.errors import UserError
    from gingham.report.page import photos_beneath

    found = photos_beneath(folder, predicted.ids)
    if not found:
        raise UserError(f"--photos {folder}: '{predicted.ids[0]}' is not in it, nor is any other of the photos")
    return found


def _refuse_options_of_models(context: click.Context, file: Path) -> None:
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not ParameterSource.DEFAULT
        if given and parameter.name not in _OF_SAVED:
            raise click.UsageError(f"{parameter.opts[0]}: {file} holds predictions; this is for a model", context)


def _measure(
    predicted: "Predictions", json_file: Path | None, prior_correction: bool, stored: "StoredCalibration | None"
) -> "tuple[Metrics, list[RenderableType]]":
    """Measure and write, of a calibrated model also its confidences and promises; what is to be printed comes back."""
    from dataclasses import asdict

    from gingham.evaluation.bootstrap import paired_bootstrap
    from gingham.evaluation.calibration import measure, with_tags
    from gingham.evaluation.decisions import kept
    from gingham.evaluation.metrics import evaluate
    from gingham.evaluation.prior import cross_fitted, folds_of
    from gingham.evaluation.tables import calibration_table, comparison_table, kept_table, metrics_table
    from gingham.storage import write_json

    measured = metrics = evaluate(predicted if stored is None else with_tags(predicted, stored.calibration))
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
        scores = measure(predicted, stored.calibration.probabilities(predicted.logits), tags)
        plain["calibration"] = {name: asdict(one) for name, one in scores.items()}
        shown += ["Confidences, before and after calibration:", calibration_table(scores)]
        promises = [(one, kept(one, predicted, tags, confidence)) for one in stored.decisions]
        plain["promises"] = [{"precision": one.precision, "kept": counts} for one, counts in promises]
        shown += [kept_table(one, counts) for one, counts in promises]
    if json_file is not None:
        write_json(json_file, plain)
    return measured, shown
