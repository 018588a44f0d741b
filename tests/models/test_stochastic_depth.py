"""Residual branches that are skipped at random."""

import pytest
import timm
import torch
from timm.layers.drop import DropPath

from gingham.errors import RecipeError
from gingham.models import catalogue
from gingham.models.backbone import Backbone
from gingham.models.catalogue import build_structure
from gingham.models.network import build_network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema


def _rates(model: torch.nn.Module) -> list[float]:
    return [float(module.drop_prob) for module in model.modules() if isinstance(module, DropPath)]


def test_it_rises_with_depth_to_what_was_asked_for() -> None:
    """test_vit has six blocks of two branches each: 0, 0.1, ... 0.5, and no module where it is 0."""
    with torch.device("meta"):
        model = build_structure("test_vit", 64, stochastic_depth=0.5)
    expected = [rate for block in range(1, 6) for rate in [block * 0.1] * 2]
    assert _rates(model) == pytest.approx(expected)
    assert _rates(build_structure("test_vit", 64)) == []


def test_none_is_none_where_timm_has_a_default() -> None:
    name, size = "swin_tiny_patch4_window7_224", 224
    with torch.device("meta"):
        assert max(_rates(timm.create_model(name))) == pytest.approx(0.1)
        assert not any(_rates(build_structure(name, size)))
        assert max(_rates(build_structure(name, size, stochastic_depth=0.3))) == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "hrnet_w18_small", "ghostnet_100"])
def test_a_model_without_branches_is_refused(name: str) -> None:
    with torch.device("meta"):
        build_structure(name, 224)
        with pytest.raises(RecipeError, match=rf"model\.stochastic_depth: '{name}' has no residual branches"):
            build_structure(name, 224, stochastic_depth=0.1)


def test_a_model_that_takes_the_number_and_does_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = catalogue._create
    monkeypatch.setattr(catalogue, "_create", lambda name, drop_path_rate=0.0, **rest: real(name, **rest))
    with torch.device("meta"), pytest.raises(RecipeError, match="no residual branches"):
        build_structure("test_vit", 64, stochastic_depth=0.1)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
@torch.no_grad()
def test_evaluation_knows_nothing_of_it(schema: AttributeSchema, name: str) -> None:
    half = (0.5, 0.5, 0.5)
    with_depth, without = (
        build_network(
            ModelOptions(backbone=name, weights="none", head="linear", batchnorm="eval", stochastic_depth=depth),
            schema,
            image_size=64,
            mean=half,
            std=half,
        )
        for depth in (0.5, 0.0)
    )
    # timm begins with branches that add nothing.
    for parameter in without.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with_depth.load_state_dict(without.state_dict())
    pixels = torch.randint(0, 256, (8, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(with_depth.eval()(pixels), without.eval()(pixels))
    with_depth.train()
    assert not torch.equal(with_depth(pixels), with_depth(pixels)), "while training, two passes skip other branches"


@torch.no_grad()
def test_of_a_backbone_that_is_frozen_in_part_it_is_in_the_rest() -> None:
    """test_vit's last two blocks are trained: 0.4 and 0.5, but the frozen ones before have none in force."""
    backbone = Backbone(build_structure("test_vit", 64, stochastic_depth=0.5), 64, frozen=True, unfrozen_stages=2)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    in_force = [item.drop_prob for item in backbone.modules() if isinstance(item, DropPath) and item.training]
    assert in_force == pytest.approx([0.4, 0.4, 0.5, 0.5])
    images = torch.randn(8, 3, 64, 64)
    kept = backbone.begin(images)
    assert torch.equal(backbone.begin(images), kept), "what a cache keeps"
    assert not torch.equal(backbone.finish(kept), backbone.finish(kept))
    backbone.eval()
    assert torch.equal(backbone.finish(kept), backbone.finish(kept))
