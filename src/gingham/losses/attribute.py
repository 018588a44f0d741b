"""The loss of a recipe over a batch: linear in the target, with a denominator that the caller sums globally.

For every attribute k: `loss_k = Σ_n m_nk Σ_c w_c t_nkc l_c(z_nk) / D_k` with `D_k = Σ_n m_nk Σ_c w_c t_nkc` over the
whole global batch. A batch may then be split over processes and accumulation steps in any way, and mixed targets,
smoothing and missing labels need no case of their own. For hard targets it is what `F.cross_entropy` computes with
class weights; for soft ones that function divides by N instead, and so rescales the loss.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gingham.errors import SchemaError
from gingham.losses.functions import LOSSES
from gingham.losses.options import LossOptions
from gingham.losses.targets import smooth
from gingham.losses.weights import attribute_weights, class_weights, rare_as_the_rarest
from gingham.schema import AttributeSchema

__all__ = ["AttributeLoss", "LossValue"]


class LossValue(NamedTuple):
    """What a loss returns.

    Attributes:
        total: scalar, the sum of the attributes' losses: what to differentiate.
        per_attribute: `[K]`, detached: what to show.
    """

    total: Tensor
    per_attribute: Tensor


class AttributeLoss(nn.Module):
    """The loss of a recipe, for one schema and the class counts of one training set.

    Usage, with the targets of the global batch in `soft` and `mask`, and its parts `i` in turn:

        denominators = loss.denominators(soft, mask, epoch)
        for i in parts:
            loss(network(pixels[i]), soft[i], mask[i], denominators, epoch).total.backward()

    The total is `Σ_k a_k loss_k`. With `attribute_weights: learned` it is `Σ_k exp(-s_k) loss_k + s_k / 2` instead,
    over the attributes that have a label in the global batch, where `s_k = log σ_k²` is the loss's own parameter, from
    0 (Kendall, Gal & Cipolla 2018, eq. 10, the term of a classification). That is `exp(-s_k) l_c + s_k / 2` in place of
    `l_c`: linear in the target too, so that the parts of a batch add up. It may fall below 0.

    Args:
        options: the block `loss:`.
        schema: what the logits mean.
        counts: int64 `[ΣC]`, training images of each class.
        dtype: of the class weights; float64 in tests of precision only.

    Raises:
        SchemaError: the counts do not fit the schema.
        RecipeError: a weight is of no attribute or class of the schema, or all weights of an attribute are 0.
    """

    weights: Tensor
    counts: Tensor
    importance: Tensor
    column_owner: Tensor

    def __init__(
        self,
        options: LossOptions,
        schema: AttributeSchema,
        counts: Tensor | npt.NDArray[np.int64],
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.options = options
        self.schema = schema
        weights = class_weights(counts, schema, options.class_weights, beta=options.beta, dtype=dtype)
        for name, tensor in (
            ("weights", weights),
            ("counts", rare_as_the_rarest(counts, schema, dtype=dtype)),
            ("importance", attribute_weights(options.attribute_weights, schema, dtype=dtype)),
            ("column_owner", torch.repeat_interleave(torch.arange(len(schema)), torch.tensor(schema.sizes))),
        ):
            self.register_buffer(name, tensor, persistent=False)
        learned = options.attribute_weights == "learned"
        self.log_variances = nn.Parameter(torch.zeros(len(schema), dtype=dtype)) if learned else None

    def denominators(self, soft: Tensor, mask: Tensor, epoch: int) -> Tensor:
        """D_k `[K]`: the summed weight of the targets `[B, ΣC]` with mask `[B, K]`; sums over parts of a batch.

        Args:
            soft: `[B, ΣC]`, before smoothing, which is applied here.
            mask: `[B, K]`, 0 where not labelled.
            epoch: from 0.
        """
        return self._by_attribute(self._targets(soft, mask), mask, epoch)

    def forward(self, logits: Tensor, soft: Tensor, mask: Tensor, denominators: Tensor, epoch: int) -> LossValue:
        """The part of the global batch's loss that these images contribute.

        An attribute with D_k = 0 (nothing labelled, or only classes of weight 0) contributes exactly 0. What stands in
        logits and targets where the mask is 0 has no effect, not even if it is not a number.

        Args:
            logits: `[B, ΣC]`.
            soft: `[B, ΣC]`, before smoothing, which is applied here.
            mask: `[B, K]`, 0 where not labelled.
            denominators: `[K]`, of the global batch.
            epoch: from 0.

        Raises:
            SchemaError: the logits do not fit the schema.
        """
        if logits.dim() != 2 or logits.shape[1] != self.schema.total:
            raise SchemaError(f"logits have shape {tuple(logits.shape)}, expected [B, {self.schema.total}]")
        # Not after the loss: there, 0 times a gradient that is not a number is not one either.
        losses = LOSSES[self.options.name](self._labelled(logits, mask), self.schema, self.options, self.counts)
        targets = self._targets(soft, mask).to(losses.dtype)
        mask = mask.to(losses.dtype)
        summed = self._by_attribute(targets * losses, mask, epoch)
        if self.log_variances is None:
            summed = self.importance.to(losses.dtype) * summed
        else:
            s = self.log_variances.to(losses.dtype)
            summed = torch.exp(-s) * summed + s / 2 * self._by_attribute(targets, mask, epoch)
        known = denominators.to(losses.dtype)
        per_attribute = summed / torch.where(known > 0, known, torch.ones_like(known))
        return LossValue(per_attribute.sum(), per_attribute.detach())

    def __call__(self, *args: Any, **kwargs: Any) -> LossValue:
        """As `forward`; here for its type."""
        value: LossValue = super().__call__(*args, **kwargs)
        return value

    def _targets(self, soft: Tensor, mask: Tensor) -> Tensor:
        return smooth(self._labelled(soft, mask), self.options.label_smoothing, self.schema)

    def _labelled(self, values: Tensor, mask: Tensor) -> Tensor:
        """The values `[B, ΣC]`, with 0 for every attribute that is not labelled."""
        labelled = (mask != 0).index_select(1, self.column_owner.to(mask.device))
        return torch.where(labelled, values, 0.0)

    def _by_attribute(self, values: Tensor, mask: Tensor, epoch: int) -> Tensor:
        """`Σ_n m_nk Σ_c w_c v_nkc`: values `[B, ΣC]` and mask `[B, K]` to `[K]`, with the weights of an epoch."""
        deferred = self.options.deferred_from is not None and epoch + 1 < self.options.deferred_from
        weighted = values if deferred else values * self.weights.to(values.dtype)
        parts = torch.split_with_sizes(weighted, self.schema.sizes, dim=1)
        per_image = torch.stack([part.sum(dim=1) for part in parts], dim=1)
        return (per_image * mask).sum(dim=0)
