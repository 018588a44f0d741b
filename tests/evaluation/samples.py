"""Predictions to test with: made by hand or drawn from a seed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from gingham.predictions import Predictions
from gingham.schema import AttributeSchema

SMALL = AttributeSchema.of({"colour": ["red", "green", "blue"], "fit": ["tight", "loose"]})
DEEPFASHION = AttributeSchema.builtin("deepfashion")


def logits_of(predicted: npt.NDArray[np.int64], schema: AttributeSchema) -> npt.NDArray[np.float32]:
    """Logits whose best classes are `predicted` [N, K]."""
    logits = np.zeros((len(predicted), schema.total), dtype=np.float32)
    for attribute, part in enumerate(schema.slices):
        logits[np.arange(len(predicted)), part.start + predicted[:, attribute]] = 1
    return logits


def predictions_of(
    targets: Sequence[Sequence[int]] | npt.NDArray[np.int64],
    predicted: Sequence[Sequence[int]] | npt.NDArray[np.int64],
    schema: AttributeSchema = SMALL,
    ids: Sequence[str] | None = None,
) -> Predictions:
    truth, guess = (np.asarray(values, dtype=np.int64).reshape(-1, len(schema)) for values in (targets, predicted))
    names = tuple(ids) if ids is not None else tuple(f"img/{number:05}.jpg" for number in range(len(truth)))
    return Predictions(schema, names, logits_of(guess, schema), truth)


def drawn_predictions(
    seed: int, images: int, *, schema: AttributeSchema = DEEPFASHION, right: float = 0.6, labelled: float = 0.9
) -> Predictions:
    """Imbalanced targets, some of them missing; about the share `right` of them predicted."""
    generator = np.random.default_rng(seed)
    shares = [generator.dirichlet(np.ones(size)) for size in schema.sizes]
    targets = np.stack([generator.choice(len(share), images, p=share) for share in shares], axis=1)
    guesses = np.stack([generator.integers(size, size=images) for size in schema.sizes], axis=1)
    predicted = np.where(generator.random(targets.shape) < right, targets, guesses)
    targets[generator.random(targets.shape) >= labelled] = -1
    targets[0] = 0
    return predictions_of(targets, predicted, schema)


@st.composite
def any_predictions(draw: st.DrawFn, schema: AttributeSchema = SMALL) -> Predictions:
    """A few images with any targets, at least one of them labelled, and any predictions."""
    images = draw(st.integers(1, 12))
    targets = [[draw(st.integers(-1, size - 1)) for size in schema.sizes] for _ in range(images)]
    targets[0][0] = max(0, targets[0][0])
    predicted = [[draw(st.integers(0, size - 1)) for size in schema.sizes] for _ in range(images)]
    return predictions_of(targets, predicted, schema)
