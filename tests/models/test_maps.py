"""Tokens of several feature maps: hypercolumns."""

import pytest
import timm
import torch
from torch import nn

from gingham.errors import RecipeError
from gingham.models.backbone import Backbone
from gingham.models.catalogue import build_structure
from gingham.models.network import build_network, parameter_table
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from tests import tiny

_WIDTHS = {
    # Channels of the output, then of the maps before it, last first.
    "test_efficientnet": [256, 48, 32, 24],
    "test_resnet": [96, 192, 48, 32, 32],
    "test_convnext": [64, 48, 32, 24],
    "test_vit": [64, 64, 64],
    "swin": [128, 64, 32, 16],
}


def _model(name: str) -> nn.Module:
    if name == "swin":
        small = {"img_size": 64, "embed_dim": 16, "num_heads": (1, 1, 2, 2)}
        return timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, global_pool="", **small)
    return build_structure(name, 64)


def _averaged(features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Cell by cell, for maps whose sides are multiples of the grid's: `[B, N, D]`."""
    down, right = features.shape[2] // grid[0], features.shape[3] // grid[1]
    cells = [
        features[:, :, y * down : (y + 1) * down, x * right : (x + 1) * right].mean(dim=(2, 3))
        for y in range(grid[0])
        for x in range(grid[1])
    ]
    return torch.stack(cells, dim=1)


@pytest.mark.parametrize("name", _WIDTHS)
@torch.no_grad()
def test_maps_lie_side_by_side_on_the_last_grid(name: str) -> None:
    model, images = _model(name).eval(), torch.randn(2, 3, 64, 64)
    last = Backbone(model, 64).eval()
    expected = [last(images)]
    earlier = model.forward_intermediates(images, norm=True, intermediates_only=True)[-2::-1]
    expected += [_averaged(features, last.grid) for features in earlier]
    for count in range(2, len(_WIDTHS[name]) + 1):
        backbone = Backbone(model, 64, maps=count).eval()
        assert backbone.grid == last.grid
        assert backbone.width == sum(_WIDTHS[name][:count])
        tokens = backbone(images)
        assert tokens.shape == (2, last.grid[0] * last.grid[1], backbone.width)
        assert backbone.kept.shape == tokens.shape[1:]
        parts = tokens.split(_WIDTHS[name][:count], dim=2)
        assert torch.equal(parts[0], expected[0])
        for part, whole in zip(parts[1:], expected[1:], strict=False):
            torch.testing.assert_close(part, whole)


@pytest.mark.parametrize("name", _WIDTHS)
def test_every_map_learns(name: str) -> None:
    backbone = Backbone(_model(name), 64, maps=3)
    backbone(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_finding_the_width_takes_no_memory_and_changes_nothing() -> None:
    with torch.device("meta"):
        backbone = Backbone(build_structure("swin_large_patch4_window7_224", 224), 224, maps=2)
    assert (backbone.width, backbone.grid) == (1536 + 768, (7, 7))
    model = build_structure("test_resnet", 64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Backbone(model, 64, maps=3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_backbone_has_the_same_tensors_and_the_head_more(schema: AttributeSchema) -> None:
    tables, hashes = [], []
    for maps in (1, 3):
        torch.manual_seed(0)
        options = ModelOptions.parse({**tiny.MODEL.model_dump(), "maps": maps})
        network = build_network(options, schema, image_size=64, mean=tiny.MEAN, std=tiny.STD)
        tables.append(dict(parameter_table(network)))
        hashes.append(network.backbone.weights_hash())
    assert hashes[0] == hashes[1]
    assert tables[1]["backbone"] == tables[0]["backbone"]
    assert tables[1]["head.projection"] - tables[0]["head.projection"] == (192 + 48) * 16


@pytest.mark.parametrize(
    ("name", "maps", "expected"),
    [
        ("test_resnet", 6, "model.maps: 'test_resnet' has 5 maps, not 6; set fewer"),
        ("hiera_tiny_224", 2, "normalization of features not supported"),
    ],
)
def test_more_maps_than_there_are_are_refused(name: str, maps: int, expected: str) -> None:
    size = 224 if name.endswith("224") else 64
    with pytest.raises(RecipeError) as caught, torch.device("meta"):
        Backbone(build_structure(name, size), size, maps=maps, name=name)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("model.maps: ")
    assert "\n" not in str(caught.value)


def test_a_model_without_intermediate_maps_is_refused() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 8, stride=8)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = self.convolution(images)
            return features

    assert Backbone(Plain(), 64).grid == (8, 8)
    with pytest.raises(RecipeError, match=r"model\.maps: 'Plain' does not give other maps than its last one; set it"):
        Backbone(Plain(), 64, maps=2)


def test_maps_and_unfrozen_stages_are_refused_together() -> None:
    with pytest.raises(RecipeError, match=r"set model\.maps=1, or model\.unfrozen_stages=0"):
        Backbone(_model("test_resnet"), 64, frozen=True, unfrozen_stages=1, maps=2)
    assert not Backbone(_model("test_resnet"), 64, unfrozen_stages=1, maps=2).unfrozen
