"""Parameter groups: who learns how fast, and who decays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gingham.errors import RecipeError, UserError
from gingham.losses import AttributeLoss
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.tensors import load_tensors
from gingham.training.checks import check_composition
from gingham.training.groups import parameter_groups
from gingham.training.inputs import FeatureNetwork
from gingham.training.interrupt import Stopped
from gingham.training.optim import build_optimizer, set_learning_rate
from gingham.training.options import TrainOptions
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]

_SCHEMA = AttributeSchema.of({"hue": ["red", "blue"], "tone": ["dark", "light"]})
_HEAD = {"width": 16, "ffn": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}


def _network(backbone: str = "test_vit", **options: Any) -> Network:
    plain = {"backbone": backbone, "weights": "none", "query2label": _HEAD, **options}
    half = (0.5, 0.5, 0.5)
    return build_network(ModelOptions.parse(plain), _SCHEMA, image_size=64, mean=half, std=half)


def _groups(network: Network, loss: nn.Module | None = None, **options: Any) -> list[dict[str, Any]]:
    return parameter_groups(network, network.backbone, loss or nn.Module(), TrainOptions.parse(options))


def _by_name(network: Network, groups: list[dict[str, Any]], what: str) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = {names[id(parameter)]: group[what] for group in groups for parameter in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups), "each is in one group"
    return found


def test_by_default_all_that_is_trained_is_one_group_in_the_networks_order() -> None:
    network = _network()
    (group,) = _groups(network, weight_decay=0.1)
    assert [id(item) for item in group["params"]] == [id(item) for item in network.parameters()]
    assert (group["lr_scale"], group["weight_decay"]) == (1, 0.1)
    frozen = _network(frozen=True)
    (group,) = _groups(frozen)
    assert [id(item) for item in group["params"]] == [id(item) for item in frozen.head.parameters()]


def test_layers_of_a_transformer_by_hand() -> None:
    """test_vit: a stem, six blocks, and a norm that counts to the last block. r = 0.5, d = 0.1."""
    network = _network()
    scales = _by_name(network, _groups(network, backbone_rate=0.5, layer_decay=0.1), "lr_scale")
    assert scales.keys() == dict(network.named_parameters()).keys()
    for name, scale in scales.items():
        part = name.removeprefix("backbone.model.")
        if name.startswith("head."):
            expected = 1.0
        elif part.startswith(("norm.", "blocks.5.")):
            expected = 0.5 * 0.1
        elif part.startswith("blocks."):
            expected = 0.5 * 0.1 ** (6 - int(part.split(".")[1]))
        else:
            assert part.startswith(("cls_token", "pos_embed", "reg_token", "patch_embed."))
            expected = 0.5 * 0.1**7
        assert scale == pytest.approx(expected, rel=1e-12), name


def test_layers_of_a_convolutional_network_by_hand() -> None:
    """test_resnet: a stem and four stages of one block each."""
    network = _network("test_resnet")
    scales = _by_name(network, _groups(network, layer_decay=0.5), "lr_scale")
    for name, scale in scales.items():
        part = name.removeprefix("backbone.model.")
        layer = int(part[len("layer")]) if part.startswith("layer") else 0
        assert scale == (1.0 if name.startswith("head.") else 0.5 ** (5 - layer)), name


def test_the_backbones_rate_alone_makes_two_groups() -> None:
    network = _network()
    scales = _by_name(network, _groups(network, backbone_rate=0.25), "lr_scale")
    assert {(name.split(".")[0], scale) for name, scale in scales.items()} == {("backbone", 0.25), ("head", 1.0)}


def test_layers_that_are_frozen_count_but_have_no_group() -> None:
    """The last two of test_vit's six blocks are trained, and the norm after them; r = 0.5, d = 0.1."""
    network = _network(frozen=True, unfrozen_stages=2)
    trained = FeatureNetwork(network)
    options = TrainOptions.parse({"layer_decay": 0.1, "backbone_rate": 0.5})
    for module in (network, trained):
        scales = _by_name(network, parameter_groups(module, network.backbone, nn.Module(), options), "lr_scale")
        of_backbone = {name.removeprefix("backbone.model."): scale for name, scale in scales.items() if "model" in name}
        assert {name.split(".")[0] for name in of_backbone} == {"blocks", "norm"}
        for name, scale in of_backbone.items():
            assert scale == pytest.approx(0.5 * (0.01 if name.startswith("blocks.4.") else 0.1), rel=1e-12), name
        assert {scale for name, scale in scales.items() if name.startswith("head.")} == {1.0}


def test_biases_norms_queries_and_positions_do_not_decay() -> None:
    network = _network()
    decays = _by_name(network, _groups(network, weight_decay=0.1, decayed="weights"), "weight_decay")
    assert {decays["head.queries"], decays["backbone.model.pos_embed"], decays["backbone.model.cls_token"]} == {0.0}
    for name, parameter in network.named_parameters():
        if parameter.dim() <= 1:
            assert decays[name] == 0.0, name
    for name in ("head.projection.weight", "head.classifiers.0.weight", "head.decoder.0.attention.in_proj_weight"):
        assert decays[name] == 0.1
    spared = {"queries", "pos_embed", "cls_token", "reg_token"}
    assert all(
        decays[name] == 0.1
        for name, parameter in network.named_parameters()
        if parameter.dim() > 1 and name.rpartition(".")[2] not in spared
    )


def test_what_timm_excludes_does_not_decay() -> None:
    """The tables of relative positions of a Swin Transformer are matrices."""
    network = _network()
    with torch.device("meta"):
        import timm

        network.backbone.model = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    decays = _by_name(network, _groups(network, weight_decay=0.1, decayed="weights"), "weight_decay")
    tables = [name for name in decays if name.endswith("relative_position_bias_table")]
    assert len(tables) == 12
    assert {decays[name] for name in tables} == {0.0}


def test_the_losss_own_parameters_learn_faster_and_do_not_decay() -> None:
    """By hand: Adam's first step is the learning rate, whatever the gradient."""
    network = _network()
    loss = nn.Module()
    loss.own = nn.Parameter(torch.tensor([2.0]))
    weight = network.head.get_parameter("classifiers.0.bias")
    nn.init.constant_(weight, 2.0)
    options = TrainOptions.parse({"learning_rate": 1e-3, "weight_decay": 0.5, "epsilon": 1e-12})
    optimizer = build_optimizer(parameter_groups(network, network.backbone, loss, options), options)
    (3 * weight.sum() + 5 * loss.own).sum().backward()
    set_learning_rate(optimizer, 1e-3)
    optimizer.step()
    assert weight[0].item() == pytest.approx(2.0 * (1 - 1e-3 * 0.5) - 1e-3, rel=1e-6)
    assert loss.own.item() == pytest.approx(2.0 - 0.1, rel=1e-6)


def test_one_step_moves_each_layer_by_its_own_rate() -> None:
    """Adam's first step is the rate of the group; undecayed ones do not shrink."""
    network = _network()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 2.0)
    options = TrainOptions.parse(
        {"learning_rate": 1e-2, "weight_decay": 0.5, "decayed": "weights", "layer_decay": 0.5, "epsilon": 1e-12}
    )
    optimizer = build_optimizer(parameter_groups(network, network.backbone, nn.Module(), options), options)
    sum(parameter.sum() for parameter in network.parameters()).backward()
    set_learning_rate(optimizer, 1e-2)
    optimizer.step()
    rate = 1e-2 * 0.5**3
    block = network.backbone.model.get_submodule("blocks.3")
    moved = block.get_parameter("mlp.fc1.weight")[0, 0].item(), block.get_parameter("mlp.fc1.bias")[0].item()
    assert moved == pytest.approx((2.0 * (1 - rate * 0.5) - rate, 2.0 - rate), rel=1e-6)


def test_a_backbone_whose_layers_nobody_knows_is_refused() -> None:
    network = _network()
    network.backbone.model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RecipeError, match=r"train\.layer_decay: timm does not say what the layers of 'test_vit' are"):
        _groups(network, layer_decay=0.5)
    assert len(_groups(network, backbone_rate=0.5)) == 2


@pytest.mark.parametrize("change", ["train.backbone_rate=0.5", "train.layer_decay=0.9", "model.stochastic_depth=0.1"])
def test_what_a_frozen_backbone_cannot_do_is_refused(tiny: Tiny, change: str) -> None:
    field = change.partition("=")[0].replace(".", r"\.")
    with pytest.raises(UserError, match=rf"{field} is 0\..*nothing of the backbone is trained; set it to [01], or"):
        check_composition(tiny("model.frozen=true", change))
    check_composition(tiny(change))
    check_composition(tiny("model.frozen=true", "model.unfrozen_stages=1", change))


def test_groups_resume_to_the_same_bits(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    """With dropout, stochastic depth, learned weights of attributes, and a stop in the middle of the second epoch."""
    recipe = tiny(
        "train.layer_decay=0.7",
        "train.backbone_rate=0.5",
        "train.decayed=weights",
        "train.weight_decay=0.1",
        "loss.attribute_weights=learned",
        "model.stochastic_depth=0.2",
    )
    train(photos, recipe, tmp_path / "whole", device="cpu")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "cut", device="cpu", stop=StopAt(8))
    torch.manual_seed(99)
    resume(tmp_path / "cut", device="cpu")
    for file in ("weights", "optimizer"):
        whole, cut = (
            load_tensors(sorted((tmp_path / name / "checkpoints").iterdir())[-1] / f"{file}.safetensors")
            for name in ("whole", "cut")
        )
        assert whole.keys() == cut.keys()
        assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_real_loss_adds_its_own_group() -> None:
    network = _network()
    recipe = Recipe.parse({"loss": {"attribute_weights": "learned"}})
    loss = AttributeLoss(recipe.loss, _SCHEMA, torch.tensor([3, 2, 4, 1]))
    last = _groups(network, loss, layer_decay=0.5)[-1]
    assert (last["lr_scale"], last["weight_decay"], len(last["params"])) == (100, 0, 1)
