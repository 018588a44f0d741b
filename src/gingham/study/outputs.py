"""What a study leaves in its folder beside its runs: predictions, tables and plots."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gingham.predictions import Predictions
from gingham.storage import write_json, write_text
from gingham.study.plan import Plan
from gingham.study.plots import plot_attributes, plot_study
from gingham.study.report import as_csv, as_json, as_markdown
from gingham.study.results import Repeat, Row, summarise

__all__ = ["finished", "write_out_of_fold", "write_outputs"]

_PREDICTIONS = "predictions"
_SECONDS = "seconds"


def _file(run: str, seed: int) -> str:
    return f"{_PREDICTIONS}/{run}-seed-{seed}.parquet"


def write_out_of_fold(out: Path, run: str, seed: int, predictions: Predictions, seconds: float) -> None:
    """Write what the folds of a run have predicted, with the seconds that they took. With it, run and seed are done."""
    source = {**predictions.source, "run": run, "seed": seed, _SECONDS: seconds}
    replace(predictions, source=source).to_parquet(out / _file(run, seed))


def finished(out: Path, run: str) -> dict[int, Repeat]:
    """The seeds with which a run is done, measured.

    Raises:
        BundleError: predictions are damaged.
    """
    results = {}
    for path in (out / _PREDICTIONS).glob(f"{run}-seed-*.parquet"):
        seed = path.stem.removeprefix(f"{run}-seed-")
        if seed.isdecimal():
            predictions = Predictions.from_parquet(path)
            results[int(seed)] = Repeat.measured(predictions, float(predictions.source[_SECONDS]))
    return dict(sorted(results.items()))


def write_outputs(out: Path, plan: Plan, results: Mapping[str, Mapping[int, Repeat]]) -> dict[str, Row]:
    """Write tables and plots anew and return the table; nothing where nothing is done yet.

    Raises:
        DataError: results are of different photos.
        MachineError: the disk is full or refuses.
    """
    rows = summarise(results, plan.baseline)
    if not rows:
        return rows
    some = next(repeat for seeds in results.values() for repeat in seeds.values())
    files = {run: [_file(run, seed) for seed in row.seeds] for run, row in rows.items()}
    write_text(out / "table.csv", as_csv(rows))
    write_text(out / "table.md", as_markdown(plan, rows, some))
    write_json(out / "study.json", as_json(plan, rows, some, files))
    plot_study(rows, plan.baseline, out / "study.png")
    plot_attributes(rows, plan.baseline, out / "attributes.png")
    return rows
