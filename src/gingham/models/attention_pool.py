"""The attention-pooling probe: what an attribute is judged by is averaged where its own queries look."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from gingham.models.options import AttentionPoolOptions
from gingham.schema import AttributeSchema

__all__ = ["AttentionPoolHead"]


class AttentionPoolHead(nn.Module):
    """Attention pooling with learned queries (Set Transformer's PMA: Lee et al. 2019, arXiv:1810.00825), as a probe.

    It is the one cross-attention layer of the attentive probe of CAE (Chen et al. 2022, arXiv:2202.03026), with its
    matrices multiplied out as in the efficient probe of Psomas et al. (2025, arXiv:2506.10178). A query is no input but
    a parameter, and so is its product with the key matrix: one vector of D numbers a query and head, whose product with
    a token is that token's score. And the average of values is the value of the average: tokens are averaged first,
    and no token's own value or key is ever computed.

    For image tokens x_n after a LayerNorm, attribute k, its query q and head h, with s = `queries` and V = `values`:

        a_kqhn = softmax over n of s_kqh · x_n,    v_kqh = V_h Σ_n a_kqhn x_n,

    where V_h are the rows of V for this head. All v_kqh of an attribute, side by side, go into its linear layer. There
    is no position and no feed-forward network.

    Args:
        schema: says which attributes and classes there are.
        in_width: channels D of the backbone's tokens.
        options: the block `model.attention_pool:`.
    """

    def __init__(self, schema: AttributeSchema, in_width: int, options: AttentionPoolOptions) -> None:
        super().__init__()
        self.heads = options.heads
        self.norm = nn.LayerNorm(in_width)
        self.queries = nn.Parameter(torch.empty(len(schema), options.queries, options.heads, in_width))
        self.values = nn.Linear(in_width, options.width)
        self.dropout = nn.Dropout(options.dropout)
        self.classifiers = nn.ModuleList(nn.Linear(options.queries * options.width, size) for size in schema.sizes)
        nn.init.trunc_normal_(self.queries, std=0.02)
        nn.init.xavier_uniform_(self.values.weight)
        nn.init.zeros_(self.values.bias)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Logits `[B, ΣC]` of tokens `[B, N, D]`; where in the grid a token is does not matter."""
        normed = self.norm(tokens)
        attributes, queries, heads, width = self.queries.shape
        means = (self._weights(normed) @ normed).reshape(-1, attributes, queries, heads, width)
        # [heads, width / heads, D]: a head's part of the values.
        matrix = self.values.weight.reshape(heads, -1, width)
        pooled = torch.einsum("bkqhd,hcd->bkqhc", means, matrix).flatten(3) + self.values.bias
        pooled = self.dropout(pooled).flatten(2)
        return torch.cat([classify(pooled[:, k]) for k, classify in enumerate(self.classifiers)], dim=1)

    def attention(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Where each attribute looks: `[1, B, queries · heads, K, N]`, summing to 1 over the N tokens.

        The axes are those of `Query2LabelHead.attention`; this head is one layer.
        """
        weights = self._weights(self.norm(tokens))
        batch, maps, count = weights.shape
        attributes = len(self.classifiers)
        return weights.reshape(1, batch, attributes, maps // attributes, count).transpose(2, 3)

    @staticmethod
    def schema_rows(schema: AttributeSchema) -> dict[str, tuple[str, int]]:
        """What each row that belongs to an attribute or class is about -> (parameter, row); see `transfer`."""
        rows: dict[str, tuple[str, int]] = {}
        for k, attribute in enumerate(schema.attributes):
            rows[f"queries of {attribute.name}"] = ("queries", k)
            for c, label in enumerate(attribute.classes):
                rows[f"weight of {attribute.name}/{label}"] = (f"classifiers.{k}.weight", c)
                rows[f"bias of {attribute.name}/{label}"] = (f"classifiers.{k}.bias", c)
        return rows

    def _weights(self, normed: Tensor) -> Tensor:
        """Attention `[B, K · queries · heads, N]`."""
        return functional.linear(normed, self.queries.flatten(0, 2)).softmax(dim=1).transpose(1, 2)
