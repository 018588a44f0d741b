"""The `train:` block of a recipe."""

from typing import Literal

from pydantic import Field

from gingham.options import Options

__all__ = ["Choose", "TrainOptions"]

Choose = Literal["best", "last"]
"""Which epoch becomes the model."""


class TrainOptions(Options):
    """How the optimiser runs.

    Attributes:
        seed: of initialisation, sample order, augmentation and dropout.
        epochs: passes over the training split.
        max_steps: stop after this many optimiser steps, if that comes first; the schedule then ends there.
        batch_size: images in one optimiser step, over all processes and accumulation steps.
        accumulation: micro-batches that each process splits its share of a batch into, to save memory.
        optimizer: `adamw` (decoupled weight decay) or `adam` (L2 in the gradient).
        learning_rate: the highest one.
        betas: decay of the optimiser's first and second moments.
        epsilon: of the optimiser, for numerical stability.
        weight_decay: as the optimiser's name defines it.
        schedule: `cosine` to zero, stepped every optimiser step, or `constant`.
        warmup_steps: linear increase of the learning rate from zero at the start.
        clip_norm: largest norm of the whole gradient; null = no clipping.
        precision: `fp32`, or `bf16` autocast with fp32 weights.
        workers: threads that decode and prepare images.
        keep_checkpoints: how many of the newest checkpoints stay (the chosen epoch's stays as well).
        choose: which epoch becomes the model: the `best` by validation mean class accuracy, or the `last`.
    """

    seed: int = Field(default=0, ge=0)
    epochs: int = Field(default=20, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=64, ge=1)
    accumulation: int = Field(default=1, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    precision: Literal["fp32", "bf16"] = "fp32"
    workers: int = Field(default=2, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    choose: Choose = "best"
