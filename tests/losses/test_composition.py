"""Any loss with any weights, mixing, smoothing and missing labels: values, gradients, sums, and what has no effect."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gingham.losses import AttributeLoss, LossOptions, LossValue, soft_targets
from tests.losses.batches import COUNTS, F64, OPTIONS, SCHEMA, batches, mixtures, random_logits
from tests.losses.reference import total_loss


class _Drawn(NamedTuple):
    """A loss, a batch, and the epoch that it is of."""

    loss: AttributeLoss
    logits: Tensor
    soft: Tensor
    mask: Tensor
    epoch: int

    def value(self, logits: Tensor, soft: Tensor) -> LossValue:
        denominators = self.loss.denominators(soft, self.mask, self.epoch)
        return self.loss(logits, soft, self.mask, denominators, self.epoch)

    def gradients(self, logits: Tensor, soft: Tensor) -> list[Tensor]:
        """Of the total, by the logits and by the loss's own parameters."""
        free = logits.clone().requires_grad_()
        return list(torch.autograd.grad(self.value(free, soft).total, [free, *self.loss.parameters()]))


@st.composite
def _drawn(draw: st.DrawFn) -> _Drawn:
    loss = AttributeLoss(LossOptions.parse(draw(OPTIONS)), SCHEMA, COUNTS, dtype=F64)
    if loss.log_variances is not None:
        with torch.no_grad():
            loss.log_variances.copy_(torch.tensor([draw(st.floats(-2, 2)) for _ in SCHEMA.sizes], dtype=F64))
    logits, targets = draw(batches(scales=(0.1, 1.0, 5.0)))
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    if draw(st.booleans()):
        # As MixUp does it: what is labelled in one image alone keeps its share of the mixture.
        share, order = draw(st.floats(0, 1)), torch.tensor(draw(st.permutations(range(len(targets)))))
        soft, mask = share * soft + (1 - share) * soft[order], torch.maximum(mask, mask[order])
    return _Drawn(loss, logits, soft, mask, draw(st.integers(0, 2)))


@settings(deadline=None, max_examples=150)
@given(_drawn())
def test_the_value_is_that_of_the_formulas(drawn: _Drawn) -> None:
    found = drawn.value(drawn.logits, drawn.soft)
    own = drawn.loss.log_variances
    expected = total_loss(
        drawn.loss.options,
        SCHEMA,
        COUNTS.tolist(),
        drawn.logits.tolist(),
        drawn.soft.tolist(),
        drawn.mask.tolist(),
        drawn.epoch,
        [] if own is None else own.tolist(),
    )
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-10, abs=1e-10)
    assert float(found.per_attribute.sum()) == pytest.approx(expected, rel=1e-10, abs=1e-10)


@settings(deadline=None, max_examples=100)
@given(_drawn())
def test_gradients_are_those_of_finite_differences(drawn: _Drawn) -> None:
    def total(logits: Tensor, *own: Tensor) -> Tensor:
        return drawn.value(logits, drawn.soft).total

    inputs = (drawn.logits.clone().requires_grad_(), *drawn.loss.parameters())
    assert torch.autograd.gradcheck(total, inputs, atol=1e-6, rtol=1e-4, fast_mode=True)


@settings(deadline=None, max_examples=100)
@given(_drawn(), st.integers(0, 6), st.integers(0, 6))
def test_any_parts_of_a_batch_add_up_to_it(drawn: _Drawn, one: int, other: int) -> None:
    """Micro-batches and shares of processes, empty ones too: values, gradients and denominators."""
    loss, rows = drawn.loss, len(drawn.logits)
    first, second = sorted((min(one, rows), min(other, rows)))
    parts = [slice(0, first), slice(first, second), slice(second, rows)]
    denominators = loss.denominators(drawn.soft, drawn.mask, drawn.epoch)
    pieces = [loss.denominators(drawn.soft[part], drawn.mask[part], drawn.epoch) for part in parts]
    torch.testing.assert_close(torch.stack(pieces).sum(dim=0), denominators, rtol=1e-12, atol=1e-14)

    logits = drawn.logits.clone().requires_grad_()
    values = [loss(logits[part], drawn.soft[part], drawn.mask[part], denominators, drawn.epoch) for part in parts]
    total = torch.stack([value.total for value in values]).sum()
    whole = drawn.value(drawn.logits, drawn.soft)
    torch.testing.assert_close(total, whole.total, rtol=1e-12, atol=1e-13)
    shown = torch.stack([value.per_attribute for value in values]).sum(dim=0)
    torch.testing.assert_close(shown, whole.per_attribute, rtol=1e-12, atol=1e-13)
    found = torch.autograd.grad(total, [logits, *loss.parameters()])
    for mine, expected in zip(found, drawn.gradients(drawn.logits, drawn.soft), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-11, atol=1e-13)


@settings(deadline=None, max_examples=100)
@given(_drawn(), st.sampled_from([0.0, 1e30, float("inf"), float("nan")]), st.integers(0, 2**31 - 1))
def test_what_is_not_labelled_changes_no_bit(drawn: _Drawn, strange: float, seed: int) -> None:
    sizes = torch.tensor(SCHEMA.sizes)
    unlabelled = (drawn.mask == 0).repeat_interleave(sizes, dim=1)
    rows = len(drawn.logits)
    logits = torch.where(unlabelled, random_logits(rows, seed) + strange, drawn.logits)
    soft = torch.where(unlabelled, mixtures(rows, seed) + strange, drawn.soft)

    denominators = drawn.loss.denominators(drawn.soft, drawn.mask, drawn.epoch)
    assert torch.equal(drawn.loss.denominators(soft, drawn.mask, drawn.epoch), denominators)
    value, expected = drawn.value(logits, soft), drawn.value(drawn.logits, drawn.soft)
    assert torch.equal(value.total, expected.total)
    assert torch.equal(value.per_attribute, expected.per_attribute)
    assert torch.isfinite(value.total)
    found = drawn.gradients(logits, soft)
    assert all(
        torch.equal(mine, other) for mine, other in zip(found, drawn.gradients(drawn.logits, drawn.soft), strict=True)
    )
    assert (found[0][unlabelled] == 0).all()


@settings(deadline=None, max_examples=100)
@given(_drawn(), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_linear_in_the_target(drawn: _Drawn, share: float, seed: int) -> None:
    first, second = mixtures(len(drawn.logits), seed), mixtures(len(drawn.logits), seed + 1)
    common = torch.full((len(SCHEMA),), 2.5, dtype=F64)

    def total(soft: Tensor) -> Tensor:
        return drawn.loss(drawn.logits, soft, drawn.mask, common, drawn.epoch).total

    def denominators(soft: Tensor) -> Tensor:
        return drawn.loss.denominators(soft, drawn.mask, drawn.epoch)

    mixed = share * first + (1 - share) * second
    for function in (total, denominators):
        expected = share * function(first) + (1 - share) * function(second)
        torch.testing.assert_close(function(mixed), expected, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=100)
@given(OPTIONS, batches(), st.integers(0, 2))
def test_integers_and_their_one_hot_rows_give_the_same(
    options: dict[str, object], batch: tuple[Tensor, Tensor], epoch: int
) -> None:
    logits, targets = batch
    loss = AttributeLoss(LossOptions.parse(options), SCHEMA, COUNTS, dtype=F64)
    hot = [torch.nn.functional.one_hot(targets[:, k].clamp(min=0), size) for k, size in enumerate(SCHEMA.sizes)]
    one_hot, labelled = torch.cat(hot, dim=1).to(F64), (targets >= 0).to(F64)
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    values = [loss(logits, t, m, loss.denominators(t, m, epoch), epoch) for t, m in ((soft, mask), (one_hot, labelled))]
    assert abs(float((values[0].total - values[1].total).detach())) <= 1e-12
