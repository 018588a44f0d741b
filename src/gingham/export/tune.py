"""The search for how much care a network needs to keep its answers in 8 bits."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gingham.evaluation.agreement import BOUNDS, agreement
from gingham.export.quantise import Care, cares, quantised
from gingham.inference.load import Views
from gingham.inference.runtime import Runtime
from gingham.predictions import Predictions, log_mean_probability
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["Tuned", "tuned"]

Pixels = npt.NDArray[np.uint8]

_MARGIN, _SHARE = 0.005, 0.8
"""Tuned to so much more than the bound on tags, and to this share of that on logits: the photos that are judged are
others, which the model knows less well."""


class Tuned(NamedTuple):
    """A quantised graph, how it was made, and how it did on the tuning photos, in words."""

    model: Any
    care: Care
    words: str


def tuned(
    model: Any,
    *,
    run: Callable[[Any, str], Runtime],
    calibrating: Sequence[Pixels],
    tuning: Sequence[Views],
    schema: AttributeSchema,
    transformer: bool,
    by_tags: bool,
    reporter: Reporter,
) -> Tuned:
    """Quantise a graph with ever more care until it keeps its answers; if it never does, the best of all.

    Args:
        model: in float32.
        run: a graph and its precision -> what computes its logits.
        calibrating: photos as the network sees them, from which ranges come.
        tuning: all views of others, on which answers are compared.
        schema: what the logits mean.
        transformer: see `quantised`.
        by_tags: whether the share of tags that stay is judged, or the largest difference of a logit; see
            `Agreement.broken`.
        reporter: hears of each step.
    """
    before = _predictions(run(model, "fp32"), tuning, schema)
    best: tuple[float, Tuned] | None = None
    for care in cares(transformer=transformer):
        candidate = quantised(model, calibrating, care, transformer=transformer)
        found = agreement(before, _predictions(run(candidate, "int8"), tuning, schema))
        words = f"{care.name}; on {len(tuning)} tuning photos {found.tags:.2%} of the tags stay, and logits are within "
        words += f"{found.relative_difference:.2g} standard deviations"
        reporter.say(f"int8, {words}")
        # The higher, the better.
        score = found.tags if by_tags else -found.relative_difference
        if best is None or score > best[0]:
            best = score, Tuned(candidate, care, words)
        if score >= (BOUNDS["int8"].tags + _MARGIN if by_tags else -_SHARE * BOUNDS["int8"].logits):
            break
    assert best is not None
    return best[1]


def _predictions(runtime: Runtime, photos: Sequence[Views], schema: AttributeSchema) -> Predictions:
    """Of the mean probability of each photo's views."""
    each = (runtime(np.stack(views)) for views in photos)
    means = [views if len(views) == 1 else log_mean_probability(list(views[:, None]), schema) for views in each]
    return Predictions(schema, tuple(str(number) for number in range(len(photos))), np.concatenate(means))
