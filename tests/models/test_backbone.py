import pytest
import torch
from torch import nn

from gingham.errors import RecipeError
from gingham.models.backbone import Backbone
from gingham.models.catalogue import ImageSize, build_structure, require_backbone

# One of each kind of output: maps, channels last, tokens with and without prefixes.
KINDS = [
    ("resnet10t", 64, 512, (2, 2)),
    ("tf_efficientnet_lite0", 64, 1280, (2, 2)),
    ("convnext_atto", 64, 320, (2, 2)),
    ("mobilenetv3_small_050", 64, 1024, (2, 2)),
    ("swin_tiny_patch4_window7_224", (64, 96), 768, (2, 3)),
    ("vit_tiny_patch16_224", 64, 192, (4, 4)),
    ("vit_tiny_patch16_224", (64, 96), 192, (4, 6)),
    ("vit_small_patch14_reg4_dinov2", 56, 384, (4, 4)),
    ("eva02_tiny_patch14_224", (56, 70), 192, (4, 5)),
    ("coatnet_pico_rw_224", 224, 512, (7, 7)),
    ("mixer_s32_224", (64, 96), 512, (2, 3)),
    ("test_resnet", (64, 96), 96, (2, 3)),
]


def structure(name: str, size: ImageSize) -> nn.Module:
    """Names and shapes without numbers: enough for what is asked here."""
    with torch.device("meta"):
        return build_structure(name, size)


@pytest.mark.parametrize(("name", "size", "width", "grid"), KINDS)
def test_width_and_grid_are_found(name: str, size: int | tuple[int, int], width: int, grid: tuple[int, int]) -> None:
    backbone = Backbone(structure(name, size), size)
    assert (backbone.width, backbone.grid) == (width, grid)
    assert backbone.training
    images = torch.zeros(2, 3, *backbone.image_size, device="meta")
    tokens = backbone(images)
    assert tokens.shape == (2, grid[0] * grid[1], width)
    # No part of the model is left over: such parameters would never learn, and stop a distributed run.
    tokens.sum().backward()
    assert [key for key, parameter in backbone.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "swin_s3_tiny_224", "mambaout_femto"])
@torch.no_grad()
def test_tokens_are_the_cells_row_by_row(name: str) -> None:
    size = (224, 224) if name == "swin_s3_tiny_224" else (64, 96)
    backbone = Backbone(build_structure(name, size), size).eval()
    images = torch.randn(1, 3, *size)
    tokens = backbone(images)
    features = backbone.model(images)
    rows, columns = backbone.grid
    for y in range(rows):
        for x in range(columns):
            token = tokens[0, y * columns + x]
            if features.dim() == 3:
                expected = features[0, backbone.prefix_tokens + y * columns + x]
            elif backbone.channels_last:
                expected = features[0, y, x]
            else:
                expected = features[0, :, y, x]
            assert torch.equal(token, expected)


def test_finding_the_grid_changes_nothing() -> None:
    model = build_structure("test_resnet", 64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Backbone(model, 64)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_a_frozen_backbone_stays_in_eval_mode() -> None:
    backbone = Backbone(build_structure("test_resnet", 64), 64, frozen=True)
    nn.Sequential(backbone).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    before = backbone.weights_hash()
    backbone(torch.randn(2, 3, 64, 64))
    assert backbone.weights_hash() == before


def test_batchnorm_can_keep_its_statistics_while_the_rest_trains() -> None:
    backbone = Backbone(build_structure("test_resnet", 64), 64, batchnorm_eval=True)
    backbone.train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert backbone.training
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    before = [norm.running_mean.clone() for norm in norms]
    backbone(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    trained = Backbone(build_structure("test_resnet", 64), 64)
    assert all(module.training for module in trained.modules())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("swin_large_patch4_windw7_224", "did you mean 'swin_large_patch4_window7_224'"),
        ("test_resnet.in99k", "tags: r160_in1k"),
        ("zzzzzzzz", "see timm.list_models()"),
    ],
)
def test_an_unknown_backbone_is_refused_with_the_nearest(name: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        require_backbone(name)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("nest_tiny", (192, 256), "only handles square"),
        ("efficientvit_b0", 224, "Cannot disable pooling"),
        ("pit_ti_224", 224, "no map of tokens"),
        ("volo_d1_224", 224, "no map of tokens"),
        ("convit_tiny", (192, 256), "does not take 192x256"),
    ],
)
def test_a_backbone_without_a_map_is_refused(name: str, size: int | tuple[int, int], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected) as caught:
        Backbone(structure(name, size), size, name=name)
    assert f"'{name}'" in str(caught.value)
    assert "\n" not in str(caught.value)
