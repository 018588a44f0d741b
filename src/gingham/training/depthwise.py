"""Depthwise convolutions in bf16 on processors, with their gradients in fp32.

oneDNN has fast bf16 kernels for their forward pass, but for the gradient only where the kernel is 3x3 and moves by one:
with a stride the gradient of the input, and with 5x5 kernels that of the weight, take several times as long as in fp32.
EfficientNets consist of these.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

__all__ = ["with_exact_gradients"]

Pair = tuple[int, int]


def with_exact_gradients(modules: Iterable[nn.Module]) -> int:
    """Change, in place, how the depthwise convolutions among modules compute their gradients under bf16 autocast.

    Without autocast, or without gradients, they stay what they are.

    Returns:
        How many were changed.
    """
    changed = 0
    for module in modules:
        if isinstance(module, nn.Conv2d) and _is_slow(module):
            # On the instance: its class, names and weights stay.
            module.forward = functools.partial(_forward, module, module.forward)  # type: ignore[method-assign]
            changed += 1
    return changed


def _is_slow(conv: nn.Conv2d) -> bool:
    depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
    plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str) and conv.bias is None
    trained = conv.weight.requires_grad
    return depthwise and plain and trained and (max(conv.kernel_size) > 3 or max(conv.stride) > 1)


def _forward(conv: nn.Conv2d, original: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
        return original(x)
    if isinstance(conv, Conv2dSame):
        x = pad_same(x, conv.kernel_size, conv.stride, conv.dilation)
        padding: Any = (0, 0)
    else:
        padding = conv.padding
    gradients: Tensor = _Depthwise.apply(x, conv.weight, conv.stride, padding, conv.dilation)
    return gradients


class _Depthwise(Function):
    """A depthwise convolution without bias: bf16 forwards, fp32 backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
        lower = x.to(torch.bfloat16)
        ctx.save_for_backward(lower, weight)
        ctx.options = (stride, padding, dilation)
        ctx.dtype = x.dtype
        return functional.conv2d(lower, weight.to(torch.bfloat16), None, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        lower, weight = ctx.saved_tensors
        wanted = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]
        stride, padding, dilation = ctx.options
        of_input, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0].float(),
            lower.float(),
            weight.float(),
            None,
            list(stride),
            list(padding),
            list(dilation),
            False,
            [0, 0],
            len(weight),
            wanted,
        )
        if of_input is not None:
            of_input = of_input.to(ctx.dtype)
        return of_input, of_weight, None, None, None
