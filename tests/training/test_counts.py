"""The quick count of a batch is the careful one."""

import numpy as np

from gingham.evaluation.metrics import confusion_matrices
from gingham.schema import AttributeSchema
from gingham.training.counts import Counter


def test_it_counts_as_the_metrics_do() -> None:
    schema = AttributeSchema.builtin("deepfashion")
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((200, schema.total)).astype(np.float32)
    targets = np.stack([rng.integers(-1, size, 200) for size in schema.sizes], axis=1)
    counter = Counter(schema)
    best = counter.best(logits)
    assert np.array_equal(best, np.stack([logits[:, part].argmax(axis=1) for part in schema.slices], axis=1))
    matrices = counter.matrices(counter.count(targets, best))
    for found, expected in zip(matrices, confusion_matrices(targets, best, schema), strict=True):
        assert np.array_equal(found, expected)


def test_nothing_labelled_counts_nothing() -> None:
    schema = AttributeSchema.builtin("deepfashion")
    counter = Counter(schema)
    nothing = np.full((3, len(schema)), -1)
    assert counter.count(nothing, np.zeros_like(nothing)).sum() == 0
    assert len(counter.count(nothing, np.zeros_like(nothing))) == counter.size == sum(n * n for n in schema.sizes)
