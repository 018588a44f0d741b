"""What a forward pass costs, without running one."""

import torch
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from gingham.models.network import Network

__all__ = ["forward_flops"]


def forward_flops(network: Network) -> int:
    """Floating point operations of one image's forward pass: two for each multiplication with addition.

    Counts matrix products, convolutions and attention, as these are nearly all of it.

    Args:
        network: on any device, the meta device too; its numbers are not used.
    """
    height, width = network.backbone.image_size
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    empty = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    pixels = torch.zeros(1, height, width, 3, dtype=torch.uint8, device="meta")
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            functional_call(network, empty, (pixels,))
    finally:
        network.train(training)
    return int(counter.get_total_flops())
