"""Running a model on the meta device: shapes and costs without numbers, time or memory."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["dry_run"]


def dry_run(model: nn.Module, function: Callable[[Tensor], Any], images: Tensor) -> Any:
    """Call a function that uses a model, in eval mode, with all tensors on the meta device.

    Args:
        model: what the function uses; its own tensors, mode and device are afterwards as they were.
        function: of `images`; the model itself, one of its methods, or anything that calls it.
        images: of any values.
    """
    called = _Called(model, function)
    # The model's own tensors are swapped for empty ones for the length of one call.
    tensors = {**dict(called.named_parameters()), **dict(called.named_buffers())}
    empty = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return functional_call(called, empty, (images.to("meta"),))
    finally:
        model.train(training)


class _Called(nn.Module):
    """`functional_call` swaps the tensors of the module that it calls."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        # In a tuple, as a function that is a module would be registered twice.
        self._function = (function,)

    def forward(self, images: Tensor) -> Any:
        return self._function[0](images)
