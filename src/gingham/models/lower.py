"""A network in bfloat16, but for its first stages if need be."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gingham.errors import RecipeError
from gingham.models.network import Network
from gingham.models.stages import modules_of, split_stages, stage_count

__all__ = ["lower", "stages_to_keep"]


def stages_to_keep(network: Network) -> int:
    """How many of its backbone's first stages `lower` can keep in float32; 0 where it is not known how to cut it."""
    return max(0, stage_count(network.backbone.model) - 1)


def lower(network: Network, float_stages: int = 0) -> Network:
    """Let a network compute in bfloat16, in place.

    What the first stages round away, all others miss: of small convolutional networks they cost most of the answers.

    Args:
        network: in float32, with its weights or without.
        float_stages: so many of the backbone's first stages, and what precedes them, stay in float32.

    Raises:
        RecipeError: the backbone has not so many stages, or cannot be cut.
    """
    if not float_stages:
        return network.to(torch.bfloat16)
    backbone = network.backbone
    if not 0 < float_stages <= stages_to_keep(network):
        raise RecipeError(
            f"of '{backbone.name}', 0 to {stages_to_keep(network)} first stages can stay in float32, not {float_stages}"
        )
    cut = stage_count(backbone.model) - float_stages
    first, rest = (modules_of(backbone.model, steps) for steps in split_stages(backbone.model, cut, backbone.name))
    weights = {name: {key: value.clone() for key, value in part.state_dict().items()} for name, part in first.items()}
    # Of a ViT, a class token and positions, which are added before the first stage.
    loose = {name: value.detach().clone() for name, value in backbone.model.named_parameters(recurse=False)}
    network.to(torch.bfloat16)
    for name, value in loose.items():
        backbone.model.get_parameter(name).data = value
    for name, part in first.items():
        part.float().load_state_dict(weights[name])
        part.register_forward_pre_hook(partial(_cast, dtype=torch.float32))
    for part in (*rest.values(), network.head):
        part.register_forward_pre_hook(partial(_cast, dtype=torch.bfloat16))
    return network


def _cast(module: nn.Module, inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(one.to(dtype) if isinstance(one, Tensor) and one.is_floating_point() else one for one in inputs)
