"""Which parameters learn how fast, and which of them decay."""

from collections.abc import Mapping
from typing import Any

from timm.models import group_parameters
from torch import nn

from gingham.errors import RecipeError
from gingham.models.backbone import Backbone
from gingham.training.options import TrainOptions

__all__ = ["parameter_groups"]

_LOSS_RATE = 100.0
"""How much faster the loss's own parameters learn. Adam moves each parameter by about the learning rate a step, and a
run has some hundred to some thousand steps of about 1e-4: a log-variance would stay where it began."""

_QUERIES = "queries"
"""What heads call their learned queries: a matrix, but of places to start from and not of a layer's weights."""


def parameter_groups(
    trained: nn.Module, backbone: Backbone, loss: nn.Module, options: TrainOptions
) -> list[dict[str, Any]]:
    """The optimiser's groups: of parameters with one learning rate and one weight decay each.

    With `layer_decay` d and `backbone_rate` r, the last of the backbone's L layers learns at r·d times the learning
    rate, the one before at r·d², the first at r·d^L (Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT). What a layer
    is, timm's `group_matcher` says for each family of models: a Transformer's block, a residual block; the stem is the
    first. Layers that are frozen count, but have no group.

    With `decayed: weights` there is no weight decay on biases and norms (parameters of one dimension), on what timm
    itself excludes (`no_weight_decay`: positions, class tokens), and on a head's learned queries.

    Args:
        trained: the network, or the part of it that is trained.
        backbone: of the network.
        loss: its own parameters learn 100 times as fast, without weight decay.
        options: the block `train:`.

    Returns:
        Groups for `build_optimizer`; `lr_scale` is what the learning rate is multiplied with.

    Raises:
        RecipeError: `layer_decay` is set, but timm knows no layers of this backbone.
    """
    scales = _backbone_scales(backbone, options)
    spared = _spared(trained, backbone) if options.decayed == "weights" else set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in trained.parameters():
        if parameter.requires_grad:
            decay = 0.0 if id(parameter) in spared else options.weight_decay
            groups.setdefault((scales.get(id(parameter), 1.0), decay), []).append(parameter)
    if own := list(loss.parameters()):
        groups.setdefault((_LOSS_RATE, 0.0), []).extend(own)
    return [
        {"params": parameters, "lr_scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def _backbone_scales(backbone: Backbone, options: TrainOptions) -> dict[int, float]:
    """Identity of each of the backbone's parameters -> what its learning rate is multiplied with."""
    parameters = dict(backbone.model.named_parameters())
    if options.layer_decay == 1:
        return {id(parameter): options.backbone_rate for parameter in parameters.values()}
    layers = _layers(backbone)
    last = max(layers.values())
    return {
        id(parameter): options.backbone_rate * options.layer_decay ** (1 + last - layers[name])
        for name, parameter in parameters.items()
    }


def _layers(backbone: Backbone) -> Mapping[str, int]:
    """Name of each of the backbone's parameters -> its layer, from 0."""
    matcher = getattr(backbone.model, "group_matcher", None)
    if matcher is None:
        raise RecipeError(
            f"train.layer_decay: timm does not say what the layers of '{backbone.name}' are; set it to 1, or choose "
            "another backbone"
        )
    layers: Mapping[str, int] = group_parameters(backbone.model, matcher(coarse=False), reverse=True)
    return layers


def _spared(trained: nn.Module, backbone: Backbone) -> set[int]:
    """Identities of the parameters that are not to decay."""
    named: frozenset[str] = frozenset(getattr(backbone.model, "no_weight_decay", frozenset)())
    spared = {
        id(parameter)
        for name, parameter in backbone.model.named_parameters()
        # timm names parameters, or modules that they are in.
        if any(name == known or name.startswith(f"{known}.") for known in named)
    }
    return spared | {
        id(parameter)
        for name, parameter in trained.named_parameters()
        if parameter.dim() <= 1 or name.rpartition(".")[2] == _QUERIES
    }
