"""How long a training run will take on this processor, before it begins."""

import time
from pathlib import Path
from typing import NamedTuple

import torch

from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.inference.torch_runtime import choose_device
from gingham.models.cost import feature_flops, forward_flops
from gingham.models.network import outline
from gingham.progress import Reporter
from gingham.schema import AttributeSchema
from gingham.training.arithmetic import Arithmetic
from gingham.training.auto import settled
from gingham.training.recipe import Recipe

__all__ = ["estimate_seconds", "matmul_rate", "warn_if_slow"]

_EXACT = Arithmetic("fp32", "highest", torch.device("cpu"))

_BACKWARD = 2.0
"""The backward pass of matrix products is twice their forward pass: one product for inputs, one for weights."""

_WORTH_A_WORD = 600.0
"""Seconds below which the training of recipes with cached features needs no warning."""


def matmul_rate(arithmetic: Arithmetic = _EXACT, size: int = 1024, repeats: int = 3) -> float:
    """Operations per second of matrix products on this processor, as a run computes them; the best of a few."""
    left, right = torch.rand(size, size), torch.rand(size, size)
    best = float("inf")
    with arithmetic.in_force(), arithmetic.autocast():
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

    What cached features cost is not counted, as they may be there already; nor is a head alone.

    Args:
        recipe: every choice; of members, those are counted that train more than a head.
        data: folder or table of labelled photos.
        device: as in `train`.
        reporter: hears of it.
        runs: how many are trained in a row.
    """
    members = recipe.member_recipes().values() or [recipe]
    trained = [one for one in members if not one.features.cache or one.model.unfrozen_stages]
    if choose_device(device).type != "cpu" or not trained:
        return
    table = read_labels(data, recipe.data, reporter=reporter)
    options = settled(trained[0], torch.device("cpu")).train
    rate = matmul_rate(Arithmetic(options.precision, options.matmul, torch.device("cpu")))
    costs = [_costs(one, table.schema) for one in trained]
    seconds = runs * sum(_seconds(one, table, cost, rate) for one, cost in zip(trained, costs, strict=True))
    # Who keeps features already does what that recipe is made of.
    frugal = all(one.features.cache for one in trained)
    if frugal and seconds < _WORTH_A_WORD:
        return
    several = f" in {runs * len(trained)} runs" if runs * len(trained) > 1 else ""
    hint = "" if frugal else "; --recipe laptop trains on a processor in minutes"
    reporter.warn(
        f"no GPU: {_giga(max(sum(cost) for cost in costs))} GFLOP an image at {_giga(rate)} GFLOP/s make at least "
        f"{_span(seconds)}{several}{hint}"
    )


class _Costs(NamedTuple):
    """Operations of one image's forward pass: of what stays as it is, and of what is trained."""

    frozen: float
    trained: float


def _costs(recipe: Recipe, schema: AttributeSchema) -> _Costs:
    network = outline(recipe.model, schema, recipe.preprocess.size)
    features, total = feature_flops(network), forward_flops(network)
    if not recipe.model.frozen:
        features = 0
    return _Costs(0 if recipe.features.cache else features, total - features)


def _seconds(recipe: Recipe, table: LabelTable, costs: _Costs, rate: float) -> float:
    """Of all epochs with their validations."""
    options, train_images = recipe.train, len(table.split("train"))
    shown = options.epochs * train_images
    if options.max_steps is not None:
        shown = min(shown, options.max_steps * options.batch_size)
    validations = -(-shown // train_images)
    seconds = estimate_seconds(costs.trained, shown, trained=True, rate=rate)
    seconds += estimate_seconds(costs.frozen, shown, trained=False, rate=rate)
    validated = validations * len(table.split("val"))
    return seconds + estimate_seconds(costs.frozen + costs.trained, validated, trained=False, rate=rate)


def _giga(number: float) -> str:
    return f"{number / 1e9:.0f}" if number >= 1e10 else f"{number / 1e9:.2g}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
