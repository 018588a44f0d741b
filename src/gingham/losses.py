"""Losses over soft targets, linear in the target, with a denominator that the caller sums globally.

For every attribute k: `loss_k = Σ_n m_nk Σ_c w_c t_nkc l_c(z_nk) / D_k` with `D_k = Σ_n m_nk Σ_c w_c t_nkc` over the
whole global batch. A batch may then be split over processes and accumulation steps in any way, and mixed targets,
smoothing and missing labels need no case of their own. For hard targets it is what `F.cross_entropy` computes with
class weights; for soft ones that function divides by N instead, and so rescales the loss.
"""

import difflib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from gingham.errors import SchemaError
from gingham.options import Options
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = [
    "LOSSES",
    "AttributeLoss",
    "LossOptions",
    "LossValue",
    "class_weights",
    "cross_entropy",
    "focal",
    "smooth",
    "soft_targets",
]


class LossOptions(Options):
    """The recipe block `loss:`.

    Attributes:
        name: one of `LOSSES`.
        gamma: of `focal`, its focusing parameter; 0 makes it cross-entropy.
        class_weights: `inverse` to the number of training images, so that each class counts alike; or `none`.
        label_smoothing: share of each target that is spread evenly over the attribute's classes.
    """

    name: str = "cross_entropy"
    gamma: float = Field(default=2.0, ge=0.0)
    class_weights: Literal["none", "inverse"] = "inverse"
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)

    @field_validator("name")
    @classmethod
    def _name_is_known(cls, name: str) -> str:
        if name not in LOSSES:
            near = difflib.get_close_matches(name, LOSSES, n=1, cutoff=0.4)
            raise ValueError(f"no such loss; did you mean '{near[0]}'?" if near else f"there are {', '.join(LOSSES)}")
        return name


def soft_targets(
    targets: Tensor, schema: AttributeSchema, *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Integer targets as distributions.

    Args:
        targets: int64 `[B, K]`, -1 = not labelled.
        schema: what the targets mean.
        dtype: of the result.

    Returns:
        (soft `[B, ΣC]`, mask `[B, K]`): a one at each target; 1 where labelled. Rows of an attribute without a label
        are 0 throughout.

    Raises:
        SchemaError: wrong shape, or a target that is no class of its attribute.
    """
    if targets.dim() != 2 or targets.shape[1] != len(schema):
        raise SchemaError(f"targets have shape {tuple(targets.shape)}, expected [B, {len(schema)}]")
    sizes = torch.tensor(schema.sizes, device=targets.device)
    wrong = (targets < UNLABELLED) | (targets >= sizes)
    if bool(wrong.any()):
        row, k = (int(index) for index in wrong.nonzero()[0])
        attribute = schema.attributes[k]
        raise SchemaError(
            f"attribute '{attribute.name}': target {int(targets[row, k])} is not in -1..{len(attribute) - 1}"
        )
    labelled = targets != UNLABELLED
    starts = torch.tensor([part.start for part in schema.slices], device=targets.device)
    soft = torch.zeros(targets.shape[0], schema.total, dtype=dtype, device=targets.device)
    # An unlabelled attribute writes its 0 into its first class, which no other attribute shares.
    soft.scatter_(1, targets.clamp(min=0) + starts, labelled.to(dtype))
    return soft, labelled.to(dtype)


def smooth(soft: Tensor, epsilon: float, schema: AttributeSchema) -> Tensor:
    """Label smoothing (Szegedy et al. 2016, section 7) within each attribute: `(1 - ε) t + ε Σt / C_k`.

    `Σt` is 1 for a labelled attribute and 0 for another, so this is linear and leaves rows of zeros alone.

    Args:
        soft: `[B, ΣC]`.
        epsilon: share that is spread evenly.
        schema: where the attributes are.
    """
    if epsilon == 0:
        return soft
    spread = [soft[:, part].sum(dim=1, keepdim=True).expand(-1, part.stop - part.start) for part in schema.slices]
    sizes = soft.new_tensor([float(size) for size in schema.sizes for _ in range(size)])
    return (1 - epsilon) * soft + epsilon * torch.cat(spread, dim=1) / sizes


def class_weights(
    counts: Tensor | npt.NDArray[np.int64],
    schema: AttributeSchema,
    mode: Literal["none", "inverse"],
    *,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights of the classes, float `[ΣC]`, on the CPU.

    `inverse`: in proportion to 1 / count and with mean 1 over an attribute's classes that have training images. A class
    without any gets the weight 0: nothing is known of how much it should count, so it is left out of the loss.
    `none`: 1 throughout.

    Args:
        counts: int64 `[ΣC]`, training images of each class.
        schema: where the attributes are.
        mode: as in the recipe.
        dtype: of the result; computed in float64.

    Raises:
        SchemaError: wrong length, or a negative count.
    """
    known = torch.as_tensor(counts).to("cpu", torch.float64)
    if known.shape != (schema.total,):
        raise SchemaError(f"class counts have shape {tuple(known.shape)}, expected ({schema.total},)")
    if bool((known < 0).any()):
        raise SchemaError(f"class counts: '{schema.columns[int(known.argmin())]}' has a negative count")
    if mode == "none":
        return torch.ones(schema.total, dtype=dtype)
    weights = torch.zeros_like(known)
    for part in schema.slices:
        present = known[part] > 0
        if bool(present.any()):
            inverse = 1 / known[part][present]
            weights[part][present] = inverse / inverse.mean()
    return weights.to(dtype)


def cross_entropy(logits: Tensor, schema: AttributeSchema, options: LossOptions) -> Tensor:
    """The loss that each class would have if it were the target: `-log softmax_c` within its attribute.

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: none of them matters here.

    Returns:
        `[B, ΣC]`.
    """
    precise = logits if logits.dtype == torch.float64 else logits.float()
    return torch.cat([-functional.log_softmax(precise[:, part], dim=1) for part in schema.slices], dim=1)


def focal(logits: Tensor, schema: AttributeSchema, options: LossOptions) -> Tensor:
    """The focal loss of each class if it were the target: `-(1 - p_c)^γ log p_c` (Lin et al. 2017, eq. 4).

    p_c is the softmax within the attribute, without class weights; these multiply the result (eq. 5's α).

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: `gamma`.

    Returns:
        `[B, ΣC]`.
    """
    losses = cross_entropy(logits, schema, options)
    # 1 - p = -expm1(log p), exact also where p is nearly 1. Its power has no finite slope at 0 for γ < 1.
    missing = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny)
    return missing.pow(options.gamma) * losses


LOSSES: dict[str, Callable[[Tensor, AttributeSchema, LossOptions], Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
}
"""Name in the recipe -> function from logits `[B, ΣC]` to per-class losses `[B, ΣC]`."""


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

        denominators = loss.denominators(soft, mask)
        for i in parts:
            loss(network(pixels[i]), soft[i], mask[i], denominators).total.backward()

    Args:
        options: the block `loss:`.
        schema: what the logits mean.
        counts: int64 `[ΣC]`, training images of each class.
        dtype: of the class weights; float64 in tests of precision only.

    Raises:
        SchemaError: the counts do not fit the schema.
    """

    weights: Tensor

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
        self.register_buffer(
            "weights", class_weights(counts, schema, options.class_weights, dtype=dtype), persistent=False
        )

    def denominators(self, soft: Tensor, mask: Tensor) -> Tensor:
        """D_k `[K]`: the summed weight of the targets `[B, ΣC]` with mask `[B, K]`; sums over parts of a batch."""
        return self._by_attribute(smooth(soft, self.options.label_smoothing, self.schema), mask)

    def forward(self, logits: Tensor, soft: Tensor, mask: Tensor, denominators: Tensor) -> LossValue:
        """The part of the global batch's loss that these images contribute.

        An attribute with D_k = 0 (nothing labelled, or only classes of weight 0) contributes exactly 0.

        Args:
            logits: `[B, ΣC]`.
            soft: `[B, ΣC]`, before smoothing, which is applied here.
            mask: `[B, K]`.
            denominators: `[K]`, of the global batch.

        Raises:
            SchemaError: the logits do not fit the schema.
        """
        if logits.dim() != 2 or logits.shape[1] != self.schema.total:
            raise SchemaError(f"logits have shape {tuple(logits.shape)}, expected [B, {self.schema.total}]")
        losses = LOSSES[self.options.name](logits, self.schema, self.options)
        targets = smooth(soft, self.options.label_smoothing, self.schema).to(losses.dtype)
        summed = self._by_attribute(targets * losses, mask.to(losses.dtype))
        known = denominators.to(losses.dtype)
        per_attribute = summed / torch.where(known > 0, known, torch.ones_like(known))
        return LossValue(per_attribute.sum(), per_attribute.detach())

    def __call__(self, *args: Any, **kwargs: Any) -> LossValue:
        """As `forward`; here for its type."""
        value: LossValue = super().__call__(*args, **kwargs)
        return value

    def _by_attribute(self, values: Tensor, mask: Tensor) -> Tensor:
        """`Σ_n m_nk Σ_c w_c v_nkc`: values `[B, ΣC]` and mask `[B, K]` to `[K]`."""
        weighted = values * self.weights.to(values.dtype)
        per_image = torch.stack([weighted[:, part].sum(dim=1) for part in self.schema.slices], dim=1)
        return (per_image * mask).sum(dim=0)
