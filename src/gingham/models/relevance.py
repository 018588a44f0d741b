"""Where in the grid of tokens a network finds an attribute: attention, or class activation."""

from typing import Literal, get_args

import torch
from torch import Tensor

from gingham.models.heads import LinearHead, Query2LabelHead
from gingham.models.network import Network

__all__ = ["WAYS", "Way", "relevance"]

Way = Literal["mean", "last", "rollout"]
"""How the layers of a Query2Label head become one map.

`mean` of the decoder layers; the `last` of them alone; or the mean after attention `rollout` through the encoder
(Abnar & Zuidema 2020, arXiv:2005.00928), where a token stands for what it has looked at itself.
"""

WAYS: tuple[Way, ...] = get_args(Way)


def relevance(network: Network, pixels: Tensor, classes: Tensor, way: Way = "mean") -> Tensor:
    """One map for each attribute, with weights from 0 that sum to 1 over the grid.

    Of a head with attention it is the cross-attention that the logits come from, averaged over heads (and over the
    queries that an attribute has), whatever the class. Of a linear head it is the class activation map: what each token
    adds to the class's logit, less what it adds to the attribute's logits on average (that moves them all alike, and no
    probability), as far as it speaks for the class; even, where no token does.

    Args:
        network: in eval mode.
        pixels: uint8 `[B, H, W, 3]`.
        classes: int64 `[B, K]`, the class of each attribute that is asked about.
        way: how layers become one map.

    Returns:
        float32 `[B, K, h, w]`.
    """
    tokens, grid = network.backbone.finish(network.features(pixels)), network.backbone.grid
    head = network.head
    if isinstance(head, LinearHead):
        maps = _activation(head, tokens, classes)
    elif isinstance(head, Query2LabelHead):
        maps = _attention(head, tokens, grid, way)
    else:
        maps = head.attention(tokens, grid).mean(dim=(0, 2))
    return maps.reshape(*maps.shape[:2], *grid).float()


def _attention(head: Query2LabelHead, tokens: Tensor, grid: tuple[int, int], way: Way) -> Tensor:
    layers = head.attention(tokens, grid).mean(dim=2)
    maps = layers[-1] if way == "last" else layers.mean(dim=0)
    if way == "rollout":
        for weights in reversed(head.encoder_attention(tokens, grid)):
            # Half of a token is what the residual branch around the attention leaves of it.
            maps = (maps + maps @ weights.mean(dim=1)) / 2
    return maps


def _activation(head: LinearHead, tokens: Tensor, classes: Tensor) -> Tensor:
    each = head.contributions(tokens)
    maps = []
    for k, own in enumerate(torch.split(each, head.sizes, dim=1)):
        chosen = own[torch.arange(len(own), device=own.device), classes[:, k]]
        speaks = (chosen - own.mean(dim=1)).clamp(min=0)
        total = speaks.sum(dim=1, keepdim=True)
        maps.append(torch.where(total > 0, speaks / total.clamp(min=1e-30), 1 / own.shape[2]))
    return torch.stack(maps, dim=1)
