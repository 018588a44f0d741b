import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gingham.losses import LossOptions
from gingham.losses.functions import LOSSES, cross_entropy, focal
from gingham.losses.weights import rare_as_the_rarest
from gingham.schema import AttributeSchema
from tests.losses.batches import COUNTS, F64, SCHEMA, batches, random_logits
from tests.losses.reference import class_loss

KNOWN = rare_as_the_rarest(COUNTS, SCHEMA, dtype=F64)


@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(deadline=None, max_examples=30)
@given(batches(), st.sampled_from([0.0, 0.5, 2.0, 5.0]), st.sampled_from([0.01, 0.7, 1.0]))
def test_against_the_formula_in_loops(name: str, batch: tuple[Tensor, Tensor], strength: float, q: float) -> None:
    """In plain Python floats; p_t has no class weight in it."""
    logits, _ = batch
    options = LossOptions(name=name, gamma=strength, alpha=strength + 0.25, tau=strength, margin=strength, q=q)
    found = LOSSES[name](logits, SCHEMA, options, KNOWN)
    for row in range(len(logits)):
        for part in SCHEMA.slices:
            for c in range(part.stop - part.start):
                expected = class_loss(options, logits[row, part].tolist(), c, KNOWN[part].tolist())
                assert float(found[row, part][c]) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"name": "focal", "gamma": 0.0}, 1e-12),
        ({"name": "balanced_softmax", "tau": 0.0}, 1e-12),
        ({"name": "ldam", "margin": 0.0}, 1e-12),
        ({"name": "generalised_cross_entropy", "q": 1e-9}, 1e-6),
    ],
)
def test_the_limit_is_cross_entropy(options: dict[str, object], tolerance: float) -> None:
    logits, parsed = random_logits(4, 3), LossOptions.parse(options)
    found = LOSSES[parsed.name](logits, SCHEMA, parsed, KNOWN)
    torch.testing.assert_close(found, cross_entropy(logits, SCHEMA, parsed, KNOWN), rtol=tolerance, atol=1e-12)


def test_by_hand() -> None:
    """Two classes with 81 and 16 images, logits log 3 and 0: p is 3/4 and 1/4."""
    schema, counts = AttributeSchema.of({"a": ["b", "c"]}), torch.tensor([81.0, 16.0], dtype=F64)
    logits = torch.tensor([[math.log(3), 0.0]], dtype=F64)

    def loss(name: str, **options: float) -> list[float]:
        values: list[float] = LOSSES[name](logits, schema, LossOptions.parse({"name": name, **options}), counts)[
            0
        ].tolist()
        return values

    assert loss("cross_entropy") == pytest.approx([math.log(4 / 3), math.log(4)])
    assert loss("focal", gamma=2.0, alpha=0.5) == pytest.approx(
        [0.5 / 16 * math.log(4 / 3), 0.5 * 9 / 16 * math.log(4)]
    )
    # 3 * 81 : 1 * 16
    assert loss("balanced_softmax") == pytest.approx([math.log(259 / 243), math.log(259 / 16)])
    # Margins log 3 * 16^¼ / 81^¼ = log 3 * 2/3, and log 3.
    factor = 3 ** (1 / 3)
    assert loss("ldam", margin=math.log(3)) == pytest.approx(
        [math.log((factor + 1) / factor), math.log(3 + 1 / 3) + math.log(3)]
    )
    assert loss("generalised_cross_entropy", q=0.5) == pytest.approx([2 - math.sqrt(3), 1.0])


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_taken_to_float32(name: str, dtype: torch.dtype) -> None:
    logits, counts = (random_logits(4, 0, 5.0)).to(dtype), KNOWN.float()
    found = LOSSES[name](logits, SCHEMA, LossOptions(name=name), counts)
    assert found.dtype == torch.float32
    assert torch.equal(found, LOSSES[name](logits.float(), SCHEMA, LossOptions(name=name), counts))


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("size", [200.0, 1e30])
def test_finite_with_its_gradient_where_the_model_is_sure(name: str, size: float) -> None:
    logits = torch.full((1, SCHEMA.total), -size)
    logits[0, 0] = size
    logits.requires_grad_()
    value = LOSSES[name](logits, SCHEMA, LossOptions(name=name, gamma=0.5), KNOWN.float()).sum()
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_focal_keeps_its_digits_where_the_model_is_nearly_sure() -> None:
    logits = torch.zeros(1, SCHEMA.total)
    logits[0, 0] = 20.0
    found = focal(logits, SCHEMA, LossOptions(name="focal", gamma=1.0), KNOWN.float())
    assert float(found[0, 0]) == pytest.approx((2 * math.exp(-20)) ** 2, rel=1e-3)
