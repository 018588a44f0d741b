"""The graph that is exported, still in PyTorch."""

import pytest
import torch

from gingham.errors import UserError
from gingham.models.graph import Graph
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from tests import tiny

PIXELS = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def network(head: str, size: int = 64, **options: object) -> Network:
    torch.manual_seed(0)
    model = ModelOptions.parse({**tiny.MODEL.model_dump(), "head": head, **options})
    return build_network(model, tiny.SCHEMA, image_size=size, mean=tiny.MEAN, std=tiny.STD).eval()


@pytest.mark.parametrize("head", ["query2label", "attention_pool", "linear"])
@torch.no_grad()
def test_logits_and_probabilities(head: str) -> None:
    plain = network(head)
    wanted = plain(PIXELS)
    graph = Graph(plain, tiny.SCHEMA)
    logits, *probabilities = graph(PIXELS)
    assert graph.outputs == ("logits", *(f"probability_{name}" for name in tiny.SCHEMA.names))
    torch.testing.assert_close(logits, wanted, atol=1e-6, rtol=0)
    assert [part.shape for part in probabilities] == [(3, size) for size in tiny.SCHEMA.sizes]
    for part, cut in zip(probabilities, tiny.SCHEMA.slices, strict=True):
        torch.testing.assert_close(part, wanted[:, cut].softmax(dim=1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("head", "layers", "heads"), [("query2label", 2, 2), ("attention_pool", 1, 6)])
@torch.no_grad()
def test_attention_is_the_heads(head: str, layers: int, heads: int) -> None:
    options = {
        "query2label": {"width": 16, "ffn": 32, "heads": 2, "decoder_layers": 2},
        "attention_pool": {"queries": 2, "heads": 3, "width": 12},
    }
    plain = network(head, **options)
    wanted = plain(PIXELS)
    tokens = plain.backbone.finish(plain.features(PIXELS))
    maps = plain.head.attention(tokens, plain.backbone.grid)  # type: ignore[union-attr,operator]
    graph = Graph(plain, tiny.SCHEMA, attention=True)
    outputs = graph(PIXELS)
    assert graph.outputs[-1] == "attention"
    torch.testing.assert_close(outputs[0], wanted, atol=1e-6, rtol=0)
    assert outputs[-1].shape == (3, layers, heads, len(tiny.SCHEMA), 4)
    torch.testing.assert_close(outputs[-1], maps.transpose(0, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(outputs[-1].sum(dim=-1), torch.ones(3, layers, heads, 6))


def test_a_head_without_attention_is_refused() -> None:
    with pytest.raises(UserError, match="no attention"):
        Graph(network("linear"), tiny.SCHEMA, attention=True)


@pytest.mark.parametrize("options", [{}, {"frozen": True, "unfrozen_stages": 1}])
@torch.no_grad()
def test_a_swin_gives_way_to_one_in_window_order(options: dict[str, object]) -> None:
    """Whether it is trained as a whole or only its last stages."""
    plain = network("query2label", 224, backbone="swin_tiny_patch4_window7_224", **options)
    pixels = PIXELS[:2].repeat_interleave(4, dim=1)[:, :224].repeat_interleave(4, dim=2)[:, :, :224]
    wanted = plain(pixels)
    graph = Graph(plain, tiny.SCHEMA)
    assert type(graph.network.backbone.model).__name__ == "WindowedSwin"
    torch.testing.assert_close(graph(pixels)[0], wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_several_maps_are_left_as_they_are() -> None:
    plain = network("linear", maps=2)
    wanted = plain(PIXELS)
    assert torch.equal(Graph(plain, tiny.SCHEMA)(PIXELS)[0], wanted)
