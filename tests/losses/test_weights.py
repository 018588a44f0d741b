import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gingham.errors import RecipeError, SchemaError
from gingham.losses import LossOptions
from gingham.losses.weights import attribute_weights, class_weights, rare_as_the_rarest
from gingham.schema import AttributeSchema
from tests.losses.batches import COUNTS, F64, SCHEMA

LENGTHS = AttributeSchema.of({"length": ["maxi", "mini", "none"]})


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 10_000), min_size=SCHEMA.total, max_size=SCHEMA.total))
def test_inverse_weights_have_mean_one_and_are_inverse(counts: list[int]) -> None:
    weights = class_weights(torch.tensor(counts), SCHEMA, "inverse", dtype=F64)
    assert torch.isfinite(weights).all()
    for part in SCHEMA.slices:
        present = [(count, float(weight)) for count, weight in zip(counts[part], weights[part], strict=True) if count]
        absent = [float(weight) for count, weight in zip(counts[part], weights[part], strict=True) if not count]
        assert all(weight == 0 for weight in absent)
        if present:
            assert sum(weight for _, weight in present) / len(present) == pytest.approx(1)
            for (n, first), (m, second) in itertools.pairwise(present):
                assert first * n == pytest.approx(second * m)


def test_class_weights_of_the_report() -> None:
    schema = AttributeSchema.of({"length": ["maxi", "mini", "none"]})
    counts = np.array([488, 951, 3561])
    inverse = 1 / counts
    np.testing.assert_allclose(class_weights(counts, schema, "inverse", dtype=F64), inverse / inverse.mean())
    assert torch.equal(class_weights(counts, schema, "none"), torch.ones(3))


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(SchemaError, match=r"shape \(2,\), expected \(9,\)"):
        class_weights(torch.tensor([1, 2]), SCHEMA, "none")
    with pytest.raises(SchemaError, match="'pattern/b' has a negative count"):
        class_weights(torch.tensor([1, -2, *[1] * 7]), SCHEMA, "inverse")


def test_rules_by_hand() -> None:
    counts = np.array([1, 4, 100])
    sqrt = class_weights(counts, LENGTHS, "sqrt_inverse", dtype=F64)
    assert sqrt.tolist() == pytest.approx([3 * part / 1.6 for part in (1, 0.5, 0.1)])
    # The effective numbers for β = 1/2 are 1, 15/8 and 2.
    effective = class_weights(counts, LENGTHS, "effective_number", beta=0.5, dtype=F64)
    parts = [1, 8 / 15, 0.5]
    assert effective.tolist() == pytest.approx([3 * part / sum(parts) for part in parts])


def test_the_effective_number_lies_between_none_and_inverse() -> None:
    def weights(beta: float) -> torch.Tensor:
        return class_weights(COUNTS[:3], LENGTHS, "effective_number", beta=beta, dtype=F64)

    assert weights(0.0).tolist() == [1, 1, 1]
    inverse = class_weights(COUNTS[:3], LENGTHS, "inverse", dtype=F64)
    torch.testing.assert_close(weights(1 - 1e-9), inverse, rtol=1e-5, atol=0)


def test_weights_by_name() -> None:
    rule = LossOptions.parse({"class_weights": {"fit": {"q": 3, "s": 0.0}, "pattern": {"a": 0.5}}}).class_weights
    assert class_weights(COUNTS, SCHEMA, rule).tolist() == [0.5, 1, 1, 1, 1, 1, 3, 1, 0]


def test_attribute_weights_by_name() -> None:
    rule = LossOptions.parse({"attribute_weights": {"fit": 3, "pattern": 0.5}}).attribute_weights
    assert attribute_weights(rule, SCHEMA).tolist() == [0.5, 1, 3]
    assert attribute_weights("none", SCHEMA).tolist() == attribute_weights("learned", SCHEMA).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"fitt": {"q": 3}}, "loss.class_weights: unknown attribute 'fitt'; did you mean 'fit'?"),
        (
            {"sleeve": {"shirt": 3}},
            "loss.class_weights: attribute 'sleeve': unknown class 'shirt'; did you mean 'short'?",
        ),
        ({"sleeve": {"long": 0, "short": 0}}, "loss.class_weights: 'sleeve' would not be learnt at all"),
    ],
)
def test_a_wrong_name_is_named(weights: dict[str, dict[str, float]], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        class_weights(COUNTS, SCHEMA, LossOptions.parse({"class_weights": weights}).class_weights)
    assert str(caught.value).startswith(expected)


def test_a_wrong_attribute_is_named() -> None:
    with pytest.raises(
        RecipeError, match=r"loss\.attribute_weights: unknown attribute 'slev'; did you mean 'sleeve'\?"
    ):
        attribute_weights(LossOptions.parse({"attribute_weights": {"slev": 2}}).attribute_weights, SCHEMA)


def test_a_class_without_images_counts_as_the_rarest_other() -> None:
    assert rare_as_the_rarest(COUNTS, SCHEMA).tolist() == [10, 200, 30, 7, 7, 1, 1, 50, 4]
    assert rare_as_the_rarest(torch.tensor([0, 0, 0]), LENGTHS).tolist() == [1, 1, 1]
    with pytest.raises(SchemaError, match="negative count"):
        rare_as_the_rarest(torch.tensor([1, -2, 3]), LENGTHS)
