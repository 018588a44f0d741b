"""Taggers whose truth is known, to see whether promises are kept: `python -m tests.evaluation.simulation`.

Of each attribute, the logits are class-conditional Gaussians, so that the true probability of each class given the
logits is known exactly; they are shown to the calibration without the classes' frequencies, as by a network that was
trained with a balanced loss, and at a wrong temperature.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from gingham.evaluation.calibrated import calibrate
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema

Floats = npt.NDArray[np.float64]


class Kind(NamedTuple):
    """An attribute: classes, how far they are apart, how unequal their frequencies, and the logits' temperature."""

    classes: int
    apart: float
    unequal: float
    temperature: float


KINDS = {
    "easy": Kind(3, 6.0, 0.8, 1.3),
    "many": Kind(7, 5.0, 0.9, 0.7),
    "two": Kind(2, 5.0, 0.5, 2.0),
    "rare": Kind(4, 3.5, 1.0, 1.5),
    "hard": Kind(5, 4.0, 0.8, 1.2),
}
SCHEMA = AttributeSchema.of(
    {name: [f"{name}-{label}" for label in range(kind.classes)] for name, kind in KINDS.items()}
)


def draw(images: int, seed: int) -> tuple[Floats, Floats]:
    """Logits `[N, ΣC]` of new images, and the true probabilities of their classes."""
    generator = np.random.default_rng(seed)
    logits, truths = [], []
    for number, kind in enumerate(KINDS.values()):
        # The same frequencies whatever the seed.
        weights = np.exp(np.random.default_rng(number).normal(0, kind.unequal, kind.classes))
        frequencies = weights / weights.sum()
        hidden = generator.choice(kind.classes, images, p=frequencies)
        # Of variance and distance alike, the log-likelihood ratio of two classes is the difference of their scores.
        scores = np.eye(kind.classes)[hidden] * kind.apart + generator.normal(
            0, np.sqrt(kind.apart), (images, kind.classes)
        )
        truths.append(softmax(scores + np.log(frequencies), axis=1))
        logits.append(scores * kind.temperature)
    return np.hstack(logits), np.hstack(truths)


def labelled(images: int, seed: int) -> Predictions:
    """Predictions of new images with labels drawn from the truth."""
    logits, truths = draw(images, seed)
    uniform = np.random.default_rng([seed, 1]).random((images, len(SCHEMA)))
    targets = [
        np.minimum((uniform[:, [column]] > truths[:, part].cumsum(axis=1)).sum(axis=1), part.stop - part.start - 1)
        for column, part in enumerate(SCHEMA.slices)
    ]
    ids = tuple(f"{seed}/{number}" for number in range(images))
    return Predictions(SCHEMA, ids, logits.astype(np.float32), np.stack(targets, axis=1).astype(np.int64))


@dataclass(frozen=True)
class Outcome:
    """True precision and coverage `[R, K]` of calibrations for a promise; precision is NaN where none is accepted."""

    promise: float
    precision: Floats
    coverage: Floats
    oracle: Floats
    """`[K]`, the coverage of the lowest threshold on the true probability that keeps the promise."""

    @property
    def short(self) -> npt.NDArray[np.bool_]:
        """`[R, K]`, whether the promise is broken; accepting nothing keeps it."""
        broken: npt.NDArray[np.bool_] = self.precision < self.promise
        return broken


def oracle_coverage(true: Floats, promise: float) -> float:
    """Of images whose tags are right with probability `[N]`: the most that can be accepted."""
    ranked = np.sort(true)[::-1]
    kept = np.flatnonzero(np.cumsum(ranked) / np.arange(1, len(ranked) + 1) >= promise)
    return 0.0 if not kept.size else (kept[-1] + 1) / len(ranked)


def simulate(
    calibrations: int,
    photos: int,
    promises: Sequence[float],
    *,
    joint: bool = False,
    per_class: bool = False,
    pool: int = 50_000,
) -> list[Outcome]:
    """Calibrate on new photos again and again, and look up how often tags are really right.

    True precision and coverage are those of a pool of images, whose labels are not drawn.
    """
    logits, truths = draw(pool, 10**9)
    tags = np.stack([logits[:, part].argmax(axis=1) for part in SCHEMA.slices], axis=1)
    starts = np.array([part.start for part in SCHEMA.slices])
    true = np.take_along_axis(truths, starts + tags, axis=1)
    shape = len(promises), calibrations, len(SCHEMA)
    precision, coverage = np.full(shape, np.nan), np.zeros(shape)
    for run in range(calibrations):
        found = calibrate(labelled(photos, run), precisions=promises, joint=joint, per_class=per_class, bootstrap=0)
        tags, confidence = found.calibration.confidence(logits)
        for place, decisions in enumerate(found.decisions):
            accepted = decisions.accepted(tags, confidence, SCHEMA)
            coverage[place, run] = accepted.mean(axis=0)
            some = accepted.any(axis=0)
            precision[place, run, some] = (true * accepted).sum(axis=0)[some] / accepted.sum(axis=0)[some]
    oracles = [np.array([oracle_coverage(column, promise) for column in true.T]) for promise in promises]
    return [Outcome(*parts) for parts in zip(promises, precision, coverage, oracles, strict=True)]


@click.command()
@click.option("--calibrations", default=1000, show_default=True)
@click.option("--photos", default=500, show_default=True)
@click.option("--precision", "promises", type=float, multiple=True, default=(0.90, 0.95), show_default=True)
@click.option("--joint", is_flag=True)
@click.option("--per-class", is_flag=True)
def main(calibrations: int, photos: int, promises: tuple[float, ...], joint: bool, per_class: bool) -> None:
    """Print how often promises are broken, and how much of what an oracle would accept is accepted."""
    for one in simulate(calibrations, photos, promises, joint=joint, per_class=per_class):
        click.echo(f"promise {one.promise:.2f}: {calibrations} calibrations of {photos} photos")
        click.echo("attribute  short of it  coverage  oracle's  share  nothing accepted")
        for column, name in enumerate(SCHEMA.names):
            covered = one.coverage[:, column].mean()
            none = (one.coverage[:, column] == 0).mean()
            click.echo(
                f"{name:9}  {one.short[:, column].mean():11.1%}  {covered:8.1%}  {one.oracle[column]:8.1%}  "
                f"{covered / one.oracle[column]:5.1%}  {none:16.1%}"
            )
        worst = Counter(one.short.sum(axis=1).tolist())
        click.echo(
            f"{'all':9}  {one.short.mean():11.1%}  {one.coverage.mean():8.1%}  {one.oracle.mean():8.1%}  "
            f"{one.coverage.mean() / one.oracle.mean():5.1%}  {(one.coverage == 0).mean():16.1%}"
        )
        click.echo(f"any attribute short of it: {1 - worst[0] / calibrations:.1%} of the calibrations\n")


if __name__ == "__main__":
    main()
