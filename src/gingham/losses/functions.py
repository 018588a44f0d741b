"""The losses proper: what each class would cost if it were the target."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from gingham.schema import AttributeSchema

if TYPE_CHECKING:
    from gingham.losses.options import LossOptions

__all__ = ["LOSSES", "balanced_softmax", "cross_entropy", "focal", "generalised_cross_entropy", "ldam"]


def cross_entropy(logits: Tensor, schema: AttributeSchema, options: "LossOptions", counts: Tensor) -> Tensor:
    """Cross-entropy: `-log p_c`, where p is the softmax within the attribute (Bishop 2006, eq. 4.108).

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: none of them matters here.
        counts: these neither.

    Returns:
        `[B, ΣC]`.
    """
    parts = torch.split_with_sizes(_precise(logits), schema.sizes, dim=1)
    return -torch.cat([functional.log_softmax(part, dim=1) for part in parts], dim=1)


def focal(logits: Tensor, schema: AttributeSchema, options: "LossOptions", counts: Tensor) -> Tensor:
    """The focal loss: `-α (1 - p_c)^γ log p_c` (Lin et al. 2017, eq. 5; with α = 1, eq. 4).

    p_c is the softmax within the attribute, without class weights; these multiply the result, and are what an α of
    each class would be.

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: `gamma`, `alpha`.
        counts: they don't matter here.

    Returns:
        `[B, ΣC]`.
    """
    losses = cross_entropy(logits, schema, options, counts)
    # 1 - p = -expm1(log p), exact also where p is nearly 1. Its power has no finite slope at 0 for γ < 1.
    missing = (-torch.expm1(-losses)).clamp_min(torch.finfo(losses.dtype).tiny)
    return options.alpha * missing.pow(options.gamma) * losses


def balanced_softmax(logits: Tensor, schema: AttributeSchema, options: "LossOptions", counts: Tensor) -> Tensor:
    """Logit adjustment: cross-entropy of `z + τ log π` with the classes' frequencies π.

    It is the logit adjusted softmax cross-entropy of Menon et al. (2021, arXiv:2007.07314). With τ = 1 it is the
    balanced softmax of Ren et al. (2020, arXiv:2007.10740): the logits learn what speaks for a class besides its
    frequency, and predict as if all classes were equally frequent.

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: `tau`.
        counts: `[ΣC]`, training images of each class, none of them 0.

    Returns:
        `[B, ΣC]`.
    """
    precise = _precise(logits)
    # log π is log counts less a number that an attribute's classes share: the softmax does not see it.
    return cross_entropy(precise + options.tau * counts.to(precise.dtype).log(), schema, options, counts)


def ldam(logits: Tensor, schema: AttributeSchema, options: "LossOptions", counts: Tensor) -> Tensor:
    """Label-distribution-aware margin: cross-entropy with the target's own logit lowered by Δ_c (Cao et al. 2019).

    `-log(e^(z_c - Δ_c) / (e^(z_c - Δ_c) + Σ_{j≠c} e^(z_j)))` with `Δ_c = margin · (n_min / n_c)^¼` (section 3.2, the
    LDAM loss in its cross-entropy form; their C is chosen so that the rarest class has the largest margin, as here).
    Their classifier is normalised and its logits scaled by 30; ours is linear, and the margin is in its own logits.

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: `margin`.
        counts: `[ΣC]`, training images of each class, none of them 0.

    Returns:
        `[B, ΣC]`.
    """
    precise, known = _precise(logits), counts.to(logits.device)

    def within(part: slice) -> Tensor:
        n = known[part].to(precise.dtype)
        margins = options.margin * (n.min() / n).pow(0.25)
        # [B, C, C]: row c has the logits as they are when c is the target.
        lowered = precise[:, None, part] - torch.diag(margins)
        return -functional.log_softmax(lowered, dim=2).diagonal(dim1=1, dim2=2)

    return torch.cat([within(part) for part in schema.slices], dim=1)


def generalised_cross_entropy(
    logits: Tensor, schema: AttributeSchema, options: "LossOptions", counts: Tensor
) -> Tensor:
    """Generalised cross-entropy: `(1 - p_c^q) / q` (Zhang & Sabuncu 2018, arXiv:1805.07836: L_q).

    A label that the model finds unlikely pulls less than in cross-entropy, which is its limit for q → 0; with q = 1 it
    is half of the mean absolute error, which noise in the labels hardly moves.

    Args:
        logits: `[B, ΣC]`; half precision is taken to float32 first.
        schema: where the attributes are.
        options: `q`.
        counts: they don't matter here.

    Returns:
        `[B, ΣC]`.
    """
    return -torch.expm1(-options.q * cross_entropy(logits, schema, options, counts)) / options.q


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


LOSSES: dict[str, Callable[[Tensor, AttributeSchema, "LossOptions", Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "balanced_softmax": balanced_softmax,
    "ldam": ldam,
    "generalised_cross_entropy": generalised_cross_entropy,
}
"""Name in the recipe -> function from logits `[B, ΣC]` to per-class losses `[B, ΣC]`."""
