"""Targets at the loss boundary: distributions `[B, ΣC]` with a mask `[B, K]`."""

import torch
from torch import Tensor

from gingham.errors import SchemaError
from gingham.schema import UNLABELLED, AttributeSchema

__all__ = ["smooth", "soft_targets"]


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
