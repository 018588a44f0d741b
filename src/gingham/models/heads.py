"""From tokens to logits."""

from collections.abc import Callable

from torch import Tensor, nn

from gingham.models.attention_pool import AttentionPoolHead
from gingham.models.options import LinearOptions, ModelOptions
from gingham.models.query2label import Query2LabelHead
from gingham.schema import AttributeSchema

__all__ = ["HEADS", "AttentionPoolHead", "Head", "LinearHead", "Query2LabelHead", "build_head"]


class LinearHead(nn.Module):
    """Global average pooling, dropout, and one linear layer for all attributes.

    Args:
        schema: says how many logits there are.
        in_width: channels D of the backbone's tokens.
        options: the block `model.linear:`.
    """

    def __init__(self, schema: AttributeSchema, in_width: int, options: LinearOptions) -> None:
        super().__init__()
        self.sizes = list(schema.sizes)
        self.dropout = nn.Dropout(options.dropout)
        self.classifier = nn.Linear(in_width, schema.total)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Logits `[B, ΣC]` of tokens `[B, N, D]`; the grid does not matter to an average."""
        logits: Tensor = self.classifier(self.dropout(tokens.mean(dim=1)))
        return logits

    def contributions(self, tokens: Tensor) -> Tensor:
        """What each token adds to each logit: `[B, ΣC, N]`; over the tokens they sum to the logit less its bias.

        Class activation maps (Zhou et al. 2016, arXiv:1512.04150, eq. 2), over N: exact, since the logit is linear in
        the average. In eval mode; dropout has no part in it.
        """
        return self.classifier.weight @ tokens.transpose(1, 2) / tokens.shape[1]

    @staticmethod
    def schema_rows(schema: AttributeSchema) -> dict[str, tuple[str, int]]:
        """What each row that belongs to a class is about -> (parameter, row); see `transfer`."""
        rows: dict[str, tuple[str, int]] = {}
        for row, column in enumerate(schema.columns):
            rows[f"weight of {column}"] = ("classifier.weight", row)
            rows[f"bias of {column}"] = ("classifier.bias", row)
        return rows


Head = Query2LabelHead | AttentionPoolHead | LinearHead

Grid = tuple[int, int]

HEADS: dict[str, Callable[[ModelOptions, int, AttributeSchema, Grid | None], Head]] = {
    "query2label": lambda options, width, schema, grid: Query2LabelHead(schema, width, options.query2label, grid=grid),
    "attention_pool": lambda options, width, schema, grid: AttentionPoolHead(schema, width, options.attention_pool),
    "linear": lambda options, width, schema, grid: LinearHead(schema, width, options.linear),
}
"""Name in the recipe -> what builds the head."""


def build_head(options: ModelOptions, in_width: int, schema: AttributeSchema, grid: Grid | None = None) -> Head:
    """Build the head that `options.head` names, freshly initialised.

    Args:
        options: the block `model:`.
        in_width: channels D of the backbone's tokens.
        schema: what the logits mean.
        grid: (h, w) of the backbone's tokens, if known; any other works too.
    """
    return HEADS[options.head](options, in_width, schema, grid)
