"""Swin as runtimes compute it faster: tokens in the order of their windows, what is constant computed beforehand."""

from typing import Any

import torch
from timm.models.swin_transformer import PatchMerging, SwinTransformer
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["WindowedSwin", "windowed"]


def windowed(model: nn.Module) -> "WindowedSwin | None":
    """The same network in window order, or None if it is no Swin or its grids are not whole windows."""
    if not isinstance(model, SwinTransformer):
        return None
    stages: Any = model.layers
    for stage in stages:
        for block in stage.blocks:
            sides = zip(block.input_resolution, block.window_size, strict=True)
            if block.dynamic_mask or any(side % window for side, window in sides):
                return None
        if isinstance(stage.downsample, PatchMerging) and any(side % 2 for side in stage.input_resolution):
            return None
    return WindowedSwin(model)


class WindowedSwin(nn.Module):
    """Tokens `[B, N, D]`, row by row, of normalised images: those of a timm Swin in evaluation mode, up to rounding.

    What differs is how they are computed:

    - All but attention acts on each token alone, so the tokens' order does not matter to it. They are kept in the order
      of the windows, and put into another by one lookup of rows where the windows are shifted, shifted back, or
      merged; timm rolls, cuts, transposes and glues the map in each block.
    - The bias of relative positions and the mask of shifted windows are one table for each block, added once.
    - Scale and shift of a LayerNorm, and the factor 1/√d of the queries, are multiplied into the matrix that follows.

    Args:
        model: shares its tensors with what is built, where they are not multiplied.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patch_embed = model.patch_embed
        self.norm = model.norm
        order = _rows(model.layers[0].blocks[0].input_resolution)
        parts: list[nn.Module] = []
        for stage in model.layers:
            grid = stage.blocks[0].input_resolution
            if isinstance(stage.downsample, PatchMerging):
                target = _order(stage.blocks[0])
                parts.append(_Merge(stage.downsample, _merging(order, stage.input_resolution, target)))
                order = target
            for block in stage.blocks:
                target = _order(block)
                parts.append(_Block(block, _between(order, target)))
                order = target
        self.parts = nn.Sequential(*parts)
        self.last = _Reorder(_between(order, _rows(grid)))

    def forward(self, images: Tensor) -> Tensor:
        """Tokens `[B, N, D]` of normalised images, float `[B, 3, H, W]`."""
        tokens: Tensor = self.norm(self.last(self.parts(self.patch_embed(images).flatten(1, 2))))
        return tokens


class _Reorder(nn.Module):
    """Puts tokens `[B, N, D]` into another order; None = they are in it."""

    index: Tensor | None

    def __init__(self, index: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("index", index, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens if self.index is None else tokens.index_select(1, self.index)


class _Merge(nn.Module):
    """PatchMerging: the four tokens of each cell of the coarser grid side by side, normalised, and mapped to fewer."""

    def __init__(self, merging: Any, index: Tensor) -> None:
        super().__init__()
        self.reorder = _Reorder(index)
        self.norm = merging.norm
        self.reduction = _after(merging.norm, merging.reduction)
        self.width = 4 * merging.dim

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.reorder(tokens)
        merged: Tensor = self.reduction(_normal(tokens.reshape(tokens.shape[0], -1, self.width), self.norm))
        return merged


class _Block(nn.Module):
    """A block: attention within windows and a feed-forward network, each after a norm and beside a shortcut."""

    table: Tensor

    def __init__(self, block: Any, index: Tensor | None) -> None:
        super().__init__()
        attention = block.attn
        self.reorder = _Reorder(index)
        self.norm1, self.norm2, self.heads = block.norm1, block.norm2, attention.num_heads
        self.area = attention.window_area
        rows = attention.qkv.out_features // 3
        whole = _after(block.norm1, attention.qkv)
        self.query, self.key, self.value = (_part(whole, k * rows, rows) for k in range(3))
        self.query.weight.mul_(attention.scale)
        self.query.bias.mul_(attention.scale)
        self.proj = attention.proj
        self.widen, self.activation, self.narrow = _after(block.norm2, block.mlp.fc1), block.mlp.act, block.mlp.fc2
        # [1, heads, area, area], or where windows have masks [1, windows · heads, area, area]
        table = attention._get_rel_pos_bias()
        self.windows = 0 if block.attn_mask is None else len(block.attn_mask)
        if block.attn_mask is not None:
            table = (table + block.attn_mask[:, None]).flatten(0, 1).unsqueeze(0)
        self.register_buffer("table", table.detach().contiguous(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.reorder(tokens)
        tokens = tokens + self._attended(_normal(tokens, self.norm1))
        changed: Tensor = self.narrow(self.activation(self.widen(_normal(tokens, self.norm2))))
        return tokens + changed

    def _attended(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        query, key, value = (self._by_head(layer(tokens)) for layer in (self.query, self.key, self.value))
        mixed = (query @ key.transpose(-2, -1) + self.table).softmax(dim=-1) @ value
        if self.windows:
            mixed = mixed.reshape(batch, self.windows, self.heads, *mixed.shape[2:])
        attended: Tensor = self.proj(mixed.transpose(-3, -2).reshape(batch, count, -1))
        return attended

    def _by_head(self, tokens: Tensor) -> Tensor:
        """`[B · windows, heads, area, d]`, or `[B, windows · heads, area, d]` where each window has a mask of its own.

        With four axes in either case: OpenVINO makes one operation of an attention only then.
        """
        width = tokens.shape[2] // self.heads
        if self.windows:
            return tokens.reshape(-1, self.windows, self.area, self.heads, width).transpose(2, 3).flatten(1, 2)
        return tokens.reshape(-1, self.area, self.heads, width).transpose(1, 2)


def _normal(tokens: Tensor, norm: nn.LayerNorm) -> Tensor:
    """A LayerNorm without its scale and shift."""
    return functional.layer_norm(tokens, norm.normalized_shape, eps=norm.eps)


@torch.no_grad()
def _after(norm: nn.LayerNorm, linear: nn.Linear) -> nn.Linear:
    """The linear layer with scale and shift of the norm before it multiplied in."""
    folded = nn.Linear(linear.in_features, linear.out_features, device=linear.weight.device, dtype=linear.weight.dtype)
    folded.weight.copy_(linear.weight * norm.weight)
    shift = (linear.weight.double() @ norm.bias.double()).to(linear.weight.dtype)
    folded.bias.copy_(shift if linear.bias is None else linear.bias + shift)
    return folded.requires_grad_(False)


@torch.no_grad()
def _part(linear: nn.Linear, first: int, rows: int) -> nn.Linear:
    """Some of the outputs of a linear layer."""
    part = nn.Linear(linear.in_features, rows, device=linear.weight.device, dtype=linear.weight.dtype)
    part.weight.copy_(linear.weight[first : first + rows])
    part.bias.copy_(linear.bias[first : first + rows])
    return part.requires_grad_(False)


def _rows(grid: tuple[int, int]) -> Tensor:
    """The numbers of a grid's cells, counted row by row, in this order."""
    return torch.arange(grid[0] * grid[1])


def _order(block: Any) -> Tensor:
    """The numbers of the cells in the order in which a block's windows have them."""
    (height, width), (tall, wide) = block.input_resolution, block.window_size
    cells = _rows((height, width)).reshape(height, width)
    if any(block.shift_size):
        cells = cells.roll((-block.shift_size[0], -block.shift_size[1]), (0, 1))
    return cells.reshape(height // tall, tall, width // wide, wide).transpose(1, 2).flatten()


def _between(order: Tensor, target: Tensor) -> Tensor | None:
    """For each place of `target`, where in `order` its cell is; None if they are the same."""
    return None if torch.equal(order, target) else order.argsort()[target]


def _merging(order: Tensor, grid: tuple[int, int], target: Tensor) -> Tensor:
    """Where in `order` the four cells of each cell of a grid half as fine are; these in the order `target`.

    PatchMerging has the four by columns: (0, 0), (1, 0), (0, 1), (1, 1) as (row, column).
    """
    height, width = grid
    four = _rows(grid).reshape(height // 2, 2, width // 2, 2).permute(0, 2, 3, 1).reshape(-1, 4)
    return order.argsort()[four[target].flatten()]
