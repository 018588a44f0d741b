"""How long a training run will take on this processor, before it begins."""

import time
from pathlib import Path

import torch

from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.inference.tagger import choose_device
from gingham.models.cost import forward_flops
from gingham.models.network import build_network
from gingham.progress import Reporter
from gingham.schema import AttributeSchema
from gingham.training.recipe import Recipe

__all__ = ["estimate_seconds", "matmul_rate", "warn_if_slow"]

_BACKWARD = 2.0
"""The backward pass of matrix products is twice their forward pass: one product for inputs, one for weights."""


def matmul_rate(size: int = 1024, repeats: int = 3) -> float:
    """Floating-point operations per second of fp32 matrix products on this processor; the best of a few."""
    left, right = torch.rand(size, size), torch.rand(size, size)
    best = float("inf")
    for _ in range(repeats + 1):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2.0 * size**3 / best


def estimate_seconds(flops: float, images: int, *, trained: bool, rate: float) -> float:
    """Time of one pass over `images`, if the network ran as fast as its matrix products: a lower bound.

    Args:
        flops: of one image's forward pass.
        images: number of images.
        trained: whether there is a backward pass.
        rate: operations per second.
    """
    return flops * (1.0 + (_BACKWARD if trained else 0.0)) * images / rate


def warn_if_slow(recipe: Recipe, data: Path, device: str, reporter: Reporter, *, runs: int = 1) -> None:
    """Without a GPU, say how long training will take; name the recipe that is made for that.

    Args:
        recipe: every choice; of members, those are counted that train on images.
        data: folder or table of labelled photos.
        device: as in `train`.
        reporter: hears of it.
        runs: how many are trained in a row.
    """
    trained = [one for one in recipe.member_recipes().values() or [recipe] if not one.features.cache]
    if choose_device(device).type != "cpu" or not trained:
        return
    table = read_labels(data, recipe.data, reporter=reporter)
    rate = matmul_rate()
    flops = [_flops(one, table.schema) for one in trained]
    seconds = runs * sum(_seconds(one, table, cost, rate) for one, cost in zip(trained, flops, strict=True))
    several = f" in {runs * len(trained)} runs" if runs * len(trained) > 1 else ""
    reporter.warn(
        f"no GPU: {max(flops) / 1e9:.0f} GFLOP an image at {rate / 1e9:.0f} GFLOP/s make at least "
        f"{_span(seconds)}{several}; --recipe laptop trains on a processor in minutes"
    )


def _flops(recipe: Recipe, schema: AttributeSchema) -> float:
    """Of the forward pass of one image."""
    with torch.device("meta"):
        network = build_network(
            recipe.model,
            schema,
            image_size=recipe.preprocess.size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            load_weights=False,
        )
    return forward_flops(network)


def _seconds(recipe: Recipe, table: LabelTable, flops: float, rate: float) -> float:
    """Of all epochs with their validations."""
    options, train_images = recipe.train, len(table.split("train"))
    shown = options.epochs * train_images
    if options.max_steps is not None:
        shown = min(shown, options.max_steps * options.batch_size)
    validations = -(-shown // train_images)
    seconds = estimate_seconds(flops, shown, trained=True, rate=rate)
    return seconds + estimate_seconds(flops, validations * len(table.split("val")), trained=False, rate=rate)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
