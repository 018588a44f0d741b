"""`gingham compare`."""

from pathlib import Path

import click

from gingham.cli.options import check_outputs, file_path, out_path

__all__ = ["command"]


@click.command("compare")
@click.argument("first", type=file_path, metavar="A.parquet")
@click.argument("second", type=file_path, metavar="B.parquet")
@click.option("--json", "json_file", type=out_path, metavar="FILE", help="Write the comparison as JSON.")
def command(first: Path, second: Path, json_file: Path | None) -> None:
    """Compare the predictions of two models on the same photos: B minus A, by paired bootstrap."""
    from gingham.cli.console import print_result
    from gingham.evaluation.bootstrap import paired_bootstrap
    from gingham.evaluation.tables import comparison_table
    from gingham.predictions import Predictions
    from gingham.storage import write_json

    check_outputs({"--json": json_file}, [first, second])
    comparison = paired_bootstrap(Predictions.from_parquet(first), Predictions.from_parquet(second))
    if json_file is not None:
        write_json(json_file, comparison.to_json())
    print_result(comparison_table(comparison))
