"""What promises come to on saved predictions: `python benchmarks/decisions.py FILE.parquet`.

Of out-of-fold predictions of labelled photos: calibration measured by cross-fitting, and for each promise the precision
and coverage on the other half of the photos, over random halves. Halves of one set of photos are no independent draws:
this describes, and proves nothing (`python -m tests.evaluation.simulation` does).
"""

from pathlib import Path

import click
import numpy as np

from gingham.evaluation.calibrated import calibrate, some_rows
from gingham.evaluation.calibration import METHODS, cross_fitted_probabilities, rows_of
from gingham.evaluation.decisions import kept
from gingham.evaluation.reliability import nll
from gingham.predictions import Predictions


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--splits", default=200, show_default=True)
@click.option("--precision", "promises", type=float, multiple=True, default=(0.90, 0.95, 0.99), show_default=True)
def main(file: Path, splits: int, promises: tuple[float, ...]) -> None:
    """Print ECE and NLL before and after, and what promises come to over random halves."""
    predictions = Predictions.from_parquet(file)
    names = predictions.schema.names
    print("mean NLL, cross-fitted      " + "".join(f"{name:>10}" for name in names))
    for method in METHODS:
        print(f"{method:28}" + "".join(f"{loss:10.4f}" for loss in losses(predictions, method)))
    print("\nattribute  ECE before               ECE after                by chance")
    for name, one in calibrate(predictions).measured.items():
        before, after = (f"{s.value:.3f} [{s.ci95[0]:.3f}, {s.ci95[1]:.3f}]" for s in (one.before.ece, one.after.ece))
        print(f"{name:10} {before:24} {after:24} {one.after.ece_by_chance:.3f}")
    outcomes = [halves(predictions, promises, seed) for seed in range(splits)]
    for place, promise in enumerate(promises):
        one = np.array([outcome[place] for outcome in outcomes])
        print(f"\npromise {promise:g}, {splits} random halves of {len(predictions)} photos")
        print("attribute  accepted   (5%, 95%)        right    (5%, 95%)        short of it  nothing accepted")
        for column, name in enumerate(names):
            labelled, accepted, right = one[:, column].T
            coverage, some = accepted / labelled, accepted > 0
            precision = right[some] / accepted[some]
            ends = "-"
            if some.any():
                low, high = np.quantile(precision, [0.05, 0.95])
                ends = f"{precision.mean():6.1%}   ({low:.1%}, {high:.1%})"
            low, high = np.quantile(coverage, [0.05, 0.95])
            print(
                f"{name:10} {coverage.mean():8.1%}   {f'({low:.1%}, {high:.1%})':16} {ends:25} "
                f"{(precision < promise).sum() / splits:10.1%}  {1 - some.mean():16.1%}"
            )


def losses(predictions: Predictions, method: str) -> list[float]:
    probabilities = cross_fitted_probabilities(predictions, method)
    found = []
    for column, part in enumerate(predictions.schema.slices):
        _, targets, rows = rows_of(predictions, column)
        found.append(float(nll(probabilities[rows, part], targets).mean()))
    return found


def halves(predictions: Predictions, promises: tuple[float, ...], seed: int) -> list[list[tuple[int, int, int]]]:
    """Calibrate on a random half; of the other one: labelled, accepted and right photos of each attribute."""
    order = np.random.default_rng(seed).permutation(len(predictions))
    first = np.isin(np.arange(len(predictions)), order[: len(order) // 2])
    found = calibrate(some_rows(predictions, first), precisions=promises, bootstrap=0)
    rest = some_rows(predictions, ~first)
    tags, confidence = found.calibration.confidence(rest.logits)
    return [list(kept(one, rest, tags, confidence).values()) for one in found.decisions]


if __name__ == "__main__":
    main()
