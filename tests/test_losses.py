import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gingham.errors import RecipeError, SchemaError
from gingham.losses import (
    LOSSES,
    AttributeLoss,
    LossOptions,
    LossValue,
    class_weights,
    cross_entropy,
    focal,
    smooth,
    soft_targets,
)
from gingham.schema import UNLABELLED, AttributeSchema

SCHEMA = AttributeSchema.of({"pattern": list("abc"), "sleeve": ["long", "short"], "fit": list("pqrs")})
COUNTS = torch.tensor([10, 200, 30, 7, 7, 1, 0, 50, 4])
F64 = torch.float64


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_loss(name: str = "cross_entropy", mode: str = "inverse", smoothing: float = 0.0) -> AttributeLoss:
    options = LossOptions.parse({"name": name, "class_weights": mode, "label_smoothing": smoothing})
    return AttributeLoss(options, SCHEMA, COUNTS, dtype=F64)


def evaluate(loss: AttributeLoss, logits: Tensor, soft: Tensor, mask: Tensor) -> LossValue:
    return loss(logits, soft, mask, loss.denominators(soft, mask))


@st.composite
def batches(draw: st.DrawFn, minimum: int = 1) -> tuple[Tensor, Tensor]:
    """(logits `[B, ΣC]` float64, targets `[B, K]`), some targets unlabelled."""
    count = draw(st.integers(minimum, 6))
    targets = [[draw(st.integers(UNLABELLED, size - 1)) for size in SCHEMA.sizes] for _ in range(count)]
    seed = draw(st.integers(0, 2**31 - 1))
    scale = draw(st.sampled_from([0.1, 1.0, 30.0]))
    logits = torch.randn(count, SCHEMA.total, dtype=F64, generator=torch.Generator().manual_seed(seed)) * scale
    return logits, torch.tensor(targets)


def mixtures(rows: int, seed: int) -> Tensor:
    """Soft targets: a distribution for each attribute."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.rand(rows, size, dtype=F64, generator=generator) for size in SCHEMA.sizes]
    return torch.cat([part / part.sum(dim=1, keepdim=True) for part in parts], dim=1)


def reference(
    logits: npt.NDArray[np.float64],
    soft: npt.NDArray[np.float64],
    mask: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    epsilon: float,
) -> list[float]:
    """The formula of the design, in loops."""
    losses = []
    for k, part in enumerate(SCHEMA.slices):
        size = part.stop - part.start
        numerator = denominator = 0.0
        for n in range(len(logits)):
            z = logits[n, part]
            log_sum = z.max() + np.log(np.exp(z - z.max()).sum())
            total = soft[n, part].sum()
            for c in range(size):
                target = (1 - epsilon) * soft[n, part][c] + epsilon * total / size
                numerator += mask[n, k] * weights[part][c] * target * (log_sum - z[c])
                denominator += mask[n, k] * weights[part][c] * target
        losses.append(numerator / denominator if denominator else 0.0)
    return losses


@settings(deadline=None, max_examples=60)
@given(batches(), st.sampled_from(["none", "inverse"]), st.sampled_from([0.0, 0.1]), st.booleans())
def test_against_the_formula_in_loops(batch: tuple[Tensor, Tensor], mode: str, epsilon: float, mixed: bool) -> None:
    logits, targets = batch
    loss = make_loss(mode=mode, smoothing=epsilon)
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    if mixed:
        soft = mixtures(len(logits), 1)
    value = evaluate(loss, logits, soft, mask)
    expected = reference(logits.numpy(), soft.numpy(), mask.numpy(), loss.weights.numpy(), epsilon)
    np.testing.assert_allclose(value.per_attribute.numpy(), expected, rtol=1e-12, atol=1e-12)
    assert float(value.total) == pytest.approx(sum(expected), rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(batches(), st.sampled_from(["none", "inverse"]))
def test_hard_targets_are_what_torch_computes(batch: tuple[Tensor, Tensor], mode: str) -> None:
    logits, targets = batch
    loss = make_loss(mode=mode)
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


@settings(deadline=None, max_examples=60)
@given(batches())
def test_integers_and_their_one_hot_rows_are_equal(batch: tuple[Tensor, Tensor]) -> None:
    logits, targets = batch
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    one_hot = torch.zeros_like(soft)
    for (n, k), target in np.ndenumerate(targets.numpy()):
        if target != UNLABELLED:
            one_hot[n, SCHEMA.slices[k].start + target] = 1
    assert torch.equal(soft, one_hot)
    assert torch.equal(mask, (targets != UNLABELLED).to(F64))
    loss = make_loss()
    found, expected = evaluate(loss, logits, soft, mask), evaluate(loss, logits, one_hot, mask)
    assert abs(float(found.total - expected.total)) <= 1e-12


@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(deadline=None, max_examples=60)
@given(batches(), st.floats(0, 1), st.sampled_from([0.0, 0.2]))
def test_linear_in_the_target(name: str, batch: tuple[Tensor, Tensor], share: float, epsilon: float) -> None:
    logits, targets = batch
    loss = make_loss(name, smoothing=epsilon)
    _, mask = soft_targets(targets, SCHEMA, dtype=F64)
    first, second = mixtures(len(logits), 2), mixtures(len(logits), 3)
    common = torch.full((len(SCHEMA),), 2.5, dtype=F64)

    def total(soft: Tensor) -> Tensor:
        return loss(logits, soft, mask, common).total

    def denominator(soft: Tensor) -> Tensor:
        return loss.denominators(soft, mask)

    mixed = share * first + (1 - share) * second
    for function in (total, denominator):
        expected = share * function(first) + (1 - share) * function(second)
        assert torch.allclose(function(mixed), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(deadline=None, max_examples=60)
@given(batches(minimum=2), st.integers(1, 5), st.sampled_from([0.0, 0.2]))
def test_parts_sum_to_the_whole(name: str, batch: tuple[Tensor, Tensor], cut: int, epsilon: float) -> None:
    logits, targets = batch
    cut = min(cut, len(logits) - 1)
    loss = make_loss(name, smoothing=epsilon)
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    denominators = loss.denominators(soft, mask)
    parts = [slice(0, cut), slice(cut, None)]
    assert torch.allclose(sum(loss.denominators(soft[i], mask[i]) for i in parts), denominators, rtol=1e-12)

    whole = logits.clone().requires_grad_()
    value = loss(whole, soft, mask, denominators)
    value.total.backward()
    split = logits.clone().requires_grad_()
    values = [loss(split[i], soft[i], mask[i], denominators) for i in parts]
    for part in values:
        part.total.backward()
    assert torch.allclose(sum(part.per_attribute for part in values), value.per_attribute, rtol=1e-12, atol=1e-14)
    assert split.grad is not None
    assert whole.grad is not None
    assert torch.allclose(split.grad, whole.grad, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(LOSSES))
@settings(deadline=None, max_examples=60)
@given(batches(), st.sampled_from([0.0, 0.2]), st.floats(-50, 50))
def test_what_is_not_labelled_has_no_effect(
    name: str, batch: tuple[Tensor, Tensor], epsilon: float, shift: float
) -> None:
    logits, targets = batch
    loss = make_loss(name, smoothing=epsilon)
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    columns = torch.cat([mask[:, [k]].expand(-1, size) for k, size in enumerate(SCHEMA.sizes)], dim=1)
    unlabelled = columns == 0

    given_logits = logits.clone().requires_grad_()
    value = evaluate(loss, given_logits, soft, mask)
    value.total.backward()
    assert given_logits.grad is not None
    assert torch.isfinite(given_logits.grad).all()
    assert (given_logits.grad[unlabelled] == 0).all()

    # Neither other logits there nor other targets under the mask change a single bit.
    changed = torch.where(unlabelled, logits + shift + torch.randn_like(logits), logits)
    assert torch.equal(evaluate(loss, changed, soft, mask).per_attribute, value.per_attribute)
    invented = torch.where(unlabelled, mixtures(len(logits), 4), soft)
    assert torch.equal(evaluate(loss, logits, invented, mask).per_attribute, value.per_attribute)


def test_nothing_labelled_is_zero_and_no_gradient() -> None:
    logits = torch.randn(3, SCHEMA.total, dtype=F64, requires_grad=True)
    soft, mask = soft_targets(torch.full((3, len(SCHEMA)), UNLABELLED), SCHEMA, dtype=F64)
    value = evaluate(make_loss(smoothing=0.1), logits, soft, mask)
    assert float(value.total.detach()) == 0
    value.total.backward()
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize(("mode", "epsilon"), [("none", 0.0), ("inverse", 0.1)])
def test_gradients_against_finite_differences(name: str, mode: str, epsilon: float) -> None:
    torch.manual_seed(0)
    loss = make_loss(name, mode, epsilon)
    targets = torch.tensor([[0, 1, -1], [2, -1, 3], [1, 0, 0]])
    soft, mask = soft_targets(targets, SCHEMA, dtype=F64)
    logits = torch.randn(3, SCHEMA.total, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: evaluate(loss, z, soft, mask).total, (logits,))


def test_per_attribute_values_are_for_showing_only() -> None:
    logits = torch.randn(2, SCHEMA.total, requires_grad=True)
    value = evaluate(make_loss(), logits, *soft_targets(torch.zeros(2, 3, dtype=torch.int64), SCHEMA))
    assert value.total.requires_grad
    assert not value.per_attribute.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_taken_to_float32(dtype: torch.dtype) -> None:
    logits = (torch.randn(4, SCHEMA.total) * 5).to(dtype)
    found = cross_entropy(logits, SCHEMA, LossOptions())
    assert found.dtype == torch.float32
    assert torch.equal(found, cross_entropy(logits.float(), SCHEMA, LossOptions()))


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


def test_smoothing_by_hand() -> None:
    soft, _ = soft_targets(torch.tensor([[0, 1, -1]]), SCHEMA, dtype=F64)
    expected = [0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3, 0.05, 0.95, 0, 0, 0, 0]
    assert smooth(soft, 0.1, SCHEMA)[0].tolist() == pytest.approx(expected, abs=1e-15)
    assert smooth(soft, 0.0, SCHEMA) is soft


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ([[0, 2, 0]], "attribute 'sleeve': target 2 is not in -1..1"),
        ([[0, 0, 0], [-2, 0, 0]], "attribute 'pattern': target -2 is not in -1..2"),
        ([[0, 0]], r"shape \(1, 2\), expected \[B, 3\]"),
    ],
)
def test_wrong_targets_are_refused(targets: list[list[int]], expected: str) -> None:
    with pytest.raises(SchemaError, match=expected):
        soft_targets(torch.tensor(targets), SCHEMA)


def test_logits_of_another_schema_are_refused() -> None:
    soft, mask = soft_targets(torch.tensor([[0, 0, 0]]), SCHEMA)
    with pytest.raises(SchemaError, match=r"shape \(1, 8\), expected \[B, 9\]"):
        evaluate(AttributeLoss(LossOptions(), SCHEMA, COUNTS), torch.zeros(1, 8), soft, mask)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "cros_entropy"}, "loss: name: no such loss; did you mean 'cross_entropy'?"),
        ({"name": "zzz"}, "loss: name: there are cross_entropy"),
        ({"class_weights": "sqrt"}, "loss: class_weights: "),
        ({"label_smoothing": 1.0}, "loss: label_smoothing: "),
        ({"smoothing": 0.1}, "unknown field 'smoothing'; did you mean 'label_smoothing'?"),
    ],
)
def test_a_wrong_option_is_named(values: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        LossOptions.parse(values, source="loss")
    assert expected in str(caught.value)


@given(batches(), st.sampled_from([0.0, 0.5, 2.0, 5.0]))
def test_focal_against_the_formula_in_loops(batch: tuple[Tensor, Tensor], gamma: float) -> None:
    """Lin et al. 2017, eq. 4, in plain Python floats; p_t has no class weight in it."""
    logits, _ = batch
    found = focal(logits, SCHEMA, LossOptions(name="focal", gamma=gamma))
    for row in range(len(logits)):
        for part in SCHEMA.slices:
            values = [math.exp(float(z) - float(logits[row, part].max())) for z in logits[row, part]]
            for position, value in enumerate(values):
                missing = (sum(values) - value) / sum(values)
                log_p = float(logits[row, part][position] - logits[row, part].max()) - math.log(sum(values))
                expected = -(missing**gamma) * log_p
                assert float(found[row, part][position]) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_focal_with_gamma_zero_is_cross_entropy() -> None:
    logits = torch.randn(4, SCHEMA.total, dtype=F64, generator=torch.Generator().manual_seed(3))
    options = LossOptions(name="focal", gamma=0.0)
    assert torch.allclose(focal(logits, SCHEMA, options), cross_entropy(logits, SCHEMA, options), rtol=1e-12)


def test_focal_is_finite_with_its_gradient_where_the_model_is_sure() -> None:
    logits = torch.full((1, SCHEMA.total), -200.0, requires_grad=True)
    with torch.no_grad():
        logits[0, 0] = 200.0
    value = focal(logits, SCHEMA, LossOptions(name="focal", gamma=0.5)).sum()
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
