"""Depthwise convolutions with fp32 gradients: as exact as fp32, and nothing else changes."""

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from gingham.training.depthwise import with_quick_gradients


def _conv(kind: type[nn.Conv2d], **options: int) -> nn.Conv2d:
    torch.manual_seed(0)
    return kind(8, 8, groups=8, bias=False, **options)


@pytest.mark.parametrize(
    "conv",
    [
        _conv(nn.Conv2d, kernel_size=5, padding=2),
        _conv(nn.Conv2d, kernel_size=3, stride=2, padding=1),
        _conv(Conv2dSame, kernel_size=5, stride=2),
    ],
)
def test_gradients_are_those_of_fp32(conv: nn.Conv2d) -> None:
    x = torch.randn(2, 8, 14, 14, generator=torch.Generator().manual_seed(1)).requires_grad_()
    expected = conv(x)
    expected.square().sum().backward()
    truth = x.grad, conv.weight.grad
    x.grad = conv.weight.grad = None
    assert with_quick_gradients(nn.Sequential(conv).modules()) == 1
    assert torch.equal(conv(x), expected), "without autocast nothing changes"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = conv(x)
        with torch.no_grad():
            assert torch.equal(conv(x), found)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    found.float().square().sum().backward()
    for gradient, exact in zip((x.grad, conv.weight.grad), truth, strict=True):
        assert gradient is not None
        assert exact is not None
        assert gradient.dtype == torch.float32
        assert float((gradient - exact).norm() / exact.norm()) < 0.01


def test_convolutions_that_are_fast_or_frozen_stay_what_they_are() -> None:
    frozen = _conv(nn.Conv2d, kernel_size=5)
    frozen.requires_grad_(False)
    others = [
        _conv(nn.Conv2d, kernel_size=3, padding=1),
        nn.Conv2d(8, 8, 5),
        nn.Conv2d(8, 8, 5, groups=8),
        frozen,
    ]
    assert with_quick_gradients(others) == 0
    assert all("forward" not in vars(conv) for conv in others)
