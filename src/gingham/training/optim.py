"""The optimiser and its learning-rate schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from gingham.training.options import TrainOptions

__all__ = ["build_optimizer", "learning_rate_at", "set_learning_rate"]


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], options: TrainOptions
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019).

    Args:
        parameters: what is trained, or groups of it (`parameter_groups`).
        options: of the recipe.
    """
    kind: type[torch.optim.Adam] | type[torch.optim.AdamW] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[
        options.optimizer
    ]
    return kind(
        parameters,
        lr=options.learning_rate,
        betas=options.betas,
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        fused=True,
    )


def learning_rate_at(step: int, total_steps: int, options: TrainOptions) -> float:
    """The learning rate of optimiser step `step` (from 0) of `total_steps`.

    Linear warm-up over `warmup_steps`, then half a cosine to zero (Loshchilov & Hutter 2017, eq. 5, without restarts):
    the first step after warm-up has the full rate, and the rate would be zero at step `total_steps`.
    """
    warmup = options.warmup_steps
    if step < warmup:
        return options.learning_rate * (step + 1) / (warmup + 1)
    if options.schedule == "constant":
        return options.learning_rate
    progress = (step - warmup) / max(1, total_steps - warmup)
    return options.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group, times the group's `lr_scale` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
