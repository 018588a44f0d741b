"""What a forward pass costs, without running one."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gingham.models.dry_run import dry_run
from gingham.models.network import Network

__all__ = ["feature_flops", "forward_flops"]


def forward_flops(network: Network) -> int:
    """Floating point operations of one image's forward pass: two for each multiplication with addition.

    Counts matrix products, convolutions and attention, as these are nearly all of it.

    Args:
        network: on any device, the meta device too; its numbers are not used.
    """
    return _count(network, network)


def feature_flops(network: Network) -> int:
    """Of `forward_flops`, those of the features that a cache may keep."""
    return _count(network, network.features)


def _count(network: Network, function: Callable[[Tensor], Tensor]) -> int:
    height, width = network.backbone.image_size
    with FlopCounterMode(display=False) as counter:
        dry_run(network, function, torch.zeros(1, height, width, 3, dtype=torch.uint8, device="meta"))
    return int(counter.get_total_flops())
