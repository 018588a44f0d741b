"""The Query2Label head, adapted to attributes: one learned query for each, decoded from the image tokens."""

import torch
from torch import Tensor, nn

from gingham.models.options import Query2LabelOptions
from gingham.models.position import SinePosition
from gingham.schema import AttributeSchema

__all__ = ["DecoderLayer", "EncoderLayer", "Query2LabelHead"]


class _FeedForward(nn.Module):
    """Linear, ReLU, dropout, Linear."""

    def __init__(self, options: Query2LabelOptions) -> None:
        super().__init__()
        self.widen = nn.Linear(options.width, options.ffn)
        self.dropout = nn.Dropout(options.dropout)
        self.narrow = nn.Linear(options.ffn, options.width)

    def forward(self, x: Tensor) -> Tensor:
        narrowed: Tensor = self.narrow(self.dropout(self.widen(x).relu()))
        return narrowed


class _PostNormLayer(nn.Module):
    """What both kinds of layers are made of: attention, then a feed-forward network; after each a norm."""

    def __init__(self, options: Query2LabelOptions) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(options.width, options.heads, options.dropout, batch_first=True)
        self.attention_norm = nn.LayerNorm(options.width)
        self.ffn = _FeedForward(options)
        self.ffn_norm = nn.LayerNorm(options.width)
        self.dropout = nn.Dropout(options.dropout)


class EncoderLayer(_PostNormLayer):
    """Post-norm Transformer encoder layer; the position is added to queries and keys, not to values."""

    def forward(self, tokens: Tensor, position: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """One layer.

        Args:
            tokens: `[B, N, d]`.
            position: `[N, d]`.
            need_weights: return the attention too, at the price of the fast implementation.

        Returns:
            The new tokens, and the attention `[B, heads, N, N]` if asked for.
        """
        placed = tokens + position
        attended, weights = self.attention(
            placed, placed, tokens, need_weights=need_weights, average_attn_weights=False
        )
        tokens = self.attention_norm(tokens + self.dropout(attended))
        encoded: Tensor = self.ffn_norm(tokens + self.dropout(self.ffn(tokens)))
        return encoded, weights


class DecoderLayer(_PostNormLayer):
    """Post-norm Transformer decoder layer; the queries see each other only if the options ask for self-attention.

    With it the layer is DETR's (Carion et al. 2020, arXiv:2005.12872, appendix "Detailed architecture"), which
    Query2Label took over: the queries are added to the state where it asks and is asked, not to values. In the first
    layer the state is zero, so that only biases come out of it.
    """

    def __init__(self, options: Query2LabelOptions) -> None:
        super().__init__(options)
        self.self_attention: nn.MultiheadAttention | None = None
        if options.self_attention:
            self.self_attention = nn.MultiheadAttention(options.width, options.heads, options.dropout, batch_first=True)
            self.self_attention_norm = nn.LayerNorm(options.width)

    def forward(
        self, state: Tensor | None, queries: Tensor, tokens: Tensor, placed: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """One layer.

        Args:
            state: `[B, K, d]`, what the layers before made of the queries; None, which means zero, before the first.
            queries: `[B, K, d]`, the learned queries.
            tokens: `[B, N, d]`, the encoded tokens: values.
            placed: the tokens with their positions added: keys.
            need_weights: return the attention too, at the price of the fast implementation.

        Returns:
            The new state, and the attention `[B, heads, K, N]` if asked for.
        """
        if self.self_attention is not None:
            state = self._among_queries(torch.zeros_like(queries) if state is None else state, queries)
        # Zeros are not added: inductor's freezing folds them away, and then mistakes the layout of what is left.
        asking = queries if state is None else state + queries
        attended, weights = self.attention(
            asking, placed, tokens, need_weights=need_weights, average_attn_weights=False
        )
        attended = self.dropout(attended)
        state = self.attention_norm(attended if state is None else state + attended)
        decoded: Tensor = self.ffn_norm(state + self.dropout(self.ffn(state)))
        return decoded, weights

    def _among_queries(self, state: Tensor, queries: Tensor) -> Tensor:
        assert self.self_attention is not None
        asking = state + queries
        attended, _ = self.self_attention(asking, asking, state, need_weights=False)
        among: Tensor = self.self_attention_norm(state + self.dropout(attended))
        return among


class Query2LabelHead(nn.Module):
    """Query2Label (Liu et al. 2021, arXiv:2107.10834) with one query and one classifier for each attribute.

    1x1 convolution to d channels, encoder layers, decoder layers over K learned queries (without self-attention, unless
    asked for), a final LayerNorm, and one linear layer `d -> C_k` for each attribute.

    Args:
        schema: says K and the C_k.
        in_width: channels D of the backbone's tokens.
        options: the block `model.query2label:`.
        grid: the usual grid of the tokens, if known; positions are kept ready for it.
    """

    def __init__(
        self,
        schema: AttributeSchema,
        in_width: int,
        options: Query2LabelOptions,
        *,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.position = SinePosition(options.width, grid)
        self.projection = nn.Conv2d(in_width, options.width, kernel_size=1)
        self.encoder = nn.ModuleList(EncoderLayer(options) for _ in range(options.encoder_layers))
        self.queries = nn.Parameter(torch.empty(len(schema), options.width))
        self.decoder = nn.ModuleList(DecoderLayer(options) for _ in range(options.decoder_layers))
        self.norm = nn.LayerNorm(options.width)
        self.classifiers = nn.ModuleList(nn.Linear(options.width, size) for size in schema.sizes)
        nn.init.normal_(self.queries)
        for stack in (self.encoder, self.decoder):
            for parameter in stack.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Logits `[B, ΣC]` of tokens `[B, N, D]` on a grid (h, w)."""
        encoded, placed, _ = self._encode(tokens, grid)
        state, _ = self._decode(encoded, placed)
        return self._classify(state)

    def with_attention(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What `forward` and `attention` give, computed at once."""
        encoded, placed, _ = self._encode(tokens, grid)
        state, maps = self._decode(encoded, placed, need_weights=True)
        return self._classify(state), torch.stack(maps)

    def attention(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Where each query looks: cross-attention `[layers, B, heads, K, N]`, summing to 1 over the N tokens.

        Call it in eval mode: in train mode dropout acts on the attention too.
        """
        encoded, placed, _ = self._encode(tokens, grid)
        _, maps = self._decode(encoded, placed, need_weights=True)
        return torch.stack(maps)

    def encoder_attention(self, tokens: Tensor, grid: tuple[int, int]) -> list[Tensor]:
        """Where each token looks before the queries do: `[B, heads, N, N]` of each encoder layer, rows summing to 1."""
        _, _, maps = self._encode(tokens, grid, need_weights=True)
        return maps

    @staticmethod
    def schema_rows(schema: AttributeSchema) -> dict[str, tuple[str, int]]:
        """What each row that belongs to an attribute or class is about -> (parameter, row); see `transfer`."""
        rows: dict[str, tuple[str, int]] = {}
        for k, attribute in enumerate(schema.attributes):
            rows[f"query of {attribute.name}"] = ("queries", k)
            for c, label in enumerate(attribute.classes):
                rows[f"weight of {attribute.name}/{label}"] = (f"classifiers.{k}.weight", c)
                rows[f"bias of {attribute.name}/{label}"] = (f"classifiers.{k}.bias", c)
        return rows

    def _classify(self, state: Tensor) -> Tensor:
        return torch.cat([classify(state[:, k]) for k, classify in enumerate(self.classifiers)], dim=1)

    def _encode(
        self, tokens: Tensor, grid: tuple[int, int], need_weights: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Encoded tokens `[B, N, d]`, without and with their positions, and the layers' attention if asked for."""
        image = tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)
        encoded = self.projection(image).flatten(2).transpose(1, 2)
        position = self.position(grid, encoded)
        maps: list[Tensor] = []
        for layer in self.encoder:
            encoded, weights = layer(encoded, position, need_weights)
            if weights is not None:
                maps.append(weights)
        return encoded, encoded + position, maps

    def _decode(self, tokens: Tensor, placed: Tensor, need_weights: bool = False) -> tuple[Tensor, list[Tensor]]:
        # `repeat`, as inductor's freezing fails on `expand`.
        queries = self.queries.unsqueeze(0).repeat(tokens.shape[0], 1, 1)
        state: Tensor | None = None
        maps: list[Tensor] = []
        for layer in self.decoder:
            state, weights = layer(state, queries, tokens, placed, need_weights)
            if weights is not None:
                maps.append(weights)
        decoded: Tensor = self.norm(state)
        return decoded, maps
