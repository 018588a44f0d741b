"""What `auto` in a recipe comes to on this machine: decided once, said, and written into the run's recipe."""

import torch

from gingham.inference.extract import choose_runtime
from gingham.progress import Reporter
from gingham.training.arithmetic import has_bf16
from gingham.training.recipe import Recipe

__all__ = ["settled"]


def settled(recipe: Recipe, device: torch.device, reporter: Reporter | None = None) -> Recipe:
    """The recipe with every `auto` replaced by what it comes to.

    Args:
        recipe: may say `auto`.
        device: that the run is on.
        reporter: hears of what was chosen.
    """
    train, features = recipe.train, recipe.features
    chosen = []
    if train.precision == "auto":
        train = train.model_copy(update={"precision": "bf16" if has_bf16(device) else "fp32"})
        chosen.append(f"train.precision={train.precision}")
    if features.runtime == "auto":
        features = features.model_copy(update={"runtime": choose_runtime(device)})
        if features.cache:
            chosen.append(f"features.runtime={features.runtime}")
    if chosen and reporter:
        reporter.say(f"auto: {', '.join(chosen)}")
    return recipe.model_copy(update={"train": train, "features": features})
