"""Any timm model as a map of tokens."""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from gingham.errors import RecipeError
from gingham.models.catalogue import ImageSize, height_and_width
from gingham.models.tensors import state_hash

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """Wraps a timm model that was built without classifier and without pooling.

    Width and grid are found by running the model once, on the meta device: neither numbers nor memory are needed.

    Attributes:
        width: channels D of a token.
        grid: (h, w); the tokens are its cells, row by row.
        image_size: (height, width) in pixels that the grid belongs to.

    Args:
        model: the timm model.
        image_size: of the images that it will see.
        frozen: no gradients, and eval mode for good.
        batchnorm_eval: BatchNorm keeps its running statistics in train mode too.
        name: of the backbone, for messages.

    Raises:
        RecipeError: the model's output is no map (pooled, or several maps, or tokens that form no rectangle).
    """

    def __init__(
        self,
        model: nn.Module,
        image_size: ImageSize,
        *,
        frozen: bool = False,
        batchnorm_eval: bool = False,
        name: str = "",
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name or type(model).__name__
        self.image_size = height_and_width(image_size)
        self.frozen = frozen
        self.batchnorm_eval = batchnorm_eval
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self.prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        self.width, self.grid = self._probe()
        if frozen:
            self.requires_grad_(False)
        self.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens `[B, N, D]` of normalised images, float `[B, 3, H, W]`."""
        features: Tensor = self.model(images)
        if features.dim() == 3:
            return features[:, self.prefix_tokens :]
        if self.channels_last:
            return features.flatten(1, 2)
        return features.flatten(2).transpose(1, 2)

    def train(self, mode: bool = True) -> "Backbone":
        """Set train mode, but for what is to stay in eval mode: all of it if frozen, else BatchNorm if so asked."""
        super().train(mode and not self.frozen)
        if self.batchnorm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""
        return next(self.parameters()).dtype

    def weights_hash(self) -> str:
        """SHA-256 of the weights: what cached features of a frozen backbone are filed under."""
        return state_hash(self.model.state_dict())

    def _probe(self) -> tuple[int, tuple[int, int]]:
        height, width = self.image_size
        # The model's own tensors are swapped for empty ones for the length of one call.
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        empty = {key: tensor.detach().to("meta") for key, tensor in tensors.items()}
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                output = functional_call(self.model, empty, (torch.zeros(1, 3, height, width, device="meta"),))
        except (AssertionError, RuntimeError, TypeError, ValueError) as failure:
            reason = str(failure).strip().split("\n")[0]
            raise RecipeError(
                f"model.backbone: '{self.name}' does not take {height}x{width} images ({reason}); choose another size"
            ) from failure
        finally:
            self.model.train(training)
        if isinstance(output, Tensor) and output.dim() == 4:
            if self.channels_last:
                return output.shape[3], (output.shape[1], output.shape[2])
            return output.shape[1], (output.shape[2], output.shape[3])
        if isinstance(output, Tensor) and output.dim() == 3:
            grid = self._token_grid(output.shape[1] - self.prefix_tokens)
            if grid is not None:
                return output.shape[2], grid
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise RecipeError(
            f"model.backbone: the output of '{self.name}' ({shape}) is no map of tokens; choose another backbone"
        )

    def _token_grid(self, count: int) -> tuple[int, int] | None:
        # One token is what is left of an image when a model pools in spite of being told not to.
        if count < 2:
            return None
        known = getattr(getattr(self.model, "patch_embed", None), "grid_size", None)
        if known is not None and math.prod(known) == count:
            return int(known[0]), int(known[1])
        # Cells are square in pixels, so the grid has the proportions of the image.
        height, width = self.image_size
        rows = round(math.sqrt(count * height / width))
        if rows and count % rows == 0 and rows * width == count // rows * height:
            return rows, count // rows
        return None
