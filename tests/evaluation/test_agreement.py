"""Agreement of two predictions, on cases counted by hand."""

import numpy as np
import pytest

from gingham.errors import SchemaError
from gingham.evaluation.agreement import BOUNDS, Bound, agreement
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema

SCHEMA = AttributeSchema.from_plain({"colour": ["red", "blue"], "size": ["s", "m", "l"]})
# Tags: (red, s), (blue, m), (red, l), (blue, s).
BEFORE = [[2, 0, 3, 0, 0], [0, 2, 0, 3, 0], [2, 0, 0, 0, 3], [0, 2, 3, 0, 0]]
TARGETS = [[0, 0], [1, 1], [0, -1], [0, 2]]


def predictions(logits: object, targets: object = None, ids: str = "abcd") -> Predictions:
    return Predictions(
        SCHEMA,
        tuple(ids),
        np.array(logits, dtype=np.float32),
        None if targets is None else np.array(targets, dtype=np.int64),
    )


def test_nothing_changed() -> None:
    same = agreement(predictions(BEFORE, TARGETS), predictions(BEFORE))
    assert (same.n, same.logit_difference, same.probability_difference, same.tags) == (4, 0, 0, 1)
    assert same.per_attribute == {"colour": 1, "size": 1}
    # red 2 of 3, blue 1 of 1; s 1 of 1, m 1 of 1, l 0 of 1.
    assert same.accuracy_before == same.accuracy_after == pytest.approx((2 / 3 + 1 + 1 + 1 + 0) / 5)
    assert all(same.broken(bound) is None for bound in BOUNDS.values())


def test_one_tag_of_eight_changes() -> None:
    after = np.array(BEFORE, dtype=np.float32)
    after[3, :2] = 2.5, 2  # blue becomes red, which is right
    found = agreement(predictions(BEFORE, TARGETS), predictions(after))
    assert found.logit_difference == 2.5
    assert found.logit_deviation == pytest.approx(np.std(BEFORE))
    share = 1 / (1 + np.exp(2.0))
    assert found.probability_difference == pytest.approx(1 / (1 + np.exp(-0.5)) - share)
    assert found.per_attribute == {"colour": 0.75, "size": 1}
    assert found.tags == 7 / 8
    assert found.accuracy_after == pytest.approx((1 + 1 + 1 + 1 + 0) / 5)
    assert "87.50% of the tags" in (found.broken(BOUNDS["int8"]) or "")
    moved = found.broken(Bound(tags=0.8, accuracy=0.01, logits=9))
    assert "+0.0667" in (moved or "")
    assert found.broken(Bound(tags=0.8, accuracy=0.07, logits=0)) is None


@pytest.mark.parametrize(("targets", "trained"), [(None, True), (np.full((4, 2), -1), True), (TARGETS, False)])
def test_without_labels_or_training_logits_are_judged(targets: object, trained: bool) -> None:
    """The tags may then change as they like: random logits lie near every border."""
    before = np.array(BEFORE, dtype=np.float32)
    after = before.copy()
    after[:, 0] += 0.01
    found = agreement(predictions(before, targets), predictions(after))
    deviation = float(np.std(BEFORE))
    assert found.relative_difference == pytest.approx(0.01 / deviation, rel=1e-4)
    assert found.broken(Bound(tags=2, accuracy=0, logits=0.0101 / deviation), trained=trained) is None
    assert "a logit differs" in (found.broken(Bound(0, 1, 0.0099 / deviation), trained=trained) or "")


def test_logits_that_are_all_the_same() -> None:
    flat = predictions(np.zeros((4, 5)))
    assert agreement(flat, flat).relative_difference == 0
    assert agreement(flat, predictions(BEFORE)).relative_difference == float("inf")


def test_bounds_are_those_that_are_promised() -> None:
    assert {name: (one.tags, one.accuracy, one.logits) for name, one in BOUNDS.items()} == {
        "fp32": (0.999, 0.01, 1e-4),
        "bf16": (0.99, 0.01, 0.05),
        "int8": (0.98, 0.01, 0.3),
    }


def test_other_photos_or_attributes_are_refused() -> None:
    with pytest.raises(SchemaError, match="same photos"):
        agreement(predictions(BEFORE), predictions(BEFORE, ids="abce"))
    other = AttributeSchema.from_plain({"colour": ["red", "blue"], "size": ["s", "m", "xl"]})
    with pytest.raises(SchemaError):
        agreement(predictions(BEFORE), Predictions(other, tuple("abcd"), np.array(BEFORE, dtype=np.float32)))
