"""Swin in window order against timm's own forward."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from gingham.models.windows import windowed


def swin(**options: object) -> nn.Module:
    """A small Swin with random numbers everywhere, also where a fresh one has zeros and ones."""
    torch.manual_seed(0)
    given = {"img_size": 64, "patch_size": 4, "window_size": 4, "embed_dim": 16, "depths": (2, 3), "num_heads": (2, 4)}
    model = timm.models.swin_transformer.SwinTransformer(**{**given, "num_classes": 0, "global_pool": "", **options})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"img_size": 32, "depths": (2, 2)},  # the second stage is one window, which is not shifted
        {"img_size": (64, 96), "depths": (1, 2), "window_size": (4, 6)},
        {"qkv_bias": False},
        {"depths": (2, 2, 1), "num_heads": (1, 2, 4)},
    ],
)
def test_tokens_are_those_of_timm(options: dict[str, object]) -> None:
    model = swin(**options)
    size = options.get("img_size", 64)
    images = torch.randn(3, 3, *(size if isinstance(size, tuple) else (size, size)))
    wanted = model(images).flatten(1, 2)
    ordered = windowed(model)
    assert ordered is not None
    found = ordered(images)
    assert found.shape == wanted.shape
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=2e-5)
    # The order of tokens is not a matter of luck: no two rows of the map are alike.
    assert (wanted[:, :1] - wanted[:, 1:]).abs().amax(2).min() > 0.01


def test_the_model_itself_stays_what_it_is() -> None:
    model = swin()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    windowed(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("options", [{"img_size": 72}, {"dynamic_mask": True}])
def test_what_is_no_whole_windows_is_left_alone(options: dict[str, object]) -> None:
    given = {key: value for key, value in options.items() if key != "dynamic_mask"}
    model = swin(**given)
    for block in model.layers[0].blocks:
        block.dynamic_mask = bool(options.get("dynamic_mask", block.dynamic_mask))
    assert windowed(model) is None


def test_other_networks_are_left_alone() -> None:
    assert windowed(timm.create_model("test_resnet", num_classes=0)) is None
