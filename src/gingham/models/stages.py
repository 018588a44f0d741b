"""A timm backbone as a sequence of stages, so that it can be cut in two: a part that is frozen and one that is not."""

from collections.abc import Callable, Sequence
from operator import attrgetter

from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gingham.errors import RecipeError

__all__ = ["Steps", "modules_of", "run_steps", "split_stages", "stage_count"]

Steps = tuple[str, ...]
"""Names of a model's submodules (or methods) that are applied one after the other."""


def _around(stem: Steps, stages: str, end: Steps) -> Callable[[nn.Module], list[Steps]]:
    """Stages that are the parts of one submodule; the stem is before the first of them, the end goes with the last."""

    def steps(model: nn.Module) -> list[Steps]:
        names = [(f"{stages}.{name}",) for name, _ in model.get_submodule(stages).named_children()]
        return [stem, *names[:-1], names[-1] + end]

    return steps


# By exact class: a class that is derived from one of these may compute something else.
_STAGES: dict[type[nn.Module], Callable[[nn.Module], list[Steps]]] = {
    EfficientNet: _around(("conv_stem", "bn1"), "blocks", ("conv_head", "bn2")),
    ResNet: lambda model: [("conv1", "bn1", "act1", "maxpool"), ("layer1",), ("layer2",), ("layer3",), ("layer4",)],
    ConvNeXt: _around(("stem",), "stages", ("norm_pre", "head")),
    SwinTransformer: _around(("patch_embed",), "layers", ("norm", "head")),
    VisionTransformer: _around(("patch_embed", "_pos_embed", "patch_drop", "norm_pre"), "blocks", ("norm", "fc_norm")),
}


def stage_count(model: nn.Module) -> int:
    """How many stages a timm model has, see `split_stages`; 0 if its family is not known here."""
    steps_of = _STAGES.get(type(model))
    return 0 if steps_of is None else len(steps_of(model)) - 1


def split_stages(model: nn.Module, last: int, name: str) -> tuple[Steps, Steps]:
    """Cut a timm model, built without classifier and pooling, before its last stages.

    A stage is what lies between two changes of resolution in ResNet, ConvNeXt and Swin, a group of equal blocks in
    EfficientNet, a block in ViT; what follows the last one (a convolution, a norm) belongs to it, and what precedes the
    first one is always on the first side of the cut. Both parts after each other compute what the model does.

    Args:
        model: the timm model.
        last: how many stages are on the second side, at least 1.
        name: of the model, for messages.

    Raises:
        RecipeError: the model's family is not known here, or it has not so many stages.
    """
    steps_of = _STAGES.get(type(model))
    if steps_of is None:
        families = ", ".join(sorted(family.__name__ for family in _STAGES))
        raise RecipeError(
            f"model.unfrozen_stages: how '{name}' ({type(model).__name__}) is cut into stages is not known, only those "
            f"of {families}; set it to 0, or model.frozen=false to train the whole"
        )
    steps = steps_of(model)
    if last >= len(steps):
        raise RecipeError(
            f"model.unfrozen_stages: '{name}' has {len(steps) - 1} stages, not {last}; set at most that many, or "
            "model.frozen=false to train the whole"
        )
    return _joined(steps[:-last]), _joined(steps[-last:])


def run_steps(model: nn.Module, steps: Steps, x: Tensor, *, recompute: bool = False) -> Tensor:
    """Apply submodules of a model one after the other.

    Args:
        model: that they are parts of.
        steps: their names.
        x: of the first one.
        recompute: keep only what goes from one to the next, and compute what is inside again for the gradient.
    """
    for step in steps:
        module = attrgetter(step)(model)
        x = checkpoint(module, x, use_reentrant=False) if recompute else module(x)
    return x


def modules_of(model: nn.Module, steps: Steps) -> dict[str, nn.Module]:
    """The submodules among steps, by name."""
    named = {step: attrgetter(step)(model) for step in steps}
    return {step: module for step, module in named.items() if isinstance(module, nn.Module)}


def _joined(stages: Sequence[Steps]) -> Steps:
    return tuple(step for stage in stages for step in stage)
