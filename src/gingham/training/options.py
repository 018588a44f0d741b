"""The `train:` block of a recipe."""

from typing import Literal

from pydantic import Field

from gingham.options import Options

__all__ = ["Choose", "Matmul", "Precision", "TrainOptions"]

Choose = Literal["best", "last"]
"""Which epoch becomes the model."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""What the network computes in while it is trained."""

Matmul = Literal["highest", "high", "medium"]
"""How exact float32 matrix products are, by PyTorch's names."""


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
        decayed: what it acts on: `all`, or only `weights`: not biases, norms, learned queries and positions.
        backbone_rate: what the learning rate of the backbone is multiplied with.
        layer_decay: what the learning rate of the backbone's last layer is multiplied with besides; that of each
            earlier layer once more. 1 = all alike.
        schedule: `cosine` to zero, stepped every optimiser step, or `constant`.
        warmup_steps: linear increase of the learning rate from zero at the start.
        clip_norm: largest norm of the whole gradient; null = no clipping.
        ema: decay of a moving average of the weights, which is validated and becomes the model in their place; null =
            no average.
        repeat_rare: share of the training images below which a class counts as rare: images of such classes come
            several times an epoch; null = each comes once.
        precision: `fp32`, or with fp32 weights `bf16`, or `fp16` with a scaled loss, on GPUs only; `auto` is bf16 where
            the device has the unit, else fp32, and is replaced by that in the run's recipe.
        matmul: of fp32 matrix products: `highest`, `high` (TF32 on GPUs), `medium` (bf16 where the device has the unit;
            on other processors exact, and with oneDNN often faster).
        channels_last: lay out images in memory pixel by pixel, which is faster for convolutions on GPUs.
        checkpointing: keep fewer activations of the trained backbone and compute them again, to save memory.
        compile: compile what is trained with `torch.compile`; takes minutes, and a compiler.
        workers: threads that decode and prepare images.
        keep_checkpoints: how many of the newest checkpoints stay (the chosen epoch's stays as well).
        choose: which epoch becomes the model: the `best` by validation mean class accuracy, or the `last`.
        patience: end after so many epochs without a better validation mean class accuracy; null = train all epochs.
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
    decayed: Literal["all", "weights"] = "all"
    backbone_rate: float = Field(default=1.0, gt=0, le=100)
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    clip_norm: float | None = Field(default=1.0, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    repeat_rare: float | None = Field(default=None, gt=0, le=1)
    precision: Precision = "fp32"
    matmul: Matmul = "highest"
    channels_last: bool = False
    checkpointing: bool = False
    compile: bool = False
    workers: int = Field(default=2, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1)
    choose: Choose = "best"
    patience: int | None = Field(default=None, ge=1)
