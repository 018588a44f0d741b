"""Any loss with any weights, mixing, smoothing and missing labels on any head: from tokens to gradients, in float64.

What a loss alone promises is in `tests/losses/test_composition.py`; here a head and mixing are before it.
"""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gingham.losses import AttributeLoss, LossOptions, soft_targets
from gingham.models.heads import HEADS, Head, build_head
from gingham.models.options import ModelOptions
from gingham.schema import UNLABELLED
from gingham.training.mix import MixOptions, draw_mixing, mixed_inputs, mixed_targets
from tests.losses.batches import COUNTS, F64, OPTIONS, SCHEMA
from tests.losses.reference import total_loss

_GRID, _WIDTH = (2, 3), 5
_QUERY2LABEL = {"width": 8, "ffn": 12, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0}
_POOL = {"queries": 2, "width": 6, "heads": 3, "dropout": 0.0}
_HEADS = [
    {"head": "query2label", "query2label": {**_QUERY2LABEL, "self_attention": False}},
    {"head": "query2label", "query2label": {**_QUERY2LABEL, "self_attention": True}},
    {"head": "attention_pool", "attention_pool": _POOL},
    {"head": "linear"},
]
_MIXING = st.fixed_dictionaries(
    {
        "mixup": st.sampled_from([0.0, 0.4]),
        "cutmix": st.sampled_from([0.0, 1.0]),
        "mode": st.sampled_from(["batch", "element"]),
        "probability": st.sampled_from([0.5, 1.0]),
    }
)


class _Drawn(NamedTuple):
    """A head, a loss, and a mixed batch."""

    head: Head
    loss: AttributeLoss
    tokens: Tensor
    soft: Tensor
    mask: Tensor
    epoch: int

    def total(self, tokens: Tensor, soft: Tensor, rows: slice = slice(None)) -> Tensor:
        """What some rows contribute to the loss of the batch."""
        denominators = self.loss.denominators(self.soft, self.mask, self.epoch)
        logits = self.head(tokens[rows], _GRID)
        return self.loss(logits, soft[rows], self.mask[rows], denominators, self.epoch).total

    def parameters(self) -> list[Tensor]:
        return [*self.head.parameters(), *self.loss.parameters()]

    def gradients(self, total: Tensor, *more: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(total, [*self.parameters(), *more]))


@st.composite
def _drawn(draw: st.DrawFn) -> _Drawn:
    torch.manual_seed(draw(st.integers(0, 2**31 - 1)))
    head = build_head(ModelOptions.parse(draw(st.sampled_from(_HEADS))), _WIDTH, SCHEMA).double()
    loss = AttributeLoss(LossOptions.parse(draw(OPTIONS)), SCHEMA, COUNTS, dtype=F64)
    with torch.no_grad():
        for parameter in [*head.parameters(), *loss.parameters()]:
            parameter.add_(torch.randn_like(parameter) * 0.3)
    rows = draw(st.integers(2, 5))
    targets = [[draw(st.integers(UNLABELLED, size - 1)) for size in SCHEMA.sizes] for _ in range(rows)]
    tokens, batch = torch.randn(rows, _GRID[0] * _GRID[1], _WIDTH, dtype=F64), np.arange(rows)
    soft, mask = soft_targets(torch.tensor(targets), SCHEMA, dtype=F64)
    mixing = draw_mixing(MixOptions.parse(draw(_MIXING)), draw(st.integers(0, 99)), 0, rows, _GRID)
    if mixing is not None:
        tokens = mixed_inputs(mixing, lambda some: tokens[torch.from_numpy(some)], batch, batch, _GRID)
        soft, mask = mixed_targets(mixing, soft, mask, SCHEMA)
    return _Drawn(head, loss, tokens.double(), soft, mask, draw(st.integers(0, 2)))


def test_every_head_is_drawn() -> None:
    assert {options["head"] for options in _HEADS} == HEADS.keys()


@settings(deadline=None, max_examples=25)
@given(_drawn())
def test_the_value_is_that_of_the_formulas(drawn: _Drawn) -> None:
    own = drawn.loss.log_variances
    with torch.no_grad():
        logits = drawn.head(drawn.tokens, _GRID)
        found = float(drawn.total(drawn.tokens, drawn.soft))
    expected = total_loss(
        drawn.loss.options,
        SCHEMA,
        COUNTS.tolist(),
        logits.tolist(),
        (drawn.soft * drawn.mask.repeat_interleave(torch.tensor(SCHEMA.sizes), dim=1)).tolist(),
        (drawn.mask > 0).tolist(),
        drawn.epoch,
        [] if own is None else own.tolist(),
    )
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(_drawn())
def test_gradients_are_those_of_finite_differences(drawn: _Drawn) -> None:
    """Along a random direction in all of the head's and the loss's parameters and the tokens."""
    tokens = drawn.tokens.clone().requires_grad_()
    gradients = drawn.gradients(drawn.total(tokens, drawn.soft), tokens)
    direction = [torch.randn_like(gradient) for gradient in gradients]
    found = float(sum((one * other).sum() for one, other in zip(gradients, direction, strict=True)))

    def moved(step: float) -> float:
        with torch.no_grad():
            for place, way in zip([*drawn.parameters(), tokens], direction, strict=True):
                place.add_(step * way)
            value = float(drawn.total(tokens, drawn.soft))
            for place, way in zip([*drawn.parameters(), tokens], direction, strict=True):
                place.sub_(step * way)
        return value

    # So short that hardly ever a ReLU changes sides on the way; rounding leaves seven digits.
    step = 1e-8
    expected = (moved(step) - moved(-step)) / (2 * step)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(deadline=None, max_examples=25)
@given(_drawn(), st.integers(0, 5))
def test_parts_of_a_batch_add_up_to_it(drawn: _Drawn, cut: int) -> None:
    whole = drawn.total(drawn.tokens, drawn.soft)
    parts = [drawn.total(drawn.tokens, drawn.soft, rows) for rows in (slice(0, cut), slice(cut, None))]
    torch.testing.assert_close(parts[0] + parts[1], whole, rtol=1e-12, atol=1e-12)
    for mine, expected in zip(drawn.gradients(parts[0] + parts[1]), drawn.gradients(whole), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-11)


@settings(deadline=None, max_examples=25)
@given(_drawn(), st.integers(0, 4), st.integers(0, 2))
def test_what_is_not_labelled_has_no_effect_at_all(drawn: _Drawn, image: int, attribute: int) -> None:
    """An image without any label, an attribute without any, and what stands in targets that are none."""
    mask = drawn.mask.clone()
    image %= len(mask)
    mask[image] = 0
    mask[:, attribute] = 0
    drawn = drawn._replace(mask=mask)
    tokens = drawn.tokens.clone().requires_grad_()
    total = drawn.total(tokens, drawn.soft)
    *gradients, of_tokens = drawn.gradients(total, tokens)
    assert not of_tokens[image].any()
    named = dict(zip([name for name, _ in drawn.head.named_parameters()], gradients, strict=False))
    name = SCHEMA.names[attribute]
    rows = [place for what, place in drawn.head.schema_rows(SCHEMA).items() if what.startswith(("weight", "bias"))]
    owners = [what.split(" of ")[1].split("/")[0] for what in drawn.head.schema_rows(SCHEMA) if "/" in what]
    for (parameter, row), owner in zip(rows, owners, strict=True):
        assert owner != name or not named[parameter][row].any()
    if drawn.loss.log_variances is not None:
        assert gradients[-1][attribute] == 0

    other, strange = drawn.tokens.clone(), drawn.soft.clone()
    other[image] = torch.randn_like(other[image]) * 100
    strange[mask.repeat_interleave(torch.tensor(SCHEMA.sizes), dim=1) == 0] = float("nan")
    again = drawn.total(other, strange)
    torch.testing.assert_close(again, total, rtol=1e-13, atol=0)
    for mine, expected in zip(drawn.gradients(again), gradients, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-11, atol=1e-13)
