"""One map of an attribute: what attention, rollout and class activation come to, in plain NumPy."""

import numpy as np
import pytest
import torch
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from gingham.models.backbone import Backbone
from gingham.models.heads import AttentionPoolHead, Head, LinearHead, Query2LabelHead
from gingham.models.network import Network
from gingham.models.options import AttentionPoolOptions, LinearOptions, Query2LabelOptions
from gingham.models.relevance import relevance
from gingham.schema import AttributeSchema

SIZE, GRID = 24, (3, 3)


class Patches(nn.Module):
    """Tokens that are means of 8 x 8 pixels, mixed to 6 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 6, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.mix(nn.functional.avg_pool2d(images, 8))
        return mixed


def network_of(head: Head) -> Network:
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return Network(Backbone(Patches(), SIZE), head, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval()


def pixels_of(count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8)


def classes_of(network: Network, pixels: torch.Tensor, schema: AttributeSchema) -> torch.Tensor:
    return torch.stack([own.argmax(dim=1) for own in network(pixels).split(list(schema.sizes), dim=1)], dim=1)


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: np.ndarray = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def asked(attention: nn.MultiheadAttention, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Attention `[heads, Q, N]` of one image, from the matrices."""
    width, heads = queries.shape[1], attention.num_heads
    matrix, bias = attention.in_proj_weight.numpy(), attention.in_proj_bias.numpy()
    q = (queries @ matrix[:width].T + bias[:width]).reshape(len(queries), heads, -1)
    k = (keys @ matrix[width : 2 * width].T + bias[width : 2 * width]).reshape(len(keys), heads, -1)
    return softmax(np.einsum("qhc,nhc->hqn", q, k) / np.sqrt(q.shape[2]))


@torch.no_grad()
def test_attention_of_one_decoder_layer_by_hand(schema: AttributeSchema) -> None:
    """The first layer's state is zero: scores are the queries' products with tokens and positions, and no more."""
    options = Query2LabelOptions(width=8, ffn=16, heads=2, encoder_layers=0, decoder_layers=1)
    head = Query2LabelHead(schema, 6, options)
    network = network_of(head)
    pixels = pixels_of()
    tokens = network.backbone(((pixels - network.mean) / network.std).permute(0, 3, 1, 2)).numpy()
    kernel = head.projection.weight[:, :, 0, 0].numpy()
    position = head.position(GRID, head.queries).numpy()
    maps = relevance(network, pixels, classes_of(network, pixels, schema))
    assert maps.shape == (2, len(schema), *GRID)
    for image in range(2):
        keys = tokens[image] @ kernel.T + head.projection.bias.numpy() + position
        expected = asked(head.decoder[0].attention, head.queries.numpy(), keys).mean(axis=0)
        np.testing.assert_allclose(maps[image].flatten(1).numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_layers_are_averaged_or_rolled_out(schema: AttributeSchema) -> None:
    options = Query2LabelOptions(width=8, ffn=16, heads=2, encoder_layers=2, decoder_layers=2)
    head = Query2LabelHead(schema, 6, options)
    network = network_of(head)
    pixels = pixels_of()
    classes = classes_of(network, pixels, schema)
    tokens = network.features(pixels)
    first, last = head.attention(tokens, GRID).mean(dim=2).numpy()
    found = {way: relevance(network, pixels, classes, way).flatten(2).numpy() for way in ("mean", "last", "rollout")}
    np.testing.assert_allclose(found["mean"], (first + last) / 2, atol=1e-6)
    np.testing.assert_allclose(found["last"], last, atol=1e-6)

    # The encoder's attention from its own matrices, layer by layer.
    position = head.position(GRID, head.queries)
    encoded = head.projection(tokens.transpose(1, 2).unflatten(2, GRID)).flatten(2).transpose(1, 2)
    for image in range(2):
        rolled = np.eye(9)
        state = encoded[image : image + 1]
        for number, layer in enumerate(head.encoder):
            placed = (state + position)[0].numpy()
            weights = asked(layer.attention, placed, placed)
            np.testing.assert_allclose(head.encoder_attention(tokens, GRID)[number][image], weights, atol=1e-5)
            rolled = (np.eye(9) + weights.mean(axis=0)) / 2 @ rolled
            state, _ = layer(state, position)
        np.testing.assert_allclose(found["rollout"][image], (first + last)[image] / 2 @ rolled, atol=1e-5)
    for maps in found.values():
        np.testing.assert_allclose(maps.sum(axis=2), 1, atol=1e-5)


@torch.no_grad()
def test_asking_for_attention_changes_no_logit(schema: AttributeSchema) -> None:
    """The attention is that of the computation which the logits come from."""
    options = Query2LabelOptions(width=8, ffn=16, heads=2, encoder_layers=1, decoder_layers=2)
    head = Query2LabelHead(schema, 6, options).double().eval()
    tokens = torch.randn(2, 9, 6, dtype=torch.float64)
    encoded, placed, _ = head._encode(tokens, GRID, need_weights=True)
    state, _ = head._decode(encoded, placed, need_weights=True)
    logits = torch.cat([classify(state[:, k]) for k, classify in enumerate(head.classifiers)], dim=1)
    assert torch.allclose(logits, head(tokens, GRID), rtol=0, atol=1e-12)


@torch.no_grad()
def test_attention_pooling_is_averaged_over_its_queries(schema: AttributeSchema) -> None:
    head = AttentionPoolHead(schema, 6, AttentionPoolOptions(queries=3, width=8, heads=2))
    network = network_of(head)
    pixels = pixels_of()
    maps = relevance(network, pixels, classes_of(network, pixels, schema))
    tokens = network.features(pixels)
    normed = head.norm(tokens).numpy()
    scores = np.einsum("bnd,kqhd->bkqhn", normed, head.queries.numpy())
    np.testing.assert_allclose(maps.flatten(2).numpy(), softmax(scores).mean(axis=(2, 3)), atol=1e-5)


@torch.no_grad()
def test_contributions_sum_to_the_logit_less_its_bias(schema: AttributeSchema) -> None:
    head = LinearHead(schema, 6, LinearOptions(dropout=0.5)).double().eval()
    tokens = torch.randn(3, 9, 6, dtype=torch.float64)
    each = head.contributions(tokens)
    assert each.shape == (3, schema.total, 9)
    expected = head(tokens, GRID) - head.classifier.bias
    assert torch.allclose(each.sum(dim=2), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_class_activation_is_what_speaks_for_the_class(schema: AttributeSchema) -> None:
    head = LinearHead(schema, 6, LinearOptions())
    network = network_of(head)
    pixels = pixels_of()
    classes = classes_of(network, pixels, schema)
    maps = relevance(network, pixels, classes).flatten(2).numpy()
    tokens, weights = network.features(pixels).numpy(), head.classifier.weight.numpy()
    for image in range(2):
        for k, part in enumerate(schema.slices):
            own = weights[part]
            speaks = np.maximum(tokens[image] @ (own[classes[image, k]] - own.mean(axis=0)), 0)
            np.testing.assert_allclose(maps[image, k], speaks / speaks.sum(), atol=1e-5)
    # What moves all logits of an attribute alike moves no probability, and no map.
    head.classifier.weight[schema.slices[0]] += torch.randn(6)
    np.testing.assert_allclose(relevance(network, pixels, classes).flatten(2), maps, atol=1e-4)


@torch.no_grad()
def test_where_nothing_speaks_for_a_class_the_map_is_even(schema: AttributeSchema) -> None:
    head = LinearHead(schema, 6, LinearOptions())
    network = network_of(head)
    head.classifier.weight.zero_()
    pixels = pixels_of(1)
    maps = relevance(network, pixels, torch.zeros(1, len(schema), dtype=torch.int64))
    np.testing.assert_allclose(maps, 1 / 9, rtol=1e-6)


@pytest.mark.parametrize("kind", ["query2label", "linear", "attention_pool"])
@torch.no_grad()
def test_swin_tokens_lie_row_by_row(schema: AttributeSchema, kind: str) -> None:
    """Its maps have their channels last; a head sees them as it sees all others."""
    swin = SwinTransformer(
        img_size=64, window_size=2, embed_dim=8, depths=(1, 1), num_heads=(1, 1), num_classes=0, global_pool=""
    )
    backbone = Backbone(swin, 64)
    heads: dict[str, Head] = {
        "query2label": Query2LabelHead(schema, backbone.width, Query2LabelOptions(width=8, ffn=16, heads=2)),
        "attention_pool": AttentionPoolHead(schema, backbone.width, AttentionPoolOptions(width=8, heads=2)),
        "linear": LinearHead(schema, backbone.width, LinearOptions()),
    }
    network = Network(backbone, heads[kind], (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).eval()
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    classes = classes_of(network, pixels, schema)
    maps = relevance(network, pixels, classes)
    assert maps.shape == (2, len(schema), *backbone.grid)
    np.testing.assert_allclose(maps.sum(dim=(2, 3)), 1, atol=1e-5)
    if kind == "linear":
        features = swin.forward_features(((pixels - network.mean) / network.std).permute(0, 3, 1, 2))
        own = network.head.classifier.weight[schema.slices[0]]
        speaks = (features[0] @ (own[classes[0, 0]] - own.mean(dim=0))).clamp(min=0)
        np.testing.assert_allclose(maps[0, 0], speaks / speaks.sum(), atol=1e-5)
