"""timm's catalogue: which backbones there are, and how one is built for an image size."""

import difflib
from collections.abc import Mapping
from typing import Any

import timm
from timm.layers.drop import DropPath
from torch import nn

from gingham.errors import RecipeError

__all__ = [
    "ImageSize",
    "build_structure",
    "height_and_width",
    "pretrained_config",
    "require_backbone",
]

ImageSize = int | tuple[int, int]
"""Pixels: of a square's side, or (height, width)."""


def height_and_width(image_size: ImageSize) -> tuple[int, int]:
    """(height, width) in pixels of an image size."""
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def require_backbone(name: str) -> None:
    """Check that timm has a backbone, and the tag of weights if the name has one.

    Raises:
        RecipeError: it has not; the message names the nearest that there is.
    """
    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture):
        tags = [known.partition(".")[2] for known in timm.list_models(f"{architecture}.*", pretrained=True)]
        if not tag or tag in tags:
            return
        known = ", ".join(tags) or "none"
        raise RecipeError(f"model.backbone: '{architecture}' has no weights with the tag '{tag}'; tags: {known}")
    near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(match) for match in near)}?" if near else "; see timm.list_models()"
    raise RecipeError(f"model.backbone: timm has no model '{name}'{hint}")


def pretrained_config(name: str) -> Mapping[str, Any]:
    """The description that timm has of a backbone's weights: `mean`, `std`, `input_size`, `classifier`, `hf_hub_id` ...

    Raises:
        RecipeError: unknown backbone.
    """
    require_backbone(name)
    # An architecture may be registered without any weights; then these are timm's defaults.
    config: Any = timm.models.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    return dict(config.to_dict())


def build_structure(name: str, image_size: ImageSize, *, stochastic_depth: float = 0.0) -> nn.Module:
    """Build a timm model without classifier and without pooling, with timm's random initialisation.

    Called under `torch.device("meta")`, it takes no memory.

    Args:
        name: of the backbone.
        image_size: what models with a fixed size (position embeddings, windows) are built for.
        stochastic_depth: probability of skipping the last residual branch; without effect in eval mode. 0 is none, also
            where timm has a default (Swin: 0.1).

    Raises:
        RecipeError: unknown backbone, or one that cannot be built for that size or without pooling, or has no branches
            that can be skipped.
    """
    require_backbone(name)
    if stochastic_depth:
        model = _build(name, image_size, drop_path_rate=stochastic_depth)
        # A constructor may take any argument, and leave it at that.
        if not any(branch.drop_prob for branch in _branches(model)):
            raise _no_branches(name)
        return model
    model = _build(name, image_size)
    # Not every constructor would take a 0.
    for branch in _branches(model):
        branch.drop_prob = 0.0
    return model


def _branches(model: nn.Module) -> list[DropPath]:
    return [module for module in model.modules() if isinstance(module, DropPath)]


def _build(name: str, image_size: ImageSize, **further: Any) -> nn.Module:
    arguments: dict[str, Any] = {"pretrained": False, "num_classes": 0, "global_pool": "", **further}
    size = height_and_width(image_size)
    try:
        try:
            return _create(name, **arguments, img_size=size)
        except TypeError as failure:
            # Convolutional networks take any size and so have no such argument.
            if "img_size" not in str(failure):
                raise
            return _create(name, **arguments)
    except (AssertionError, RuntimeError, TypeError, ValueError) as failure:
        if "drop_path_rate" in str(failure):
            raise _no_branches(name) from None
        reason = str(failure).strip().split("\n")[0] or type(failure).__name__
        raise RecipeError(
            f"model.backbone: '{name}' cannot be built as a feature map for {size[0]}x{size[1]} images ({reason}); "
            "choose another size or backbone"
        ) from None


def _no_branches(name: str) -> RecipeError:
    return RecipeError(
        f"model.stochastic_depth: '{name}' has no residual branches that could be skipped; set it to 0, or choose "
        "another backbone"
    )


def _create(name: str, **arguments: Any) -> nn.Module:
    model = timm.create_model(name, **arguments)
    assert isinstance(model, nn.Module)
    return model
