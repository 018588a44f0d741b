"""A schema, counts with a class that never occurs, and random batches, for tests of losses."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from gingham.losses import AttributeLoss, LossOptions, LossValue
from gingham.schema import UNLABELLED, AttributeSchema

SCHEMA = AttributeSchema.of({"pattern": list("abc"), "sleeve": ["long", "short"], "fit": list("pqrs")})
COUNTS = torch.tensor([10, 200, 30, 7, 7, 1, 0, 50, 4])
F64 = torch.float64


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
