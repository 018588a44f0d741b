"""The sine encoding of positions in a grid."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["TEMPERATURE", "SinePosition", "sine_encoding"]

TEMPERATURE = 10000.0


def sine_encoding(grid: tuple[int, int], width: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """2-D sine position encoding `[h·w, width]`, row by row, as in DETR (Carion et al. 2020, appendix A.4).

    Rows count 1..h and columns 1..w, both scaled so that the last is at 2π ("normalised"), so one encoding serves
    grids of any size. The first half of the channels encodes the row, the second half the column; within a half, the
    channels 2i and 2i+1 are sine and cosine of position / 10000^(2i / (width / 2)).

    Args:
        grid: (h, w).
        width: channels; a multiple of 4.
        dtype: of the result; computed in float32 at least.
        device: of the result.
    """
    working = torch.float64 if dtype == torch.float64 else torch.float32
    half = width // 2
    even = torch.arange(0, half, 2, dtype=working, device=device)
    frequency = TEMPERATURE ** (-even / half)

    def encode(length: int) -> Tensor:
        # DETR's epsilon, kept so that weights trained with its code see the same numbers.
        position = torch.arange(1, length + 1, dtype=working, device=device) * (2 * math.pi / (length + 1e-6))
        angle = position[:, None] * frequency[None, :]
        return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)

    rows, columns = grid
    row = encode(rows)[:, None, :].repeat(1, columns, 1)
    column = encode(columns)[None, :, :].repeat(rows, 1, 1)
    return torch.cat((row, column), dim=2).reshape(rows * columns, width).to(dtype)


class SinePosition(nn.Module):
    """`sine_encoding`, kept ready for one grid, computed when asked for another.

    It has no state: the encoding is in no state dict, and is computed anew when the module moves or changes type, so
    that nothing is rounded twice.

    Args:
        width: channels; a multiple of 4.
        grid: the usual grid, if there is one.
    """

    encoding: Tensor

    def __init__(self, width: int, grid: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.width = width
        self.grid = grid
        # The device is given by `torch.device(...)` contexts, so ask a fresh tensor.
        self._keep(torch.empty(0))

    def forward(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        """The encoding `[h·w, width]` with the type and device of another tensor."""
        if grid == self.grid:
            return self.encoding.to(like.dtype)
        return sine_encoding(grid, self.width, dtype=like.dtype, device=like.device)

    def _keep(self, like: Tensor) -> None:
        encoding = sine_encoding(self.grid or (0, 0), self.width, dtype=like.dtype, device=like.device)
        self.register_buffer("encoding", encoding, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SinePosition":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._keep(self.encoding)
        return self
