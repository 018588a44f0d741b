"""The search for how much care a network needs to keep its answers in 8 bits."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gingham.evaluation.agreement import BOUNDS
from gingham.export.quantise import CARES, Care, quantised
from gingham.inference.load import Views
from gingham.inference.runtime import Runtime
from gingham.predictions import log_mean_probability
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["Tuned", "tuned"]

Pixels = npt.NDArray[np.uint8]

_MARGIN = 0.005
"""Tuned to so much more than the bound: the photos that it is judged on are others, which the model knows less well."""


class Tuned(NamedTuple):
    """A quantised graph, how it was made, and the share of tags that it kept on the tuning photos."""

    model: Any
    care: Care
    tags: float


def tuned(
    model: Any,
    *,
    run: Callable[[Any, str], Runtime],
    calibrating: Sequence[Pixels],
    tuning: Sequence[Views],
    schema: AttributeSchema,
    transformer: bool,
    reporter: Reporter,
) -> Tuned:
    """Quantise a graph with ever more care until it keeps its tags; if it never does, the best of all.

    Args:
        model: in float32.
        run: a graph and its precision -> what computes its logits.
        calibrating: photos as the network sees them, from which ranges come.
        tuning: all views of others, on which tags are compared.
        schema: what the logits mean.
        transformer: see `quantised`.
        reporter: hears of each step.
    """
    wanted = BOUNDS["int8"].tags + _MARGIN
    before = _tags(run(model, "fp32"), tuning, schema)
    best: Tuned | None = None
    for care in CARES:
        candidate = quantised(model, calibrating, care, transformer=transformer)
        tags = float((_tags(run(candidate, "int8"), tuning, schema) == before).mean())
        reporter.say(f"int8, {care.name}: {tags:.2%} of the tags stay on {len(tuning)} tuning photos")
        if best is None or tags > best.tags:
            best = Tuned(candidate, care, tags)
        if tags >= wanted:
            break
    assert best is not None
    return best


def _tags(runtime: Runtime, photos: Sequence[Views], schema: AttributeSchema) -> npt.NDArray[np.int64]:
    """Best classes `[N, K]`, of the mean probability of each photo's views."""
    each = (runtime(np.stack(views)) for views in photos)
    logits = np.concatenate([log_mean_probability(list(views[:, None]), schema) for views in each])
    return np.stack([logits[:, part].argmax(axis=1) for part in schema.slices], axis=1)
