"""`gingham calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gingham.cli.options import (
    check_outputs,
    data_settings,
    file_path,
    max_pixels_option,
    model_argument,
    out_folder,
    out_path,
    out_path_ending,
    running_options,
    speed_options,
)

if TYPE_CHECKING:
    from gingham.evaluation.calibrated import Calibrated
    from gingham.inference.runtimes import Running

__all__ = ["command"]


@click.command("calibrate")
@model_argument
@click.option("--data", type=file_path, metavar="DIR|TABLE", help="Folder or table of labelled photos.")
@click.option("--split", metavar="val|test", help="Which split of them: photos that the model was not trained on.")
@click.option(
    "--predictions",
    "file",
    type=file_path,
    metavar="FILE.parquet",
    help="Saved predictions of the model, instead of --data: of evaluate, or a run's predictions-oof.parquet.",
)
@click.option("--out", type=out_folder, required=True, metavar="NEW", help="Folder of the new bundle; must not exist.")
@click.option(
    "--precision",
    "precisions",
    type=float,
    multiple=True,
    metavar="P",
    help="Find thresholds: tags that they accept are right at least so often, as in 0.95; repeatable.",
)
@click.option("--joint", is_flag=True, help="The 95% confidence is of all attributes' promises at once.")
@click.option("--per-class", is_flag=True, help="Classes with enough photos get a threshold and promise of their own.")
@click.option(
    "--coverage",
    "coverages",
    type=float,
    multiple=True,
    metavar="C",
    help="Make prediction sets that hold the right class so often, as in 0.9; repeatable.",
)
@click.option("--prior-correction", is_flag=True, help="Choose tags for the mean class accuracy; moves some of them.")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write thresholds and scores as JSON.")
@click.option("--diagrams", type=out_path_ending(".png"), metavar="FILE.png", help="Draw reliability before and after.")
@data_settings
@max_pixels_option
@running_options
@speed_options
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    data: Path | None,
    split: str | None,
    file: Path | None,
    out: Path,
    precisions: tuple[float, ...],
    joint: bool,
    per_class: bool,
    coverages: tuple[float, ...],
    prior_correction: bool,
    json_file: Path | None,
    diagrams: Path | None,
    changes: tuple[str, ...],
    max_pixels: int | None,
    running: "Running",
    batch_size: int | None,
    workers: int,
) -> None:
    """Make a bundle whose confidences mean what they say, from labelled photos that the model was not trained on.

    With --precision it also stores which tags may go without a look, for predict --precision; with --coverage,
    prediction sets. The networks stay what they are, and so do the tags, unless --prior-correction is given.
    """
    from gingham.cli.console import ConsoleReporter, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.errors import UserError
    from gingham.evaluation.calibrated import calibrate, check_options
    from gingham.inference.bundle import open_bundle
    from gingham.inference.calibrate import check_predictions, check_unseen, write_calibrated
    from gingham.inference.calibration import to_plain
    from gingham.inference.tagger import Tagger
    from gingham.predictions import Predictions
    from gingham.storage import write_json

    check_outputs({"--json": json_file, "--diagrams": diagrams}, [data, model, file])
    check_options(precisions, coverages, joint=joint, per_class=per_class)
    if out.exists():
        raise UserError(f"--out {out}: exists; choose another folder")
    reporter = ConsoleReporter()
    show_warnings(reporter)
    bundle = open_bundle(model)
    if file is not None:
        of_models = ("device", "runtime", "threads", "deterministic", "batch_size", "workers")
        _refuse(context, ("data", "split", "changes", "max_pixels", *of_models))
        predicted = Predictions.from_parquet(file)
        notes = check_predictions(bundle, predicted, file)
        facts = {"data": str(predicted.source.get("data", file)), "split": str(predicted.source.get("split", ""))}
    elif data is None or split is None:
        raise click.UsageError("give --data with --split, or --predictions", context)
    else:
        options = changed_options(bundle.data, changes, max_pixels)
        table = labels_for(data, bundle, options).split(split)
        notes = check_unseen(bundle, table.source, split)
        tagger = Tagger.from_bundle(bundle, max_pixels=options.max_pixels, reporter=reporter, **running)
        predicted = tagger.predict(table, batch_size=batch_size, workers=workers, reporter=reporter)
        facts = {"data": table.source, "split": split}
    for note in notes:
        reporter.warn(note)
    found = calibrate(
        predicted,
        precisions=precisions,
        coverages=coverages,
        joint=joint,
        per_class=per_class,
        prior_correction=prior_correction,
    )
    facts |= {"assumed": "; ".join(notes)} if notes else {}
    write_calibrated(bundle, found, out, facts=facts)
    if json_file is not None:
        write_json(json_file, to_plain(found, facts))
    if diagrams is not None:
        from gingham.evaluation.diagrams import plot_reliability

        plot_reliability(*found.scored, diagrams)
    _show(found)
    reporter.say(f"{out}: the calibrated model (gingham info {out} describes it)")


def _refuse(context: click.Context, names: tuple[str, ...]) -> None:
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is not click.core.ParameterSource.DEFAULT
        if given and parameter.name in names:
            raise click.UsageError(f"{parameter.opts[0]}: --predictions are made already; leave it out", context)


def _show(found: "Calibrated") -> None:
    from gingham.cli.console import print_result
    from gingham.evaluation.tables import calibration_table, decisions_table

    photos = f"{found.fitted} photos fitted the calibration"
    print_result(f"{photos}, {found.tested} others tested it" if found.tested else f"{photos}; scores are cross-fitted")
    print_result(calibration_table(found.measured))
    for decisions in found.decisions:
        print_result(decisions_table(decisions))
    for sets in found.sets:
        least = ", ".join(f"{name} from {value:.3f}" for name, value in sets.least.items())
        print_result(f"sets that hold the right class {sets.coverage:g} of the time: {least}")
