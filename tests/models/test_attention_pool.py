"""The attention-pooling head against a plain NumPy reference and cases by hand, in float64."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gingham.models.attention_pool import AttentionPoolHead
from gingham.models.options import AttentionPoolOptions
from gingham.schema import AttributeSchema

Array = npt.NDArray[np.float64]


def make_head(schema: AttributeSchema, width: int = 12, in_width: int = 5, **options: float) -> AttentionPoolHead:
    values = {"queries": 3, "heads": 4, "dropout": 0.0, "width": width, **options}
    head = AttentionPoolHead(schema, in_width, AttentionPoolOptions.parse(values)).double().eval()
    with torch.no_grad():
        # Fresh biases are zero, norms identities and queries almost: they would hide a missing one.
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    return head


def reference(head: AttentionPoolHead, tokens: Array) -> tuple[Array, Array]:
    """Logits `[ΣC]` and attention `[queries · heads, K, N]` of one image, with a key and a value for each token."""
    weights = {name: tensor.numpy() for name, tensor in head.state_dict().items()}
    mean, variance = tokens.mean(axis=1, keepdims=True), tokens.var(axis=1, keepdims=True)
    x = (tokens - mean) / np.sqrt(variance + 1e-5) * weights["norm.weight"] + weights["norm.bias"]
    values = x @ weights["values.weight"].T + weights["values.bias"]
    attributes, queries, heads, _ = weights["queries"].shape
    size = values.shape[1] // heads
    logits, maps = [], np.zeros((queries * heads, attributes, len(tokens)))
    for k in range(attributes):
        found: list[float] = []
        for q in range(queries):
            for h in range(heads):
                scores = np.array([weights["queries"][k, q, h] @ token for token in x])
                share = np.exp(scores - scores.max())
                share /= share.sum()
                maps[q * heads + h, k] = share
                found += (share @ values[:, h * size : (h + 1) * size]).tolist()
        logits.append(np.array(found) @ weights[f"classifiers.{k}.weight"].T + weights[f"classifiers.{k}.bias"])
    return np.concatenate(logits), maps


@pytest.mark.parametrize(("queries", "heads"), [(1, 1), (3, 4), (2, 1), (1, 12)])
@torch.no_grad()
def test_logits_and_attention_equal_the_reference(schema: AttributeSchema, queries: int, heads: int) -> None:
    head = make_head(schema, queries=queries, heads=heads)
    tokens = torch.randn(3, 8, 5, dtype=torch.float64) * 3
    logits, maps = head(tokens, (2, 4)), head.attention(tokens, (2, 4))
    assert logits.shape == (3, schema.total)
    assert maps.shape == (1, 3, queries * heads, len(schema), 8)
    assert torch.allclose(maps.sum(dim=-1), torch.ones((), dtype=torch.float64), atol=1e-12)
    for image in range(3):
        expected, attention = reference(head, tokens[image].numpy())
        np.testing.assert_allclose(logits[image].numpy(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(maps[0, image].numpy(), attention, rtol=0, atol=1e-12)


@torch.no_grad()
def test_it_is_multihead_attention_with_the_matrices_multiplied_out(schema: AttributeSchema) -> None:
    """The layer of the literature, with any query and key matrix, is this one: PyTorch's computes the same."""
    head = make_head(schema, queries=2, heads=3, width=6, in_width=6)
    layer = torch.nn.MultiheadAttention(6, 3, batch_first=True).double()
    layer.in_proj_bias.normal_()
    layer.out_proj.weight.copy_(torch.eye(6))
    layer.out_proj.bias.zero_()
    learned = torch.randn(len(schema), 2, 6, dtype=torch.float64)
    into, bias = layer.in_proj_weight, layer.in_proj_bias
    asked = (learned @ into[:6].T + bias[:6]).reshape(len(schema), 2, 3, 2) / 2**0.5
    head.queries.copy_(torch.einsum("kqhc,hcd->kqhd", asked, into[6:12].reshape(3, 2, 6)))
    head.values.weight.copy_(into[12:])
    head.values.bias.copy_(bias[12:])
    tokens = torch.randn(2, 8, 6, dtype=torch.float64)
    x = head.norm(tokens)
    pooled, _ = layer(learned.flatten(0, 1).expand(2, -1, -1), x, x)
    pooled = pooled.reshape(2, len(schema), 12)
    expected = torch.cat([classify(pooled[:, k]) for k, classify in enumerate(head.classifiers)], dim=1)
    assert torch.allclose(head(tokens, (2, 4)), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_without_preference_it_is_average_pooling(schema: AttributeSchema) -> None:
    head = make_head(schema, queries=1, heads=1, width=5)
    head.queries.zero_()
    head.values.weight.copy_(torch.eye(5))
    head.values.bias.zero_()
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    mean = head.norm(tokens).mean(dim=1)
    expected = torch.cat([classify(mean) for classify in head.classifiers], dim=1)
    assert torch.allclose(head(tokens, (2, 3)), expected, rtol=0, atol=1e-12)
    assert torch.allclose(head.attention(tokens, (2, 3)), torch.full((), 1 / 6, dtype=torch.float64))


@torch.no_grad()
def test_a_query_finds_its_token(schema: AttributeSchema) -> None:
    """By hand: token 2 is the only one with a large first channel, and the first attribute's query asks for it."""
    head = make_head(schema, queries=1, heads=1, width=5)
    head.norm.reset_parameters()
    head.queries[0] = torch.tensor([50.0, 0, 0, 0, 0])
    tokens = torch.randn(1, 6, 5, dtype=torch.float64) * 0.1
    tokens[0, 2, 0] += 4
    assert head.attention(tokens, (2, 3))[0, 0, 0, 0].argmax() == 2
    other = tokens.clone()
    other[0, [0, 1, 3, 4, 5], 1:] += 0.2 * torch.randn(5, 4, dtype=torch.float64)
    part = schema.slices[0]
    assert torch.allclose(head(tokens, (2, 3))[:, part], head(other, (2, 3))[:, part], rtol=0, atol=1e-6)


@torch.no_grad()
def test_neither_the_order_of_tokens_nor_the_grid_matters(schema: AttributeSchema) -> None:
    head = make_head(schema)
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    shuffled = tokens[:, torch.randperm(6)]
    assert torch.allclose(head(tokens, (2, 3)), head(shuffled, (3, 2)), rtol=0, atol=1e-12)


def test_an_attribute_teaches_its_own_queries_only(schema: AttributeSchema) -> None:
    head = make_head(schema)
    part = schema.slices[1]
    head(torch.randn(2, 6, 5, dtype=torch.float64), (2, 3))[:, part].square().sum().backward()
    assert head.queries.grad is not None
    assert [bool(row.any()) for row in head.queries.grad] == [k == 1 for k in range(len(schema))]
    for shared in (head.norm.weight, head.norm.bias, head.values.weight, head.values.bias):
        assert shared.grad is not None
        assert shared.grad.any()


def test_dropout_acts_in_training_only(schema: AttributeSchema) -> None:
    head = make_head(schema, dropout=0.5)
    tokens = torch.randn(2, 6, 5, dtype=torch.float64)
    assert torch.equal(head(tokens, (2, 3)), head(tokens, (2, 3)))
    head.train()
    assert not torch.equal(head(tokens, (2, 3)), head(tokens, (2, 3)))
