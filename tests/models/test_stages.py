"""Backbones cut in two: both parts after each other are the model, bit for bit."""

import pytest
import timm
import torch
from torch import nn

from gingham.errors import RecipeError
from gingham.models.backbone import Backbone
from gingham.models.catalogue import build_structure
from gingham.models.stages import modules_of, run_steps, split_stages

_FAMILIES = {
    "tf_efficientnet_lite0": 7,
    "test_efficientnet": 5,
    "test_resnet": 4,
    "test_convnext": 4,
    "test_vit": 6,
    "swin": 4,
}


def _model(name: str) -> nn.Module:
    """A small model of a family, for images of 64 pixels."""
    if name == "swin":
        small = {"img_size": 64, "embed_dim": 16, "num_heads": (1, 1, 2, 2)}
        return timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, global_pool="", **small)
    return build_structure(name, 64)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "stages"), _FAMILIES.items())
@torch.no_grad()
def test_the_stages_after_each_other_are_the_model(name: str, stages: int, training: bool) -> None:
    model = _model(name).train(training)
    before, images = _state(model), torch.randn(2, 3, 64, 64)
    torch.manual_seed(5)  # Swin drops paths by chance
    expected = model(images.clone())
    statistics = _state(model)
    for last in range(1, stages + 1):
        model.load_state_dict(before)
        first, rest = split_stages(model, last, name)
        torch.manual_seed(5)
        assert torch.equal(run_steps(model, rest, run_steps(model, first, images.clone())), expected)
        assert all(torch.equal(tensor, statistics[key]) for key, tensor in model.state_dict().items())
    with pytest.raises(RecipeError, match=rf"has {stages} stages, not {stages + 1}; set at most that many"):
        split_stages(model, stages + 1, name)


@pytest.mark.parametrize("name", _FAMILIES)
def test_the_backbone_goes_through_its_cut(name: str) -> None:
    whole = Backbone(_model(name), 64, frozen=True)
    torch.manual_seed(3)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = whole(images)
    for last in (1, 2):
        cut = Backbone(whole.model, 64, frozen=True, unfrozen_stages=last).eval()
        assert (cut.width, cut.grid) == (whole.width, whole.grid)
        kept = cut.begin(images)
        assert kept.shape[1:] == cut.kept.shape
        assert not kept.requires_grad
        assert torch.equal(cut.finish(kept), expected)
        assert torch.equal(cut(images), expected)
        # As they come from the cache: contiguous, another layout of the same numbers.
        assert torch.allclose(cut.finish(kept.contiguous()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", _FAMILIES)
@pytest.mark.parametrize("batchnorm_eval", [True, False])
def test_gradients_and_statistics_change_in_the_last_stages_only(name: str, batchnorm_eval: bool) -> None:
    backbone = Backbone(_model(name), 64, frozen=True, unfrozen_stages=2, batchnorm_eval=batchnorm_eval).train()
    before = _state(backbone)
    backbone(torch.randn(4, 3, 64, 64)).square().sum().backward()
    frozen, learning = backbone.frozen_tensors(), dict(backbone.named_parameters())
    assert {key for key, parameter in learning.items() if parameter.grad is None} == frozen & learning.keys()
    changed = {key for key, tensor in backbone.state_dict().items() if not torch.equal(tensor, before[key])}
    assert not changed & frozen
    norms = {key for key in before if key.endswith("running_mean")}
    assert changed >= (set() if batchnorm_eval else norms - frozen)
    assert not (changed if batchnorm_eval else set())
    modes = {key: module.training for key, module in backbone.model.named_modules()}
    stem, *_ = backbone.model.children()
    assert not stem.training
    last = modules_of(backbone.model, split_stages(backbone.model, 2, name)[1])
    assert all(modes[key] for key, module in last.items() if not isinstance(module, nn.BatchNorm2d))


def test_tokens_at_a_cut_are_the_cells_row_by_row() -> None:
    backbone = Backbone(build_structure("test_resnet", (64, 96)), (64, 96), frozen=True, unfrozen_stages=1)
    images = torch.randn(1, 3, 64, 96)
    kept = backbone.begin(images)
    with torch.no_grad():
        features = backbone.model.forward_intermediates(images, indices=[3], intermediates_only=True)[0]
    assert backbone.kept.grid == (4, 6) == tuple(features.shape[2:])
    for y in range(4):
        for x in range(6):
            assert torch.equal(kept[0, 6 * y + x], features[0, :, y, x])


def test_a_class_token_goes_along() -> None:
    backbone = Backbone(build_structure("test_vit", 64), 64, frozen=True, unfrozen_stages=1)
    assert (backbone.kept.shape, backbone.kept.grid, backbone.grid) == ((17, 64), (4, 4), (4, 4))
    assert backbone(torch.randn(1, 3, 64, 64)).shape == (1, 16, 64)


def test_an_unfrozen_backbone_is_not_cut() -> None:
    backbone = Backbone(build_structure("test_resnet", 64), 64, unfrozen_stages=2)
    assert not backbone.unfrozen
    assert not backbone.frozen_tensors()


def test_another_family_is_refused_with_the_reason() -> None:
    with pytest.raises(RecipeError, match=r"'test_byobnet' \(ByobNet\) is cut into stages is not known") as caught:
        Backbone(build_structure("test_byobnet", 64), 64, frozen=True, unfrozen_stages=1, name="test_byobnet")
    assert "ConvNeXt, EfficientNet, ResNet, SwinTransformer, VisionTransformer" in str(caught.value)


def test_a_class_derived_from_a_known_one_is_not_taken_for_it() -> None:
    class Other(timm.models.resnet.ResNet):  # type: ignore[misc]
        pass

    with pytest.raises(RecipeError, match="is not known"):
        split_stages(Other(timm.models.resnet.BasicBlock, [1, 1, 1, 1]), 1, "other")
