"""How long a training run will take on this processor, before it begins."""

import time
from pathlib import Path

import torch

from gingham.data.formats import read_labels
from gingham.inference.tagger import choose_device
from gingham.models.cost import feature_flops, forward_flops
from gingham.models.network import build_network
from gingham.progress import Reporter
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


def warn_if_slow(recipe: Recipe, data: Path, device: str, reporter: Reporter) -> None:
    """Without a GPU, say how long training will take; name the recipe that is made for that.

    What cached features cost is not counted, as they may be there already; nor is a head alone.
    """
    cached, partly = recipe.features.cache, recipe.model.unfrozen_stages > 0
    if choose_device(device).type != "cpu" or (cached and not partly):
        return
    table = read_labels(data, recipe.data)
    with torch.device("meta"):
        network = build_network(
            recipe.model,
            table.schema,
            image_size=recipe.preprocess.size,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            load_weights=False,
        )
    features = feature_flops(network)
    trained = forward_flops(network) - features
    if not recipe.model.frozen:
        features, trained = 0, features + trained
    once = 0 if cached else features
    options, train_images = recipe.train, len(table.split("train"))
    shown = options.epochs * train_images
    if options.max_steps is not None:
        shown = min(shown, options.max_steps * options.batch_size)
    validations = -(-shown // train_images)
    rate = matmul_rate()
    seconds = estimate_seconds(trained, shown, trained=True, rate=rate)
    seconds += estimate_seconds(once, shown, trained=False, rate=rate)
    seconds += estimate_seconds(once + trained, validations * len(table.split("val")), trained=False, rate=rate)
    reporter.warn(
        f"no GPU: {_giga(once + trained)} GFLOP an image at {_giga(rate)} GFLOP/s make at least {_span(seconds)}"
        + ("" if cached else "; --recipe laptop trains on a processor in minutes")
    )


def _giga(number: float) -> str:
    return f"{number / 1e9:.0f}" if number >= 1e10 else f"{number / 1e9:.2g}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
