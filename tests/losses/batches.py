"""A schema, counts with a class that never occurs, and random batches, for tests of losses."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from gingham.losses import AttributeLoss, LossOptions, LossValue
from gingham.losses.functions import LOSSES
from gingham.schema import UNLABELLED, AttributeSchema

SCHEMA = AttributeSchema.of({"pattern": list("abc"), "sleeve": ["long", "short"], "fit": list("pqrs")})
COUNTS = torch.tensor([10, 200, 30, 7, 7, 1, 0, 50, 4])
F64 = torch.float64


_EXPLICIT = {"fit": {"p": 0.0, "q": 3.0}, "sleeve": {"short": 0.25}}

OPTIONS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(sorted(LOSSES)),
        "gamma": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        "alpha": st.sampled_from([0.25, 1.0]),
        "tau": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
        "margin": st.sampled_from([0.0, 0.5, 4.0]),
        "q": st.sampled_from([0.01, 0.7, 1.0]),
        "class_weights": st.sampled_from(["none", "inverse", "sqrt_inverse", "effective_number", _EXPLICIT]),
        "beta": st.sampled_from([0.0, 0.9, 0.999]),
        "deferred_from": st.sampled_from([None, 2]),
        "attribute_weights": st.sampled_from(["none", "learned", {"fit": 0.5, "pattern": 3.0}]),
        "label_smoothing": st.sampled_from([0.0, 0.1, 0.5]),
    }
)
"""Everything that the block `loss:` can ask for."""


def make_loss(name: str = "cross_entropy", **options: Any) -> AttributeLoss:
    return AttributeLoss(LossOptions.parse({"name": name, **options}), SCHEMA, COUNTS, dtype=F64)


def evaluate(loss: AttributeLoss, logits: Tensor, soft: Tensor, mask: Tensor, epoch: int = 0) -> LossValue:
    return loss(logits, soft, mask, loss.denominators(soft, mask, epoch), epoch)


def random_logits(rows: int, seed: int, scale: float = 1.0) -> Tensor:
    return torch.randn(rows, SCHEMA.total, dtype=F64, generator=torch.Generator().manual_seed(seed)) * scale


@st.composite
def batches(draw: st.DrawFn, minimum: int = 1, scales: tuple[float, ...] = (0.1, 1.0, 30.0)) -> tuple[Tensor, Tensor]:
    """(logits `[B, ΣC]` float64, targets `[B, K]`), some targets unlabelled."""
    count = draw(st.integers(minimum, 6))
    targets = [[draw(st.integers(UNLABELLED, size - 1)) for size in SCHEMA.sizes] for _ in range(count)]
    logits = random_logits(count, draw(st.integers(0, 2**31 - 1)), draw(st.sampled_from(scales)))
    return logits, torch.tensor(targets)


def mixtures(rows: int, seed: int) -> Tensor:
    """Soft targets: a distribution for each attribute."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.rand(rows, size, dtype=F64, generator=generator) for size in SCHEMA.sizes]
    return torch.cat([part / part.sum(dim=1, keepdim=True) for part in parts], dim=1)
