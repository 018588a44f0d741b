import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gingham.errors import SchemaError
from gingham.losses import AttributeLoss, LossOptions, soft_targets
from gingham.schema import UNLABELLED
from tests.losses.batches import COUNTS, F64, SCHEMA, batches, evaluate, make_loss


@settings(deadline=None, max_examples=60)
@given(batches(), st.sampled_from(["none", "inverse"]))
def test_hard_targets_are_what_torch_computes(batch: tuple[Tensor, Tensor], mode: str) -> None:
    logits, targets = batch
    loss = make_loss(class_weights=mode)
    value = evaluate(loss, logits, *soft_targets(targets, SCHEMA, dtype=F64))
    for k, part in enumerate(SCHEMA.slices):
        weights = loss.weights[part]
        labelled = targets[:, k] != UNLABELLED
        if float(weights[targets[labelled, k]].sum()) == 0:
            assert float(value.per_attribute[k]) == 0
            continue
        expected = functional.cross_entropy(
            logits[:, part], targets[:, k], weight=weights, ignore_index=UNLABELLED, reduction="mean"
        )
        assert float(value.per_attribute[k]) == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


def test_nothing_labelled_is_zero_and_no_gradient() -> None:
    logits = torch.randn(3, SCHEMA.total, dtype=F64, requires_grad=True)
    soft, mask = soft_targets(torch.full((3, len(SCHEMA)), UNLABELLED), SCHEMA, dtype=F64)
    value = evaluate(make_loss(label_smoothing=0.1), logits, soft, mask)
    assert float(value.total.detach()) == 0
    value.total.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


def test_per_attribute_values_are_for_showing_only() -> None:
    logits = torch.randn(2, SCHEMA.total, requires_grad=True)
    value = evaluate(make_loss(), logits, *soft_targets(torch.zeros(2, 3, dtype=torch.int64), SCHEMA))
    assert value.total.requires_grad
    assert not value.per_attribute.requires_grad


def test_autocast_does_not_reach_the_loss() -> None:
    logits = torch.randn(4, SCHEMA.total) * 5
    loss = AttributeLoss(LossOptions(), SCHEMA, COUNTS)
    soft, mask = soft_targets(torch.tensor([[0, 1, 2]] * 4), SCHEMA)
    plain = evaluate(loss, logits, soft, mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = evaluate(loss, logits, soft, mask)
    assert cast.total.dtype == torch.float32
    assert torch.equal(cast.total, plain.total)


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e30, -1e30, 0.0, 1e30, -1e30, 0.0, 0.0, 0.0, -1e30]], requires_grad=True)
    loss = AttributeLoss(LossOptions(class_weights="none"), SCHEMA, COUNTS)
    value = evaluate(loss, logits, *soft_targets(torch.tensor([[1, 0, 0]]), SCHEMA))
    value.total.backward()
    assert torch.isfinite(value.total)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_logits_of_another_schema_are_refused() -> None:
    soft, mask = soft_targets(torch.tensor([[0, 0, 0]]), SCHEMA)
    with pytest.raises(SchemaError, match=r"shape \(1, 8\), expected \[B, 9\]"):
        evaluate(AttributeLoss(LossOptions(), SCHEMA, COUNTS), torch.zeros(1, 8), soft, mask)


def test_deferred_weights_hold_from_their_epoch_on() -> None:
    deferred, never, always = make_loss(deferred_from=3), make_loss(class_weights="none"), make_loss()
    logits = torch.randn(4, SCHEMA.total, dtype=F64, generator=torch.Generator().manual_seed(0))
    soft, mask = soft_targets(torch.tensor([[0, 1, 0], [1, 0, 2], [1, 1, 3], [2, 0, 2]]), SCHEMA, dtype=F64)
    for epoch, like in enumerate([never, never, always, always]):
        found, expected = evaluate(deferred, logits, soft, mask, epoch), evaluate(like, logits, soft, mask)
        assert torch.equal(found.total, expected.total)
    assert not torch.equal(evaluate(never, logits, soft, mask).total, evaluate(always, logits, soft, mask).total)


def test_learned_weights_find_the_best_variances() -> None:
    """Where the derivative of `exp(-s) L + s / 2` is 0: `s = log 2 L`; without a label it stays what it is."""
    loss = make_loss(attribute_weights="learned", class_weights="none")
    logits = torch.randn(5, SCHEMA.total, dtype=F64, generator=torch.Generator().manual_seed(1))
    soft, mask = soft_targets(torch.tensor([[0, -1, 3]] * 5), SCHEMA, dtype=F64)
    plain = evaluate(make_loss(class_weights="none"), logits, soft, mask).per_attribute
    assert loss.log_variances is not None
    optimizer = torch.optim.LBFGS(loss.parameters(), max_iter=100, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = evaluate(loss, logits, soft, mask).total
        total.backward()
        return total

    optimizer.step(closure)
    assert loss.log_variances[[0, 2]].tolist() == pytest.approx((2 * plain[[0, 2]]).log().tolist(), abs=1e-6)
    assert float(loss.log_variances[1].detach()) == 0


@pytest.mark.parametrize("weights", ["none", {"fit": 2.0}])
def test_only_learned_weights_are_parameters(weights: object) -> None:
    assert not list(make_loss(attribute_weights=weights).parameters())
    assert not make_loss(attribute_weights=weights).state_dict()
    assert list(make_loss(attribute_weights="learned").state_dict()) == ["log_variances"]
