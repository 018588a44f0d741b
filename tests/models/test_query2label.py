"""The head against a plain NumPy reference, written from the paper and the design, in float64."""

import shutil
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from gingham.models.options import Query2LabelOptions
from gingham.models.query2label import DecoderLayer, Query2LabelHead
from gingham.schema import AttributeSchema

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]


def linear(x: Array, weights: Weights, name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def layer_norm(x: Array, weights: Weights, name: str) -> Array:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attend(queries: Array, keys: Array, values: Array, weights: Weights, name: str, heads: int) -> tuple[Array, Array]:
    """Attention of one image, head by head: `[Q, d]`, and the maps `[heads, Q, N]`."""
    width = queries.shape[1]
    size = width // heads
    into, bias = weights[f"{name}.in_proj_weight"], weights[f"{name}.in_proj_bias"]
    q = queries @ into[:width].T + bias[:width]
    k = keys @ into[width : 2 * width].T + bias[width : 2 * width]
    v = values @ into[2 * width :].T + bias[2 * width :]
    outputs, maps = [], []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / np.sqrt(size)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        share = scores / scores.sum(axis=1, keepdims=True)
        maps.append(share)
        outputs.append(share @ v[:, part])
    return linear(np.concatenate(outputs, axis=1), weights, f"{name}.out_proj"), np.stack(maps)


def feed_forward(x: Array, weights: Weights, name: str) -> Array:
    return linear(np.maximum(linear(x, weights, f"{name}.widen"), 0.0), weights, f"{name}.narrow")


def positions(grid: tuple[int, int], width: int) -> Array:
    encoded = np.zeros((grid[0] * grid[1], width))
    half = width // 2
    for y in range(grid[0]):
        for x in range(grid[1]):
            for start, place, length in ((0, y, grid[0]), (half, x, grid[1])):
                for i in range(half):
                    angle = (place + 1) / (length + 1e-6) * 2 * np.pi / 10000 ** (2 * (i // 2) / half)
                    encoded[y * grid[1] + x, start + i] = np.sin(angle) if i % 2 == 0 else np.cos(angle)
    return encoded


def reference(
    tokens: Array, grid: tuple[int, int], weights: Weights, options: Query2LabelOptions, attributes: int
) -> dict[str, Array]:
    """Every intermediate result of one image's tokens `[N, D]`."""
    results: dict[str, Array] = {}
    kernel = weights["projection.weight"][:, :, 0, 0]
    x = tokens @ kernel.T + weights["projection.bias"]
    position = positions(grid, options.width)
    results["projection"] = x
    for i in range(options.encoder_layers):
        name = f"encoder.{i}"
        attended, _ = attend(x + position, x + position, x, weights, f"{name}.attention", options.heads)
        x = layer_norm(x + attended, weights, f"{name}.attention_norm")
        x = layer_norm(x + feed_forward(x, weights, f"{name}.ffn"), weights, f"{name}.ffn_norm")
        results[name] = x
    queries = weights["queries"]
    state = np.zeros_like(queries)
    for i in range(options.decoder_layers):
        name = f"decoder.{i}"
        if options.self_attention:
            among, _ = attend(state + queries, state + queries, state, weights, f"{name}.self_attention", options.heads)
            state = layer_norm(state + among, weights, f"{name}.self_attention_norm")
        attended, maps = attend(state + queries, x + position, x, weights, f"{name}.attention", options.heads)
        state = layer_norm(state + attended, weights, f"{name}.attention_norm")
        state = layer_norm(state + feed_forward(state, weights, f"{name}.ffn"), weights, f"{name}.ffn_norm")
        results[name], results[f"map.{i}"] = state, maps
    state = layer_norm(state, weights, "norm")
    results["norm"] = state
    results["logits"] = np.concatenate([linear(state[k], weights, f"classifiers.{k}") for k in range(attributes)])
    return results


def make_head(schema: AttributeSchema, options: Query2LabelOptions, in_width: int) -> Query2LabelHead:
    head = Query2LabelHead(schema, in_width, options, grid=(3, 5)).double().eval()
    with torch.no_grad():
        # Fresh biases are zero and fresh norms identities: they would hide a missing one.
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return head


def weights_of(head: Query2LabelHead) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in head.state_dict().items()}


def intermediate(head: Query2LabelHead, tokens: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found[name] = output if isinstance(output, Tensor) else output[0]

        return hook

    names = {"projection", "norm"} | {f"encoder.{i}" for i in range(len(head.encoder))}
    names |= {f"decoder.{i}" for i in range(len(head.decoder))}
    handles = [head.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    found["logits"] = head(tokens, grid)
    for handle in handles:
        handle.remove()
    found["projection"] = found["projection"].flatten(2).transpose(1, 2)
    return found


@pytest.mark.parametrize("grid", [(3, 5), (4, 4), (6, 1)])
@pytest.mark.parametrize(("encoder_layers", "decoder_layers"), [(1, 2), (0, 1), (2, 3)])
@pytest.mark.parametrize("self_attention", [False, True])
@torch.no_grad()
def test_every_layer_equals_the_reference(
    schema: AttributeSchema, grid: tuple[int, int], encoder_layers: int, decoder_layers: int, self_attention: bool
) -> None:
    options = Query2LabelOptions(
        width=16,
        ffn=40,
        heads=4,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        self_attention=self_attention,
    )
    head = make_head(schema, options, 10)
    tokens = torch.randn(2, grid[0] * grid[1], 10, dtype=torch.float64)
    found = intermediate(head, tokens, grid)
    maps = head.attention(tokens, grid)
    for image in range(2):
        expected = reference(tokens[image].numpy(), grid, weights_of(head), options, len(schema))
        for name in found:
            np.testing.assert_allclose(found[name][image].numpy(), expected[name], rtol=0, atol=1e-10, err_msg=name)
        for i in range(decoder_layers):
            np.testing.assert_allclose(maps[i, image].numpy(), expected[f"map.{i}"], rtol=0, atol=1e-10)


@torch.no_grad()
def test_permuting_the_attributes_permutes_the_logits(schema: AttributeSchema) -> None:
    options = Query2LabelOptions(width=16, ffn=32, heads=2)
    head = make_head(schema, options, 6)
    order = [2, 0, 1]
    other_schema = AttributeSchema(tuple(schema.attributes[k] for k in order))
    other = Query2LabelHead(other_schema, 6, options).double().eval()
    state = head.state_dict()
    state["queries"] = state["queries"][order]
    for name in ("weight", "bias"):
        for k, source in enumerate(order):
            state[f"classifiers.{k}.{name}"] = head.state_dict()[f"classifiers.{source}.{name}"]
    other.load_state_dict(state)
    tokens = torch.randn(3, 15, 6, dtype=torch.float64)
    logits, permuted = head(tokens, (3, 5)), other(tokens, (3, 5))
    for k, source in enumerate(order):
        # Not bit for bit: a matrix product may sum the rows at the edge of its blocks in another order.
        expected = logits[:, schema.slices[source]]
        assert torch.allclose(permuted[:, other_schema.slices[k]], expected, rtol=0, atol=1e-13)


@torch.no_grad()
def test_attention_sums_to_one_and_makes_the_decoder_output(schema: AttributeSchema) -> None:
    options = Query2LabelOptions(width=16, ffn=32, heads=4, decoder_layers=1, encoder_layers=0)
    head = make_head(schema, options, 6)
    tokens = torch.randn(2, 15, 6, dtype=torch.float64)
    maps = head.attention(tokens, (3, 5))
    assert maps.shape == (1, 2, 4, len(schema), 15)
    assert torch.allclose(maps.sum(dim=-1), torch.ones(1, 2, 4, len(schema), dtype=torch.float64), atol=1e-12)
    assert (maps >= 0).all()

    # Values weighted by the maps, then the rest of the layer: the state that the classifiers see.
    layer = head.decoder[0]
    values = head.projection(tokens.transpose(1, 2).unflatten(2, (3, 5))).flatten(2).transpose(1, 2)
    values = values @ layer.attention.in_proj_weight[32:].T + layer.attention.in_proj_bias[32:]
    mixed = torch.einsum("bhkn,bnhc->bkhc", maps[0], values.unflatten(2, (4, 4))).flatten(2)
    state = layer.attention_norm(layer.attention.out_proj(mixed))
    state = head.norm(layer.ffn_norm(state + layer.ffn(state)))
    logits = torch.cat([classify(state[:, k]) for k, classify in enumerate(head.classifiers)], dim=1)
    assert torch.allclose(logits, head(tokens, (3, 5)), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_grid_kept_ready_and_another_one_give_the_same(schema: AttributeSchema) -> None:
    options = Query2LabelOptions(width=16, ffn=32, heads=2)
    ready = Query2LabelHead(schema, 6, options, grid=(2, 4)).eval()
    other = Query2LabelHead(schema, 6, options).eval()
    other.load_state_dict(ready.state_dict())
    tokens = torch.randn(2, 8, 6)
    assert torch.equal(ready(tokens, (2, 4)), other(tokens, (2, 4)))
    assert not torch.equal(ready(tokens, (2, 4)), ready(tokens, (4, 2)))


def test_initialisation(schema: AttributeSchema) -> None:
    head = Query2LabelHead(schema, 6, Query2LabelOptions(width=128, ffn=256, heads=4))
    assert head.queries.std().item() == pytest.approx(1.0, abs=0.15)
    for layer in (head.encoder[0], head.decoder[1]):
        # Xavier-uniform: bound sqrt(6 / (fan in + fan out)), in_proj being one 3d x d matrix.
        for matrix in (layer.attention.in_proj_weight, layer.attention.out_proj.weight, layer.ffn.widen.weight):
            bound = (6 / sum(matrix.shape)) ** 0.5
            assert bound * 0.99 < matrix.abs().max().item() <= bound
        assert not layer.attention.in_proj_bias.any()


def test_with_self_attention_the_layer_is_that_of_pytorch() -> None:
    """Which has no positions: added to what asks and is asked they are zero here."""
    options = Query2LabelOptions(width=16, ffn=24, heads=4, dropout=0.0, self_attention=True)
    mine = DecoderLayer(options).double().eval()
    theirs = nn.TransformerDecoderLayer(16, 4, 24, dropout=0.0, batch_first=True).double().eval()
    names = {
        "self_attention.": "self_attn.",
        "self_attention_norm.": "norm1.",
        "attention.": "multihead_attn.",
        "attention_norm.": "norm2.",
        "ffn.widen.": "linear1.",
        "ffn.narrow.": "linear2.",
        "ffn_norm.": "norm3.",
    }
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs_state = theirs.state_dict()
    mine.load_state_dict(
        {
            name: theirs_state[other + name.removeprefix(prefix)]
            for name in mine.state_dict()
            for prefix, other in names.items()
            if name.startswith(prefix)
        }
    )
    state, tokens = torch.randn(2, 3, 16, dtype=torch.float64), torch.randn(2, 5, 16, dtype=torch.float64)
    found, _ = mine(state, torch.zeros_like(state), tokens, tokens)
    assert torch.allclose(found, theirs(state, tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_attributes_see_each_other_through_self_attention_only(schema: AttributeSchema, layers: int) -> None:
    """From the second decoder layer on: in the first the state is zero."""
    for self_attention in (False, True):
        options = Query2LabelOptions(
            width=16, ffn=32, heads=2, decoder_layers=layers, self_attention=self_attention, dropout=0.0
        )
        head = make_head(schema, options, 6)
        head(torch.randn(2, 6, 6, dtype=torch.float64), (2, 3))[:, schema.slices[0]].square().sum().backward()
        assert head.queries.grad is not None
        taught = [bool((row.abs() > 1e-12).any()) for row in head.queries.grad]
        assert taught == [True] + [self_attention and layers > 1] * (len(schema) - 1)


def test_self_attention_adds_an_attention_and_a_norm_to_each_decoder_layer(schema: AttributeSchema) -> None:
    plain, more = (
        Query2LabelHead(schema, 6, Query2LabelOptions(width=16, ffn=32, heads=2, self_attention=on)).state_dict()
        for on in (False, True)
    )
    added = sum(tensor.numel() for name, tensor in more.items() if name not in plain)
    assert added == 2 * (4 * 16 * 16 + 4 * 16 + 2 * 16)
    assert plain.keys() < more.keys()


@pytest.mark.parametrize("self_attention", [False, True])
def test_every_parameter_learns(schema: AttributeSchema, self_attention: bool) -> None:
    head = Query2LabelHead(schema, 6, Query2LabelOptions(width=16, ffn=32, heads=2, self_attention=self_attention))
    head(torch.randn(2, 6, 6), (2, 3)).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.long
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_it_can_be_compiled_with_frozen_weights(schema: AttributeSchema) -> None:
    head = Query2LabelHead(schema, 6, Query2LabelOptions(width=16, ffn=32, heads=2), grid=(2, 3)).eval()
    tokens = torch.randn(4, 6, 6)
    with torch._inductor.config.patch(freezing=True):
        compiled = torch.compile(head)
        assert torch.allclose(compiled(tokens, (2, 3)), head(tokens, (2, 3)), atol=1e-5)
