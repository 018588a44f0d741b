"""MixUp and CutMix of the images of one global batch, on all attributes at once.

Which images are mixed, and how, is a function of (seed, step) and drawn over the global batch, so that it is the same
however the batch is shared out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from gingham.data.augment import step_rng
from gingham.options import Options
from gingham.schema import AttributeSchema
from gingham.training.order import Indices

__all__ = ["MixOptions", "Mixing", "draw_mixing", "mixed_inputs", "mixed_targets"]


class MixOptions(Options):
    """The recipe block `mix:`.

    Attributes:
        mixup: parameter alpha of MixUp's Beta(alpha, alpha), from which the first image's share is drawn; 0 = no MixUp.
        cutmix: likewise of CutMix; 0 = no CutMix.
        switch: where there are both, the probability that it is CutMix.
        probability: that anything is mixed.
        mode: `batch` draws once for all images of a step, `element` for each of them.
        level: `pixels`, or with cached features `tokens`.
    """

    mixup: float = Field(default=0.0, ge=0, le=100)
    cutmix: float = Field(default=0.0, ge=0, le=100)
    switch: float = Field(default=0.5, ge=0, le=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    mode: Literal["batch", "element"] = "batch"
    level: Literal["pixels", "tokens"] = "pixels"

    @property
    def used(self) -> bool:
        """Whether there is MixUp or CutMix at all."""
        return self.mixup > 0 or self.cutmix > 0


@dataclass(frozen=True)
class Mixing:
    """How the B images of one global batch are mixed.

    Attributes:
        partners: int64 `[B]`, for each image the position in the batch of the one that is mixed into it.
        shares: float64 `[B]`, how much each image keeps of itself: exactly, of its cells, where it is cut.
        rectangles: int64 `[B, 4]`, top, left, bottom, right of what is pasted, in cells of the grid; all 0 = MixUp.
    """

    partners: Indices
    shares: npt.NDArray[np.float64]
    rectangles: Indices

    @property
    def dominant(self) -> Indices:
        """`[B]`: the position of the image that has the larger share in each."""
        return np.where(self.shares >= 0.5, np.arange(len(self.partners)), self.partners)


def draw_mixing(options: MixOptions, seed: int, step: int, count: int, grid: tuple[int, int]) -> Mixing | None:
    """Draw how the images of one step are mixed.

    Every image gets another one as its partner: the next in a random circle. The share lambda comes from Beta(alpha,
    alpha) (MixUp: Zhang et al. 2018). CutMix (Yun et al. 2019, eq. 2) pastes a rectangle with sides
    sqrt(1 - lambda) of the image's, its centre anywhere, cut off at the edge; lambda then becomes the share of cells
    that were really kept.

    Args:
        options: of the recipe.
        seed: of the run.
        step: optimiser steps before this one, from the beginning of the run.
        count: images in the global batch, B.
        grid: rows and columns of an input, in pixels or tokens.

    Returns:
        None if nothing is mixed: neither is asked for, or there is one image only.
    """
    if not options.used or count < 2:
        return None
    rng = step_rng(seed, step)
    circle = rng.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[circle] = np.roll(circle, 1)
    draws = count if options.mode == "element" else 1
    mixed, kind, down, right = rng.random((4, draws))
    cut = kind < options.switch if options.mixup and options.cutmix else np.full(draws, options.cutmix > 0)
    drawn = rng.beta(alpha := np.where(cut, options.cutmix, options.mixup), alpha)
    active = mixed < options.probability
    shares = np.where(active, drawn, 1.0)
    rectangles = _rectangles(shares, np.stack([down, right], axis=1), grid)
    rectangles[~(cut & active)] = 0
    height, width = (rectangles[:, 2:] - rectangles[:, :2]).T
    shares = np.where(cut, 1 - height * width / (grid[0] * grid[1]), shares)
    return Mixing(partners, np.broadcast_to(shares, count).copy(), np.broadcast_to(rectangles, (count, 4)).copy())


def _rectangles(shares: npt.NDArray[np.float64], centres: npt.NDArray[np.float64], grid: tuple[int, int]) -> Indices:
    half = np.sqrt(1 - shares)[:, None] / 2
    edges = np.concatenate([(centres - half).clip(0, 1), (centres + half).clip(0, 1)], axis=1)
    return np.asarray(np.rint(edges * np.array([*grid, *grid])), dtype=np.int64)


def mixed_targets(mixing: Mixing, soft: Tensor, mask: Tensor, schema: AttributeSchema) -> tuple[Tensor, Tensor]:
    """The targets of a mixed batch.

    A loss linear in the target, `m Σ_c t_c l_c`, of an image that is the share λ of a and 1 - λ of b, is to be
    λ m_a Σ_c t_ac l_c + (1 - λ) m_b Σ_c t_bc l_c. With

        m = λ m_a + (1 - λ) m_b    and    t = (λ m_a t_a + (1 - λ) m_b t_b) / m    (0 where m is 0)

    it is: t is a distribution again, and the mask says how much of the image it speaks for. Where one of the two
    labels is missing, the other one stays whole and weighs its share; what is missing has exactly no effect. The same
    holds for the denominators of `AttributeLoss` and for smoothing, which are linear as well.

    Args:
        mixing: of the batch.
        soft: `[B, ΣC]`, of the images before.
        mask: `[B, K]`, of the images before.
        schema: where the attributes are.

    Returns:
        soft `[B, ΣC]` and mask `[B, K]`.
    """
    partners = torch.from_numpy(mixing.partners).to(soft.device)
    share = torch.from_numpy(mixing.shares).to(soft.device, soft.dtype)[:, None]
    own, other = share * mask, (1 - share) * mask[partners]
    both = own + other
    divisor = torch.where(both > 0, both, torch.ones_like(both))
    sizes = torch.tensor(schema.sizes, device=soft.device)

    def weighted(part: Tensor, targets: Tensor) -> Tensor:
        return (part / divisor).repeat_interleave(sizes, dim=1) * targets

    return weighted(own, soft) + weighted(other, soft[partners]), both


def mixed_inputs(
    mixing: Mixing | None,
    load: Callable[[Indices], Tensor],
    batch: Indices,
    positions: Indices,
    grid: tuple[int, int],
) -> Tensor:
    """The inputs of one part of a global batch, mixed.

    A partner may be in another process's part: its input is loaded here as well, each row once.

    Args:
        mixing: of the batch; None = as they are.
        load: rows of the table to inputs, uint8 `[b, H, W, 3]` or float `[b, N, D]`; a pure function.
        batch: `[B]`, the rows of the global batch.
        positions: `[b]`, of this part in the batch.
        grid: rows and columns of an input.

    Returns:
        As `load` gives them; of pixels the nearest integers.
    """
    if mixing is None:
        return load(batch[positions])
    shares, rectangles = mixing.shares[positions], mixing.rectangles[positions]
    touched = np.flatnonzero(shares < 1)
    partners = batch[mixing.partners[positions[touched]]]
    rows, places = np.unique(np.concatenate([batch[positions], partners]), return_inverse=True)
    loaded = load(rows)
    inputs, others = loaded[places[: len(positions)]], loaded[places[len(positions) :]]
    # Views of the same memory, cell by cell: what is written into one is in `inputs`.
    cells, pasted = (images.view(len(images), *grid, images.shape[-1]) for images in (inputs, others))
    for number, row in enumerate(touched.tolist()):
        top, left, bottom, right = rectangles[row].tolist()
        if bottom > top:
            cells[row, top:bottom, left:right] = pasted[number, top:bottom, left:right]
        else:
            cells[row] = _blended(cells[row], pasted[number], float(shares[row]))
    return inputs


def _blended(own: Tensor, other: Tensor, share: float) -> Tensor:
    blended = share * own.float() + (1 - share) * other.float()
    return blended if own.is_floating_point() else blended.round().to(own.dtype)
