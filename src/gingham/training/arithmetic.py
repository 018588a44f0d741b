"""How a run computes: precision, matrix products, layout of memory, and what is computed twice to save memory."""

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gingham.errors import UserError
from gingham.models.network import Network
from gingham.training.depthwise import with_quick_gradients
from gingham.training.options import Matmul, Precision, TrainOptions

__all__ = ["Arithmetic", "check_arithmetic", "has_bf16", "next_scale", "shape_network", "unscale"]

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_STEPS_TO_GROW = 2000


@dataclass(frozen=True)
class Arithmetic:
    """Precision of a run. Weights, gradients, loss and optimiser are float32 whatever it is.

    Attributes:
        precision: of the network's forward and backward pass; not `auto`.
        matmul: see `TrainOptions`.
        device: where the network is.
    """

    precision: Precision
    matmul: Matmul
    device: torch.device

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Inside, float32 matrix products are computed as `matmul` says. It is one setting for the whole process."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmul)
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def autocast(self) -> AbstractContextManager[Any]:
        """For the network's forward pass. Not the accelerator's, which is one setting for the whole process."""
        lower = self.precision != "fp32"
        dtype = _TYPES[self.precision] if lower else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=lower)

    @property
    def scales(self) -> bool:
        """Whether the loss is to be scaled, as small gradients would be 0 in this precision."""
        return self.precision == "fp16"


def unscale(parameters: Iterable[nn.Parameter], scale: float) -> None:
    """Divide the gradients by the factor that the loss had."""
    gradients: list[Tensor] = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and scale != 1:
        torch._foreach_div_(gradients, scale)


def next_scale(scale: float, steady: int, *, finite: bool) -> tuple[float, int]:
    """How the loss of fp16 training is scaled after a step (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2).

    As PyTorch's `GradScaler` does it, in two numbers that a checkpoint can hold: the scale doubles after 2000 steps in
    a row whose gradients are finite, and halves with each that is not, which is left out.

    Args:
        scale: of this step.
        steady: steps before it since the scale changed.
        finite: whether its gradients were.

    Returns:
        Scale and steps, of the next step.
    """
    if not finite:
        return scale / 2, 0
    return (scale * 2, 0) if steady + 1 == _STEPS_TO_GROW else (scale, steady + 1)


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices by itself, and so faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Of x86; on other processors nobody has measured.
    return any(
        bool(getattr(torch.cpu, name, bool)()) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def check_arithmetic(options: TrainOptions, device: torch.device) -> None:
    """Refuse what this machine cannot do, or does so slowly that nobody can want it.

    Raises:
        UserError: names the field and the way out.
    """
    if options.precision == "fp16" and device.type != "cuda":
        raise UserError(
            f"train.precision=fp16: only GPUs have the unit, a processor does about 1 GFLOP/s in fp16 (this is "
            f"{device.type}); set train.precision=bf16 or fp32"
        )
    if options.compile and (missing := _missing_compiler(device)):
        raise UserError(
            f"train.compile: torch.compile needs {missing}, which is not here; install it, or set it to false"
        )


def _missing_compiler(device: torch.device) -> str | None:
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton (`pip install triton`)"
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "cl")):
        return "a C++ compiler (g++ or clang++, or what CXX names)"
    return None


def shape_network(network: Network, trained: nn.Module, options: TrainOptions) -> None:
    """Set layout of memory, gradient checkpointing and compilation of a network that is about to be trained.

    Args:
        network: on its device, with its weights.
        trained: the part of it that is trained.
        options: the block `train:`.

    Raises:
        UserError: the backbone cannot do what is asked for; names the field and the way out.
    """
    backbone = network.backbone
    if options.channels_last:
        convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
        # A Transformer's one convolution cuts the image into patches.
        if len(convolutions) < 2:
            raise UserError(f"train.channels_last: '{backbone.name}' is no convolution network; set it to false")
        backbone.model.to(memory_format=torch.channels_last)
    if options.checkpointing:
        trained.train()
        moving = [
            name for name, module in trained.named_modules() if isinstance(module, _BatchNorm) and module.training
        ]
        if moving:
            raise UserError(
                f"train.checkpointing computes the backbone twice, and the running statistics of '{backbone.name}' "
                "would count each batch twice; set model.batchnorm=eval, or train.checkpointing=false"
            )
        backbone.checkpoint_gradients()
    on_processor = next(backbone.parameters()).device.type == "cpu"
    if options.precision == "bf16" and on_processor and not options.compile:
        with_quick_gradients(backbone.modules())
    if options.compile:
        # In place: the names of the weights stay.
        trained.compile()
