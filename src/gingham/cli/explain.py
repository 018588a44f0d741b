"""`gingham explain`."""

from pathlib import Path

import click

from gingham.cli.options import check_outputs, device_option, file_path, max_pixels_option, model_argument, out_path_any

__all__ = ["command"]


@click.command("explain")
@model_argument
@click.argument("paths", type=file_path, nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--out",
    type=out_path_any,
    required=True,
    metavar="FILE|DIR",
    help="A picture (.png), the arrays (.npz), or a new folder with a picture of each image.",
)
@click.option("--boxes", type=file_path, metavar="FILE", help="Garment boxes: a table with image, x1, y1, x2, y2.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME", help="Show only this one; repeatable.")
@click.option("--no-occlusion", is_flag=True, help="Attention only, which takes no longer than tagging.")
@max_pixels_option
@device_option
def command(
    model: Path,
    paths: tuple[Path, ...],
    out: Path,
    boxes: Path | None,
    attributes: tuple[str, ...],
    no_occlusion: bool,
    max_pixels: int | None,
    device: str,
) -> int:
    """Show where in a photo its tags come from: attention of each attribute, and what hiding patches does to its tag.

    IMAGE is a file, a folder, or a table that lists images. One .png or .npz holds at most 20 images. Images that
    cannot be read are named and left out; the exit code is then 4. docs/explanations.md says how to read the maps.
    """
    from gingham.cli.console import ConsoleReporter, show_warnings
    from gingham.cli.labels import changed_options
    from gingham.errors import ExitCode
    from gingham.inference.bundle import open_bundle
    from gingham.inference.gallery import check_gallery, chosen_attributes, write_explanations
    from gingham.inference.items import gather_items
    from gingham.inference.tagger import Tagger

    reporter = ConsoleReporter()
    show_warnings(reporter)
    check_outputs({"--out": out}, [*paths, boxes, model])
    bundle = open_bundle(model)
    shown = chosen_attributes(bundle.schema, attributes)
    options = changed_options(bundle.data, (), max_pixels)
    items = gather_items(paths, boxes=boxes, split=None, options=options, reporter=reporter)
    check_gallery(out, items)
    tagger = Tagger.from_bundle(bundle, device=device, max_pixels=options.max_pixels)
    if boxes is not None and not tagger.boxed:
        reporter.warn(f"--boxes {boxes}: without effect, this model looks at whole images")
    failed = write_explanations(tagger, items, out, shown, occlusion=not no_occlusion, reporter=reporter)
    reporter.say(
        f"{out}: {len(items) - failed} image{'s' * (len(items) - failed != 1)}"
        + (f", {failed} unreadable" if failed else "")
    )
    return ExitCode.SOME_UNREADABLE if failed else ExitCode.DONE
