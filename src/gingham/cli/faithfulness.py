"""`gingham faithfulness`."""

from pathlib import Path

import click

from gingham.cli.options import (
    check_outputs,
    data_option,
    data_settings,
    device_option,
    max_pixels_option,
    model_argument,
    out_path_ending,
)

__all__ = ["command"]

_KINDS = ("attention", "last", "rollout", "occlusion", "centre", "random")


@click.command("faithfulness")
@model_argument
@data_option
@click.option("--split", default="val", show_default=True, help="Which split: train, val or test.")
@click.option(
    "--images", type=click.IntRange(1), default=100, show_default=True, help="How many of it, drawn at random."
)
@click.option(
    "--map",
    "kinds",
    type=click.Choice(_KINDS),
    multiple=True,
    default=("attention", "occlusion", "centre", "random"),
    show_default=True,
    help="What is measured; repeatable.",
)
@click.option("--steps", type=click.IntRange(2, 100), default=6, show_default=True, help="Steps of a curve.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw and the random maps.")
@click.option("--out", type=out_path_ending(".json"), metavar="FILE.json", help="Write the figures as JSON.")
@data_settings
@max_pixels_option
@device_option
def command(
    model: Path,
    data: Path,
    split: str,
    images: int,
    kinds: tuple[str, ...],
    steps: int,
    seed: int,
    out: Path | None,
    changes: tuple[str, ...],
    max_pixels: int | None,
    device: str,
) -> None:
    """Measure what a tagger's explanations are worth: deletion and insertion curves, and overlap with garment boxes.

    A photo takes some 200 passes through the networks. docs/explanations.md says how to read the figures.
    """
    from gingham.cli.console import ConsoleReporter, print_result, show_warnings
    from gingham.cli.labels import changed_options, labels_for
    from gingham.errors import UserError
    from gingham.evaluation.faithfulness import summarise
    from gingham.evaluation.tables import faithfulness_table
    from gingham.inference.bundle import open_bundle
    from gingham.inference.fidelity import KINDS, drawn_items, measure_faithfulness
    from gingham.inference.tagger import Tagger
    from gingham.storage import write_json

    reporter = ConsoleReporter()
    show_warnings(reporter)
    check_outputs({"--out": out}, [data, model])
    bundle = open_bundle(model)
    options = changed_options(bundle.data, changes, max_pixels)
    table = labels_for(data, bundle, options).split(split)
    if not len(table):
        raise UserError(f"--split {split}: it has no image")
    tagger = Tagger.from_bundle(bundle, device=device, max_pixels=options.max_pixels)
    asked = [kind for kind in KINDS if kind in kinds]
    items = drawn_items(table, images, seed)
    summary = summarise(measure_faithfulness(tagger, items, kinds=asked, steps=steps, seed=seed, reporter=reporter))
    if out is not None:
        write_json(out, summary.to_json())
    print_result(faithfulness_table(summary))
