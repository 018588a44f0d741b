"""`gingham monitor`."""

from pathlib import Path

import click

from gingham.cli.options import check_outputs, file_path, out_path

__all__ = ["command"]


@click.command("monitor")
@click.argument("reference", type=file_path, metavar="REFERENCE.parquet")
@click.argument("new", type=file_path, metavar="NEW.parquet")
@click.option("--model", type=file_path, metavar="MODEL", help="The calibrated model, for files that hold logits.")
@click.option("--precision", type=float, metavar="P", help="The promise, for files that hold logits; needs --model.")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write all findings as JSON.")
def command(reference: Path, new: Path, model: Path | None, precision: float | None, json_file: Path | None) -> int:
    """Say whether a promise still stands for new photos, a line for each attribute.

    Compares class shares, confidences, the share accepted, and image statistics where both files have them. Both are
    tables of tags (predict --out FILE.parquet) or predictions (evaluate --predictions FILE.parquet).

    The exit code is 0 if no promise is known to be broken, 5 if one no longer stands.
    """
    from dataclasses import asdict

    from gingham.cli.console import ConsoleReporter, print_result
    from gingham.errors import ExitCode, UserError
    from gingham.evaluation.drift import compare_batches
    from gingham.inference.batches import comparable, read_batch
    from gingham.inference.bundle import open_bundle
    from gingham.inference.decide import Decider
    from gingham.storage import write_json

    check_outputs({"--json": json_file}, [reference, new, model])
    if precision is not None and model is None:
        raise UserError(f"--precision {precision:g}: the thresholds are in the model; give it with --model")
    bundle = None if model is None else open_bundle(model)
    decisions = None if bundle is None else Decider(bundle.schema, bundle.calibration, precision=precision).decisions
    files = [read_batch(path, bundle, decisions) for path in (reference, new)]
    if bundle is not None and not any(file.logits for file in files):
        raise UserError(f"--model {model}: both files hold tags, and need no model; leave it out")
    first, second, notes = comparable(*files, calibrated=bundle is not None)
    reporter = ConsoleReporter()
    for note in notes:
        reporter.say(note)
    for path, file in zip((reference, new), files, strict=True):
        if file.unreadable:
            reporter.say(f"{path}: {file.unreadable} unreadable photos are left out")
    findings, verdicts = compare_batches(first, second, precision=precision)
    if json_file is not None:
        plain = {"findings": [asdict(one) for one in findings], "verdicts": [asdict(one) for one in verdicts]}
        write_json(json_file, plain)
    print_result(f"{second.count} photos against {first.count} of the reference")
    for verdict in verdicts:
        print_result(f"{verdict.subject}: {verdict.status}: {verdict.reason}")
    broken = any(verdict.status == "no longer stands" for verdict in verdicts)
    return ExitCode.PROMISE_BROKEN if broken else ExitCode.DONE
