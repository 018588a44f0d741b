"""The search for how much care a network needs to keep its answers in fewer bits."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from gingham.evaluation.agreement import BOUNDS, agreement
from gingham.inference.load import Views
from gingham.inference.runtime import Runtime
from gingham.predictions import Predictions, log_mean_probability
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["Step", "Tuned", "tuned"]

Product = TypeVar("Product")

_MARGIN, _SHARE = 0.005, 0.8
"""Tuned to so much more than the bound on tags, and to this share of that on logits: the photos that are judged are
others, which the model knows less well."""


class Step(NamedTuple, Generic[Product]):
    """A way to make a network smaller.

    Attributes:
        name: for the record.
        make: what comes of it, and what computes its logits.
    """

    name: str
    make: Callable[[], tuple[Product, Runtime]]


class Tuned(NamedTuple, Generic[Product]):
    """What a step made, which it was, and how it did on the tuning photos, in words."""

    product: Product
    step: str
    words: str


def tuned(
    before: Callable[[], Runtime],
    steps: Iterable[Step[Product]],
    *,
    tuning: Sequence[Views],
    schema: AttributeSchema,
    precision: str,
    by_tags: bool,
    reporter: Reporter,
) -> Tuned[Product]:
    """Make a network smaller with ever more care until it keeps its answers; if it never does, the best of all.

    Args:
        before: the network in float32.
        steps: in the order in which they are tried, at least one.
        tuning: all views of photos on which answers are compared.
        schema: what the logits mean.
        precision: whose bound is to be kept.
        by_tags: whether the share of tags that stay is judged, or the largest difference of a logit; see
            `Agreement.broken`.
        reporter: hears of each step.
    """
    reference = _predictions(before(), tuning, schema)
    bound = BOUNDS[precision]
    best: tuple[float, Tuned[Product]] | None = None
    for step in steps:
        product, runtime = step.make()
        found = agreement(reference, _predictions(runtime, tuning, schema))
        words = f"{step.name}; on {len(tuning)} tuning photos {found.tags:.2%} of the tags stay, and logits are within "
        words += f"{found.relative_difference:.2g} standard deviations"
        reporter.say(f"{precision}, {words}")
        # The higher, the better.
        score = found.tags if by_tags else -found.relative_difference
        if best is None or score > best[0]:
            best = score, Tuned(product, step.name, words)
        if score >= (bound.tags + _MARGIN if by_tags else -_SHARE * bound.logits):
            break
    assert best is not None
    return best[1]


def _predictions(runtime: Runtime, photos: Sequence[Views], schema: AttributeSchema) -> Predictions:
    """Of the mean probability of each photo's views."""
    each = (runtime(np.stack(views)) for views in photos)
    means = [views if len(views) == 1 else log_mean_probability(list(views[:, None]), schema) for views in each]
    return Predictions(schema, tuple(str(number) for number in range(len(photos))), np.concatenate(means))
