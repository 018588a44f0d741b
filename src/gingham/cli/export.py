"""`gingham export`."""

from pathlib import Path

import click

from gingham.cli.options import data_settings, file_path, max_pixels_option, model_argument, out_folder

__all__ = ["command"]


@click.command("export")
@model_argument
@click.option(
    "--to", "runtime", type=click.Choice(["onnx", "openvino", "torch"]), required=True, help="What is to run it."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "int8"]),
    default="fp32",
    show_default=True,
    help="Of its numbers: 32 bits, 16, or integers of 8, whose ranges come from the photos of --data.",
)
@click.option("--data", type=file_path, metavar="DIR|TABLE", help="Folder or table of photos: the answers must stay.")
@click.option("--split", default="val", show_default=True, help="Which split is checked, up to 1,000 photos.")
@click.option("--out", type=out_folder, required=True, metavar="NEW", help="Folder of the new bundle; must not exist.")
@click.option("--unchecked", is_flag=True, help="Without --data; with it, for int8: only take the ranges from it.")
@click.option("--attention", is_flag=True, help="The graph also says where each attribute looks.")
@data_settings
@max_pixels_option
@click.option("--batch-size", type=click.IntRange(1), help="Photos in one pass of the check.  [default: 8]")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Decoding threads of the check.")
@click.pass_context
def command(
    context: click.Context,
    model: Path,
    runtime: str,
    precision: str,
    data: Path | None,
    split: str,
    out: Path,
    unchecked: bool,
    attention: bool,
    changes: tuple[str, ...],
    max_pixels: int | None,
    batch_size: int | None,
    workers: int,
) -> None:
    """Make a bundle for another runtime or precision, whose answers are the model's.

    It is checked on photos, against the model in PyTorch fp32, and written only if enough of its tags stay the same:
    99.9% in fp32, 99% in bf16, 98% in int8, and the mean class accuracy within 0.01.
    """
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.evaluation.tables import agreement_table
    from gingham.export.export import export_bundle
    from gingham.inference.bundle import open_bundle

    if data is None and (changes or max_pixels is not None):
        raise click.UsageError("--set, --max-pixels: they are for --data, which is not given", context)
    reporter = ConsoleReporter()
    show_warnings(reporter)
    bundle = open_bundle(model)
    options = changed_options(bundle.data, changes, max_pixels)
    found = export_bundle(
        bundle,
        out,
        runtime=runtime,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
        table=None if data is None else labels_for(data, bundle, options),
        split=split,
        unchecked=unchecked,
        attention=attention,
        max_pixels=options.max_pixels,
        batch_size=batch_size,
        workers=workers,
        reporter=reporter,
    )
    for words in found.care:
        print_result(f"{precision}: {words}")
    if found.agreement is None:
        print_result("not checked: nothing shows that its answers are those of the model")
    else:
        print_result(agreement_table(found.agreement))
    print_result(f"{runtime} {precision}: {out}")
