"""The network as the graph that is exported: pixels in; logits, probabilities and, if wanted, attention out."""

import torch
from torch import Tensor, nn

from gingham.errors import UserError
from gingham.models.heads import AttentionPoolHead, Query2LabelHead
from gingham.models.network import Network
from gingham.models.windows import windowed
from gingham.schema import AttributeSchema

__all__ = ["INPUT", "Graph"]

INPUT = "pixels"


class Graph(nn.Module):
    """A network that also says what its logits mean, so that no caller needs the schema to have probabilities.

    Input: `pixels`, uint8 `[N, H, W, 3]`, upright RGB. Outputs, in the order of `outputs`: `logits`, float32 `[N, ΣC]`;
    for each attribute `probability_<attribute>`, float32 `[N, C_k]`, the softmax of its logits, not calibrated; and,
    if asked for, `attention`, float32 `[N, layers, heads, K, cells]`, which sums to 1 over the cells (row by row).

    The network is set to evaluation mode, and a Swin in it gives way to a form that runtimes compute faster, with the
    same answers up to rounding (see `windows`): it is no longer one to be trained, nor has it its bundle's tensors.

    Args:
        network: becomes part of the graph.
        schema: what its logits mean.
        attention: give the attention maps too.

    Raises:
        UserError: attention is asked of a head that has none.
    """

    def __init__(self, network: Network, schema: AttributeSchema, *, attention: bool = False) -> None:
        super().__init__()
        head = network.head
        if attention and not isinstance(head, Query2LabelHead | AttentionPoolHead):
            raise UserError("--attention: the model's head has no attention; leave it out")
        network.requires_grad_(False).eval()
        swin = windowed(network.backbone.model) if network.backbone.maps == 1 else None
        if swin is not None:
            network.backbone.exchange(swin)
        self.network = network
        self.attention = attention
        self.slices = [(part.start, part.stop) for part in schema.slices]
        self.outputs = ("logits", *(f"probability_{name}" for name in schema.names), *["attention"] * attention)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a batch of images."""
        network, head = self.network, self.network.head
        maps: list[Tensor] = []
        tokens = network.backbone.finish(network.features(pixels))
        if self.attention and isinstance(head, Query2LabelHead):
            logits, attention = head.with_attention(tokens, network.backbone.grid)
            maps.append(attention.transpose(0, 1).to(torch.float32))
        else:
            logits = head(tokens, network.backbone.grid)
            if self.attention and isinstance(head, AttentionPoolHead):
                maps.append(head.attention(tokens, network.backbone.grid).transpose(0, 1).to(torch.float32))
        logits = logits.to(torch.float32)
        probabilities = [logits[:, start:stop].softmax(dim=1) for start, stop in self.slices]
        return (logits, *probabilities, *maps)
