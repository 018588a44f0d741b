"""Features of a frozen backbone for the rows of label tables, through the cache: for training and for audits."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from gingham.data.prefetch import prefetch
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.inference.extract import extractor
from gingham.inference.features import FeatureCache, FeatureStore
from gingham.models.network import Network
from gingham.progress import Reporter
from gingham.storage import sha256_bytes, sha256_unchanged

__all__ = ["backbone_features", "box_of", "content_hashes", "content_keys", "means_of"]

_BATCH = 8
"""Images in one pass of the backbone: few enough for their activations to stay near the processor."""

_MEANS = 64
"""Rows whose tokens are averaged at once."""


def backbone_features(
    network: Network,
    space: str,
    keys: Sequence[str],
    pixels: Callable[[int], npt.NDArray[np.uint8]],
    *,
    limit_gb: float,
    workers: int,
    device: torch.device,
    reporter: Reporter,
    runtime: str = "torch",
    means: bool = False,
) -> FeatureStore:
    """Find or compute the backbone's tokens of many inputs, up to where its last stages are trained, if they are.

    Args:
        network: its backbone makes the features.
        space: names the backbone and its weights.
        keys: one text an input that names all that it depends on, see `content_keys`.
        pixels: position in `keys` -> the network's input, uint8 `[size, size, 3]`; called in worker threads.
        limit_gb: see `FeatureOptions`.
        workers: decoding threads.
        device: where the network is.
        reporter: shows progress.
        runtime: what computes them, see `extractor`.
        means: give the mean over each image's tokens, float32 `[1, D]`, in memory. It is computed from the cached
            tokens once and kept beside them; where it is there, the tokens are not looked at any more.

    Raises:
        ImageError: an image cannot be read.
        UserError: the features do not fit the cache's limit, or the runtime refuses.
        MachineError: the disk refuses.
    """

    def compute(positions: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
        extract = extractor(network, runtime, device)
        chunks = [positions[start : start + _BATCH] for start in range(0, len(positions), _BATCH)]
        for batch in prefetch(
            chunks, lambda chunk: np.stack([pixels(item) for item in chunk]), workers=workers, depth=8
        ):
            yield extract(batch)

    shape, _, where = network.backbone.kept
    # Rows of one runtime are never found where those of another are looked for: they differ in the last bits.
    place = " ".join(filter(None, [space, where, "" if runtime == "torch" else f"by {runtime}"]))
    name = f"{place} {shape[0]}x{shape[1]} float16"
    cache = FeatureCache(name, shape, limit_gb=limit_gb)
    hashed = [sha256_bytes(key.encode()) for key in keys]
    if not means:
        return cache.open(hashed, compute, reporter=reporter)

    def average(positions: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
        own = list(positions)
        tokens = cache.open(
            [hashed[position] for position in own],
            lambda some: compute([own[position] for position in some]),
            reporter=reporter,
        )
        yield from _means(tokens)

    averages = FeatureCache(f"mean of {name}", (1, shape[1]), limit_gb=limit_gb, dtype=np.float32)
    return averages.open(hashed, average, reporter=reporter, description="means of features").in_memory()


def means_of(store: FeatureStore) -> FeatureStore:
    """The mean over the tokens of each row, float32 `[1, D]`, in memory."""
    data = np.concatenate(list(_means(store)))
    return FeatureStore((data,), np.stack([np.zeros(len(data), np.int64), np.arange(len(data))], axis=1))


def _means(store: FeatureStore) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(store), _MEANS):
        tokens = store.gather(np.arange(start, min(start + _MEANS, len(store))))
        yield torch.from_numpy(tokens).float().mean(dim=1, keepdim=True).numpy()


def content_hashes(table: LabelTable, workers: int) -> list[str]:
    """Hexadecimal SHA-256 of the bytes of each image file."""
    return list(prefetch(table.paths(), sha256_unchanged, workers=workers, depth=64))


def content_keys(table: LabelTable, preprocess: Preprocess, workers: int) -> list[str]:
    """What the evaluation view of each image depends on: its bytes, its box if that is looked at, and the options."""
    options = preprocess.model_dump_json()
    keys = []
    for row, content in enumerate(content_hashes(table, workers)):
        box = box_of(table, row) if preprocess.region == "box" else None
        keys.append(f"{content} {None if box is None else box.tolist()} {options}")
    return keys


def box_of(table: LabelTable, row: int) -> npt.NDArray[np.float32] | None:
    """The box of one row, `[4]`, or None."""
    if table.boxes is None or np.isnan(table.boxes[row]).any():
        return None
    box: npt.NDArray[np.float32] = table.boxes[row]
    return box
