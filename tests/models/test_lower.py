"""A network in bfloat16 but for its first stages."""

import pytest
import torch

from gingham.errors import RecipeError
from gingham.models.lower import lower, stages_to_keep
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.models.stages import modules_of, split_stages, stage_count
from tests import tiny

_STAGES = {"test_efficientnet": 5, "test_resnet": 4, "test_convnext": 4, "test_vit": 6}


def _network(backbone: str, head: str = "linear", maps: int = 1) -> Network:
    torch.manual_seed(0)
    options = ModelOptions.parse({"backbone": backbone, "weights": "none", "head": head, "maps": maps})
    return build_network(options, tiny.SCHEMA, image_size=64, mean=tiny.MEAN, std=tiny.STD).eval()


@pytest.mark.parametrize(("backbone", "stages"), _STAGES.items())
@torch.inference_mode()
def test_every_number_of_stages(backbone: str, stages: int) -> None:
    """The tensors of the first stages are untouched, and so is what comes out of them; all others are rounded."""
    pixels = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    exact = _network(backbone)
    assert stages_to_keep(exact) == stages - 1
    expected, state = exact(pixels), exact.state_dict()
    for count in range(stages):
        network = lower(_network(backbone), count)
        kinds = {name: tensor.dtype for name, tensor in network.state_dict().items() if tensor.is_floating_point()}
        assert set(kinds.values()) == ({torch.float32, torch.bfloat16} if count else {torch.bfloat16})
        assert all(kinds[name] == torch.bfloat16 for name in kinds if name.startswith("head."))
        for name, kind in kinds.items():
            assert torch.equal(network.state_dict()[name], state[name].to(kind))
        found = network(pixels)
        assert found.dtype == torch.bfloat16
        assert 0 < (found.float() - expected).norm() < 0.1 * expected.norm()
        if count:
            assert torch.equal(_after_first(network, count, pixels), _after_first(exact, count, pixels))


def _after_first(network: Network, count: int, pixels: torch.Tensor) -> torch.Tensor:
    """What comes out of the first stages."""
    model = network.backbone.model
    first, _ = split_stages(model, stage_count(model) - count, "")
    *_, last = modules_of(model, first).values()
    seen: list[torch.Tensor] = []
    handle = last.register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(pixels)
    handle.remove()
    return seen[0]


@torch.inference_mode()
def test_maps_of_stages_in_both_go_into_one_head() -> None:
    pixels = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    exact = _network("test_efficientnet", maps=3)
    found = lower(_network("test_efficientnet", maps=3), 4)(pixels)
    assert torch.allclose(found.float(), exact(pixels), atol=0.05)


@torch.inference_mode()
def test_a_head_with_attention() -> None:
    pixels = torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    found = lower(_network("test_resnet", head="query2label"), 2)(pixels)
    assert torch.allclose(found.float(), _network("test_resnet", head="query2label")(pixels), atol=0.1)


def test_too_many_stages_are_refused() -> None:
    with pytest.raises(RecipeError):
        lower(_network("test_resnet"), 4)
    with pytest.raises(RecipeError):
        lower(_network("test_resnet"), 9)
