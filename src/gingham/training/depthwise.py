"""Depthwise convolutions in bf16 on processors, with gradients that are computed in other ways than PyTorch's.

oneDNN has fast bf16 kernels for their forward pass, but for the gradient only where the kernel is 3x3 and moves by one:
with a stride the gradient of the input, and with 5x5 kernels that of the weight, take several times as long as in fp32.
So the former becomes a convolution that moves by one, and the latter is computed in fp32. EfficientNets consist of
these.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

__all__ = ["with_quick_gradients"]

Pair = tuple[int, int]


def with_quick_gradients(modules: Iterable[nn.Module]) -> int:
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
    if not depthwise or isinstance(conv.padding, str) or conv.padding_mode != "zeros" or conv.bias is not None:
        return False
    inside = all(int(p) < k for p, k in zip(conv.padding, conv.kernel_size, strict=True))
    plain = inside and set(conv.dilation) == {1} and conv.weight.requires_grad
    return plain and (max(conv.kernel_size) > 3 or max(conv.stride) > 1)


def _forward(conv: nn.Conv2d, original: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
        return original(x)
    if isinstance(conv, Conv2dSame):
        x = pad_same(x, list(conv.kernel_size), list(conv.stride), list(conv.dilation))
        padding: Any = (0, 0)
    else:
        padding = conv.padding
    convolved: Tensor = _Depthwise.apply(x, conv.weight, conv.stride, padding)
    return convolved


class _Depthwise(Function):
    """A depthwise convolution without bias in bf16, whose gradients go the ways that are fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        lower = x.to(torch.bfloat16)
        ctx.save_for_backward(lower, weight)
        ctx.options = (stride, padding)
        ctx.dtype = x.dtype
        return functional.conv2d(lower, weight.to(torch.bfloat16), None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        stride, padding = ctx.options
        lower = weight.to(torch.bfloat16)
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            if max(stride) > 1:
                of_input = _spread(gradient, x.shape, lower, stride, padding)
            else:
                of_input = _gradient(gradient, x, lower, stride, padding, 0)
            of_input = of_input.to(ctx.dtype)
        if ctx.needs_input_grad[1]:
            if max(weight.shape[2:]) > 3:
                of_weight = _gradient(gradient.float(), x.float(), weight.float(), stride, padding, 1)
            else:
                of_weight = _gradient(gradient, x, lower, stride, padding, 1)
            of_weight = of_weight.to(weight.dtype)
        return of_input, of_weight, None, None


def _gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, which: int) -> Tensor:
    """PyTorch's gradient of the input (0) or the weight (1)."""
    mask = [which == 0, which == 1, False]
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, list(stride), list(padding), [1, 1], False, [0, 0], len(weight), mask
    )
    return found[which]


def _spread(gradient: Tensor, shape: torch.Size, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The gradient of the input as a convolution that moves by one: of the gradient with zeros between its cells."""
    batch, channels, height, width = shape
    down, right = weight.shape[2] - 1, weight.shape[3] - 1
    page = torch.empty(
        (batch, channels, height + down, width + right),
        dtype=gradient.dtype,
        device=gradient.device,
        memory_format=torch.channels_last,
    ).zero_()
    top, left = down - padding[0], right - padding[1]
    rows = slice(top, top + (gradient.shape[2] - 1) * stride[0] + 1, stride[0])
    columns = slice(left, left + (gradient.shape[3] - 1) * stride[1] + 1, stride[1])
    page[:, :, rows, columns] = gradient
    return functional.conv2d(page, weight.flip(2, 3), groups=len(weight))
