"""The network: normalisation, backbone and head in one module, from pixels to logits."""

import torch
from torch import Tensor, nn

from gingham.models.backbone import Backbone
from gingham.models.catalogue import ImageSize, build_structure
from gingham.models.heads import Head, build_head
from gingham.models.options import ModelOptions
from gingham.models.weights import Channels, load_backbone
from gingham.schema import AttributeSchema

__all__ = ["Network", "build_network", "outline", "parameter_table"]


class Network(nn.Module):
    """uint8 images in, logits out; everything that an exported graph needs is inside.

    Mean and std belong to the preprocessing (`preprocess.json`), so they are not part of the state dict.

    Attributes:
        backbone: tokens of normalised images.
        head: logits of tokens.
        mean: float32 `[3]`, of pixels in 0..255.
        std: float32 `[3]`, of pixels in 0..255.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone, head: Head, mean: Channels, std: Channels) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self._statistics = (mean, std)
        self._set_statistics(next(backbone.parameters()).device)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits `[B, ΣC]` of upright RGB images, uint8 `[B, H, W, 3]`."""
        return self.from_features(self.features(pixels))

    def features(self, pixels: Tensor) -> Tensor:
        """Tokens `[B, *backbone.kept.shape]` of upright RGB images, uint8 `[B, H, W, 3]`: what a cache may keep.

        They are the backbone's, or where its last stages are trained, those that go into these.
        """
        normalised = (pixels.to(torch.float32) - self.mean) / self.std
        return self.backbone.begin(normalised.permute(0, 3, 1, 2).to(self.backbone.dtype))

    def from_features(self, tokens: Tensor) -> Tensor:
        """Logits `[B, ΣC]` of what `features` gave, which may come from a cache."""
        logits: Tensor = self.head(self.backbone.finish(tokens), self.backbone.grid)
        return logits

    def frozen_tensors(self) -> set[str]:
        """The names in the state dict of what training leaves as it is: parameters and statistics."""
        return {f"backbone.{name}" for name in self.backbone.frozen_tensors()}

    def schema_rows(self, schema: AttributeSchema) -> dict[str, tuple[str, int]]:
        """As the head's, with the names that parameters have here."""
        return {what: (f"head.{name}", row) for what, (name, row) in self.head.schema_rows(schema).items()}

    def _set_statistics(self, device: torch.device) -> None:
        for name, values in zip(("mean", "std"), self._statistics, strict=True):
            scaled = torch.tensor([255.0 * value for value in values], dtype=torch.float32, device=device)
            self.register_buffer(name, scaled, persistent=False)

    def _apply(self, fn, recurse: bool = True):  # type: ignore[no-untyped-def]
        # `.to(bfloat16)` would round the statistics, and `.to_empty` would lose them: set them anew.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._set_statistics(self.mean.device)
        return self


def build_network(
    options: ModelOptions,
    schema: AttributeSchema,
    *,
    image_size: ImageSize,
    mean: Channels,
    std: Channels,
    load_weights: bool = True,
) -> Network:
    """Build the network of a recipe or bundle.

    Args:
        options: the block `model:`.
        schema: what the logits mean.
        image_size: in pixels; the side of a square, or (height, width).
        mean: of pixels in 0..1, from the preprocessing.
        std: of pixels in 0..1, from the preprocessing.
        load_weights: whether `options.weights` are fetched; if not, the backbone is random, to be filled from a bundle.

    Raises:
        RecipeError: the backbone is unknown, is not for this size, gives no map of tokens, or not so many; has no
            stochastic depth; or cannot be cut where `options.unfrozen_stages` say.
        WeightsError: the weights cannot be had or do not fit.
    """
    depth = options.stochastic_depth
    if load_weights:
        loaded = load_backbone(options.backbone, options.weights, image_size=image_size, stochastic_depth=depth)
        model = loaded.model
    else:
        model = build_structure(options.backbone, image_size, stochastic_depth=depth)
    backbone = Backbone(
        model,
        image_size,
        frozen=options.frozen,
        unfrozen_stages=options.unfrozen_stages,
        maps=options.maps,
        batchnorm_eval=options.batchnorm == "eval",
        name=options.backbone,
    )
    return Network(backbone, build_head(options, backbone.width, schema, backbone.grid), mean, std)


def outline(options: ModelOptions, schema: AttributeSchema, image_size: ImageSize) -> Network:
    """The network without numbers, on the meta device: free, and enough to count parameters and operations.

    Raises:
        RecipeError: as `build_network`.
    """
    blank = (0.0, 0.0, 0.0)
    with torch.device("meta"):
        return build_network(options, schema, image_size=image_size, mean=blank, std=blank, load_weights=False)


def parameter_table(network: Network) -> list[tuple[str, int]]:
    """(part, number of parameters) of the backbone and of each part of the head; they sum to the whole."""
    parts: list[tuple[str, int]] = [("backbone", _count(network.backbone))]
    for name, parameter in network.head.named_parameters(recurse=False):
        parts.append((f"head.{name}", parameter.numel()))
    for name, module in network.head.named_children():
        if _count(module):
            parts.append((f"head.{name}", _count(module)))
    return parts


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
