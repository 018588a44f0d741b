"""Any timm model as a map of tokens."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from gingham.errors import RecipeError
from gingham.models.catalogue import ImageSize, height_and_width
from gingham.models.dry_run import dry_run
from gingham.models.stages import Steps, modules_of, run_steps, split_stages
from gingham.models.tensors import state_hash

__all__ = ["Backbone", "Kept"]


class Kept(NamedTuple):
    """What `Backbone.begin` gives, and a cache may keep.

    Attributes:
        shape: (N, D) of one image's tokens, where those count too that are no cells (a class token).
        grid: (h, w) of the cells.
        where: what these tokens are, if not the last map alone.
    """

    shape: tuple[int, int]
    grid: tuple[int, int]
    where: str


class Backbone(nn.Module):
    """Wraps a timm model that was built without classifier and without pooling.

    Width and grid are found by running the model on the meta device: neither numbers nor memory are needed.

    `forward` is `finish(begin(images))`. `begin` is all of it, unless a frozen backbone is cut in two so that its last
    stages are trained after all: then `finish` is these.

    Attributes:
        width: channels D of a token.
        grid: (h, w); the tokens are its cells, row by row.
        kept: of what `begin` gives.
        image_size: (height, width) in pixels that the grid belongs to.

    Args:
        model: the timm model.
        image_size: of the images that it will see.
        frozen: no gradients, and eval mode for good.
        unfrozen_stages: of a frozen one, how many of the last stages (see `stages`) are trained after all.
        maps: how many of its last feature maps make up the tokens: each is averaged to the grid of the last one, and
            they lie side by side along the channels, the last one first (hypercolumns, Hariharan et al. 2015).
        batchnorm_eval: BatchNorm keeps its running statistics in train mode too.
        name: of the backbone, for messages.

    Raises:
        RecipeError: the model's output is no map (pooled, or several maps, or tokens that form no rectangle); or it
            has not so many maps, or cannot be cut there.
    """

    def __init__(
        self,
        model: nn.Module,
        image_size: ImageSize,
        *,
        frozen: bool = False,
        unfrozen_stages: int = 0,
        maps: int = 1,
        batchnorm_eval: bool = False,
        name: str = "",
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name or type(model).__name__
        self.image_size = height_and_width(image_size)
        self.frozen = frozen
        self.maps = maps
        self.batchnorm_eval = batchnorm_eval
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        self.prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        self._first: Steps = ()
        self._rest: Steps = ()
        self._rest_takes_maps = True
        self._recomputes = False
        height, width = self.image_size
        refusal = f"model.backbone: '{self.name}' does not take {height}x{width} images ({{}}); choose another size"
        self.width, self.grid = self._map_of(self._dry_run(model, refusal))
        self.kept = Kept((math.prod(self.grid), self.width), self.grid, "")
        if frozen and unfrozen_stages:
            self._cut(unfrozen_stages)
        elif maps > 1:
            self._widen()
        if frozen:
            self.requires_grad_(False)
            for module in self._rest_modules().values():
                module.requires_grad_(True)
        self.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        """Tokens `[B, N, D]` of normalised images, float `[B, 3, H, W]`."""
        return self.finish(self.begin(images))

    def begin(self, images: Tensor) -> Tensor:
        """Tokens `[B, *kept.shape]` of normalised images, float `[B, 3, H, W]`."""
        if self._rest:
            return self._tokens(run_steps(self.model, self._first, images))
        if self.maps > 1:
            return self._hypercolumns(images)
        return self._cells(self.model(images))

    def finish(self, tokens: Tensor) -> Tensor:
        """Tokens `[B, N, D]` of what `begin` gave."""
        if not self._rest:
            return tokens
        features = tokens
        if self._rest_takes_maps:
            features = tokens.reshape(tokens.shape[0], *self.kept.grid, tokens.shape[2])
            # A view: "channels last" is the layout in which convolutions are fastest on a processor.
            features = features if self.channels_last else features.permute(0, 3, 1, 2)
        return self._cells(
            run_steps(self.model, self._rest, features, recompute=self._recomputes and torch.is_grad_enabled())
        )

    def checkpoint_gradients(self) -> None:
        """While training, keep the activations between the trained blocks only, and compute those inside again.

        Gradients stay what they are, to the bit where the computation is (Chen et al. 2016, arXiv:1604.06174).

        Raises:
            RecipeError: the model cannot.
        """
        if self._rest:
            self._recomputes = True
            return
        model: Any = self.model
        refusal = f"train.checkpointing: '{self.name}' cannot compute its activations again; set it to false"
        if not hasattr(model, "set_grad_checkpointing"):
            raise RecipeError(refusal)
        try:
            model.set_grad_checkpointing(True)
        except (AssertionError, NotImplementedError) as failure:
            raise RecipeError(refusal) from failure

    def train(self, mode: bool = True) -> "Backbone":
        """Set train mode, but for what is to stay in eval mode: all that is frozen, and BatchNorm if so asked."""
        super().train(mode and not self.frozen)
        for module in self._rest_modules().values():
            module.train(mode)
        if self.batchnorm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def exchange(self, model: nn.Module) -> None:
        """Let another module take the model's place: one that gives tokens `[B, N, D]`, and only as a whole."""
        self.model = model
        self._first = self._rest = ()

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""
        return next(self.parameters()).dtype

    def weights_hash(self) -> str:
        """SHA-256 of the weights: what cached features of a frozen backbone are filed under."""
        return state_hash(self.model.state_dict())

    @property
    def unfrozen(self) -> bool:
        """Whether it is frozen but for its last stages."""
        return bool(self._rest)

    def frozen_tensors(self) -> set[str]:
        """The names in the state dict of what training leaves as it is: parameters and statistics."""
        unfrozen = tuple(f"model.{name}." for name in self._rest_modules())
        return {name for name in self.state_dict() if self.frozen and not name.startswith(unfrozen)}

    def _rest_modules(self) -> dict[str, nn.Module]:
        return modules_of(self.model, self._rest)

    def _cells(self, features: Tensor) -> Tensor:
        tokens = self._tokens(features)
        return tokens[:, self.prefix_tokens :] if features.dim() == 3 else tokens

    def _tokens(self, features: Tensor) -> Tensor:
        if features.dim() == 3:
            return features
        return features.flatten(1, 2) if self.channels_last else features.flatten(2).transpose(1, 2)

    def _cut(self, unfrozen_stages: int) -> None:
        if self.maps > 1:
            raise RecipeError(
                "model.maps: where model.unfrozen_stages begin, only one map is kept; set model.maps=1, or "
                "model.unfrozen_stages=0"
            )
        self._first, self._rest = split_stages(self.model, unfrozen_stages, self.name)
        refusal = f"model.unfrozen_stages: '{self.name}' cannot be cut ({{}}); set it to 0"
        features = self._dry_run(lambda images: run_steps(self.model, self._first, images), refusal)
        _, count, width = self._tokens(features).shape
        _, grid = self._map_of(features)
        self._rest_takes_maps = features.dim() == 4
        self.kept = Kept((count, width), grid, f"before the last {unfrozen_stages} stages")

    def _widen(self) -> None:
        model: Any = self.model
        if not hasattr(model, "forward_intermediates"):
            raise RecipeError(f"model.maps: '{self.name}' does not give other maps than its last one; set it to 1")
        refusal = f"model.maps: '{self.name}' does not give other maps than its last one ({{}}); set it to 1"
        there_are = len(self._dry_run(lambda images: model.forward_intermediates(images, norm=True)[1], refusal))
        if self.maps > there_are:
            raise RecipeError(f"model.maps: '{self.name}' has {there_are} maps, not {self.maps}; set fewer")
        self.width = self._dry_run(self._hypercolumns, refusal).shape[2]
        self.kept = Kept((math.prod(self.grid), self.width), self.grid, f"the last {self.maps} maps")

    def _hypercolumns(self, images: Tensor) -> Tensor:
        # The last map is the model's output, which may have gone through a convolution or norm more.
        model: Any = self.model
        last, maps = model.forward_intermediates(images, indices=self.maps, norm=True)
        earlier = [functional.adaptive_avg_pool2d(features, self.grid) for features in reversed(maps[:-1])]
        columns = [features.flatten(2).transpose(1, 2) for features in earlier]
        return torch.cat([self._cells(model.forward_head(last)), *columns], dim=2)

    def _dry_run(self, function: Callable[[Tensor], Any], refusal: str) -> Any:
        """What a function of images gives that calls the model; `refusal` says what an error in it means."""
        try:
            return dry_run(self.model, function, torch.zeros(1, 3, *self.image_size, device="meta"))
        except (AssertionError, RuntimeError, TypeError, ValueError) as failure:
            reason = str(failure).strip().split("\n")[0]
            raise RecipeError(refusal.format(reason)) from failure

    def _map_of(self, output: Any) -> tuple[int, tuple[int, int]]:
        """Width and grid of a model's output."""
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
