"""What the trained module is fed: pixels of augmented images, or cached features of augmented views."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gingham.data.augment import Augment, rng_for
from gingham.data.decode import MAX_PIXELS, decode
from gingham.data.preprocess import Preprocess, Region, region_of, resized
from gingham.data.survey import survey
from gingham.data.table import LabelTable
from gingham.data.test_time import TestTime, evaluation_regions
from gingham.errors import ImageError
from gingham.inference.cached import backbone_features, box_of, content_hashes, content_keys
from gingham.inference.features import FeatureOptions, FeatureStore
from gingham.models.network import Network
from gingham.progress import Reporter
from gingham.training.views import view

__all__ = [
    "CachedInputs",
    "FeatureNetwork",
    "Inputs",
    "PixelInputs",
    "cached_inputs",
    "cached_views",
    "content_numbers",
]

Indices = npt.NDArray[np.int64]

_MIRRORED = "mirrored"


class Inputs(Protocol):
    """Two sources of batches, addressed by row of the training or validation table.

    Attributes:
        grid: rows and columns of an input: of pixels, or of tokens.
        at_hand: whether they lie in memory, so that threads that work ahead would cost more than they save.
    """

    @property
    def at_hand(self) -> bool:
        """See the class."""

    @property
    def grid(self) -> tuple[int, int]:
        """See the class."""

    def train(self, epoch: int, indices: Indices) -> Tensor:
        """Augmented inputs of training rows in one epoch, `[b, ...]`; a pure function of its arguments.

        Row r of a table of N is also r + N, r + 2N, ...: as many images that are augmented each in its own way.
        """

    def val(self, indices: Indices) -> Tensor:
        """Inputs of validation rows, without augmentation."""


class PixelInputs:
    """Decodes and augments images: uint8 `[b, size, size, 3]`.

    Args:
        train: training images.
        val: validation images.
        preprocess: of both.
        augment: of the training views.
        seed: of the training views.
        max_pixels: larger images are refused.
        numbers: what the views of each training image are drawn by; default: its row.
    """

    def __init__(
        self,
        train: LabelTable,
        val: LabelTable,
        preprocess: Preprocess,
        augment: Augment,
        *,
        seed: int,
        max_pixels: int = MAX_PIXELS,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self._train, self._val = train, val
        self._preprocess, self._augment, self._seed, self._max_pixels = preprocess, augment, seed, max_pixels
        self._numbers = range(len(train)) if numbers is None else numbers
        self.grid = (preprocess.size, preprocess.size)
        self.at_hand = False

    def train(self, epoch: int, indices: Indices) -> Tensor:
        """See `Inputs`. Raises `ImageError` for an unreadable image."""
        rows = [
            view(
                decode(self._train.path(row), max_pixels=self._max_pixels),
                box_of(self._train, row),
                self._preprocess,
                self._augment,
                rng_for(self._seed, epoch, self._numbers[row] + index - row),
            )
            for index in indices.tolist()
            for row in [index % len(self._train)]
        ]
        return torch.from_numpy(np.stack(rows))

    def val(self, indices: Indices) -> Tensor:
        """See `Inputs`. Raises `ImageError` for an unreadable image."""
        rows = [
            self._preprocess.apply(
                decode(self._val.path(row), max_pixels=self._max_pixels),
                box_of(self._val, row),
            )
            for row in indices.tolist()
        ]
        return torch.from_numpy(np.stack(rows))


class CachedInputs:
    """Reads features from the cache: float32 `[b, N, D]`, or `[b, 1, D]` of means.

    Args:
        store: the views of the training images, view by view, and then the validation images.
        train: number of training images.
        views: of each of them.
        seed: of the choice of a view.
        grid: of the tokens.
    """

    def __init__(self, store: FeatureStore, train: int, *, views: int, seed: int, grid: tuple[int, int]) -> None:
        self._store, self._train, self._views, self._seed = store, train, views, seed
        self.grid = grid
        self.at_hand = all(not isinstance(shard, np.memmap) for shard in store.shards)
        self._drawn: tuple[int, Indices] = (-1, np.empty(0, dtype=np.int64))

    def train(self, epoch: int, indices: Indices) -> Tensor:
        """See `Inputs`."""
        return self._gather(self._chosen(epoch, indices) * self._train + indices % self._train)

    def val(self, indices: Indices) -> Tensor:
        """See `Inputs`."""
        return self._gather(self._views * self._train + indices)

    def _chosen(self, epoch: int, indices: Indices) -> Indices:
        """The view that each index sees in an epoch: number `index` of one stream for each (seed, epoch)."""
        known, views = self._drawn
        longest = int(indices.max(initial=0)) + 1
        if known != epoch or len(views) < longest:
            # The beginning of a longer draw is the shorter one.
            size = max(longest, self._train)
            views = rng_for(self._seed, epoch, 0).integers(self._views, size=size, dtype=np.int64)
            self._drawn = epoch, views
        return views[indices]

    def _gather(self, rows: Indices) -> Tensor:
        return torch.from_numpy(self._store.gather(rows)).float()


class FeatureNetwork(nn.Module):
    """The part of a network that works on cached features: its head, after the backbone's stages that are trained.

    Its tensors have the names that they have in the network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone = network.backbone if network.backbone.unfrozen else None
        self.head = network.head
        self._grid = network.backbone.grid

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `[B, ΣC]` of what `Network.features` gave."""
        if self.backbone is not None:
            tokens = self.backbone.finish(tokens)
        logits: Tensor = self.head(tokens, self._grid)
        return logits


def content_numbers(table: LabelTable, workers: int) -> list[int]:
    """What the cached views of each image are drawn by: 64 bits of its file's hash.

    Not the row: an image keeps its views, and so its features, in every fold, split and table that it is part of.
    """
    return [int(content[:16], 16) for content in content_hashes(table, workers)]


def cached_inputs(
    network: Network,
    space: str,
    train: LabelTable,
    val: LabelTable,
    preprocess: Preprocess,
    augment: Augment,
    options: FeatureOptions,
    *,
    seed: int,
    workers: int,
    device: torch.device,
    reporter: Reporter,
    max_pixels: int = MAX_PIXELS,
    means: bool = False,
) -> CachedInputs:
    """Find or compute the features of all views of the training images and of the validation images.

    Args:
        network: its backbone makes the features.
        space: names the backbone and its weights.
        train: training images.
        val: validation images.
        preprocess: of both.
        augment: of the training views.
        options: how many views, and how much disk.
        seed: of the choice of a view in each epoch.
        workers: decoding threads.
        device: where the network is.
        reporter: shows progress.
        max_pixels: larger images are refused; one whose features are there already needs no decoding.
        means: of the tokens of each image, for a head that looks at nothing else.

    Raises:
        ImageError: an image cannot be read.
        UserError: the features do not fit the cache's limit.
        MachineError: the disk refuses.
    """
    plain_keys, val_keys = content_keys(train, preprocess, workers), content_keys(val, preprocess, workers)
    numbers = content_numbers(train, workers)
    # Views that cannot differ are made once. An even chance of a mirror image, and nothing else, is both views: those
    # that evaluation knows too, and that other folds have for their validation.
    mirrors = augment.only_mirrors and options.views > 1
    views = 2 if mirrors else options.views if augment.varies else 1
    count = views * len(train)

    def pixels(position: int) -> npt.NDArray[np.uint8]:
        number, row = divmod(position, len(train))
        if position >= count:
            row = position - count
            return preprocess.apply(decode(val.path(row), max_pixels=max_pixels), box_of(val, row))
        image = decode(train.path(row), max_pixels=max_pixels)
        if mirrors:
            page = preprocess.apply(image, box_of(train, row))
            return np.ascontiguousarray(page[:, ::-1]) if number else page
        rng = rng_for(options.view_seed, number, numbers[row])
        return view(image, box_of(train, row), preprocess, augment, rng)

    if mirrors:
        keys = plain_keys + [f"{content} {_MIRRORED}" for content in plain_keys]
    else:
        drawn = f"{augment.model_dump_json()} {options.view_seed}"
        keys = [f"{content} {drawn} {number}" for number in range(views) for content in plain_keys]
    keys += val_keys
    store = backbone_features(
        network,
        space,
        keys,
        pixels,
        limit_gb=options.limit_gb,
        workers=workers,
        device=device,
        reporter=reporter,
        runtime=options.runtime,
        means=means,
    )
    grid = (1, 1) if means else network.backbone.kept.grid
    return CachedInputs(store, len(train), views=views, seed=seed, grid=grid)


def cached_views(
    network: Network,
    space: str,
    table: LabelTable,
    preprocess: Preprocess,
    test_time: TestTime,
    options: FeatureOptions,
    *,
    workers: int,
    device: torch.device,
    reporter: Reporter,
    max_pixels: int = MAX_PIXELS,
    means: bool = False,
) -> tuple[FeatureStore, list[int]]:
    """Find or compute the features of all evaluation views of images, in the order of `evaluation_views`.

    Views that several `test_time` have in common are computed once, and so is the one that validation looks at.

    Returns:
        The features of all views, image by image, and how many each image has.

    Raises:
        As `cached_inputs`.
    """
    found = survey(table.paths(), workers=workers, max_pixels=max_pixels, reporter=reporter)
    seen: list[tuple[int, Region, bool]] = []
    keys: list[str] = []
    counts: list[int] = []
    for row, (content, facts) in enumerate(zip(content_keys(table, preprocess, workers), found, strict=True)):
        if isinstance(facts, ImageError):
            raise facts
        box = box_of(table, row)
        plain = region_of(facts, box, preprocess)
        regions = evaluation_regions(facts, box, preprocess, test_time)
        for region in regions:
            for mirrored in (False, True) if test_time.flip else (False,):
                seen.append((row, region, mirrored))
                shown = content if region == plain else f"{content} {region}"
                keys.append(f"{shown} {_MIRRORED}" if mirrored else shown)
        counts.append(len(seen) - sum(counts))

    def pixels(position: int) -> npt.NDArray[np.uint8]:
        row, region, mirrored = seen[position]
        image = decode(table.path(row), max_pixels=max_pixels)
        page = np.array(resized(image, region, preprocess, preprocess.size))
        return np.ascontiguousarray(page[:, ::-1]) if mirrored else page

    store = backbone_features(
        network,
        space,
        keys,
        pixels,
        limit_gb=options.limit_gb,
        workers=workers,
        device=device,
        reporter=reporter,
        runtime=options.runtime,
        means=means,
    )
    return store, counts
