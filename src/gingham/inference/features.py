"""A cache of backbone features, so that an epoch over a frozen backbone costs only the head.

Rows are addressed by content: image bytes, box, preprocessing, augmented view; folders by the weights that made them.
Shards are immutable `.npy` files that are memory-mapped; a row in one table is found again from another.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from pydantic import Field

from gingham.errors import MachineError, UserError
from gingham.options import Options
from gingham.progress import Reporter
from gingham.storage import atomic_file, cache_directory, read_json, sha256_bytes, write_json

__all__ = ["FeatureCache", "FeatureOptions", "FeatureStore", "cache_info", "clear_cache"]

_SHARD_ROWS = 512

Half = npt.NDArray[np.float16]


class FeatureOptions(Options):
    """The `features:` block of a recipe.

    Attributes:
        cache: keep the features of a frozen backbone on disk and train the head on them.
        views: augmented views made of each training image; every epoch uses one of them, drawn by (seed, epoch, index).
        view_seed: of the views; separate from the training seed, so that runs with several seeds share them.
        limit_gb: size that the whole cache may reach, in 10^9 bytes; the shards used longest ago make room.
    """

    cache: bool = False
    views: int = Field(default=4, ge=1)
    view_seed: int = Field(default=0, ge=0)
    limit_gb: float = Field(default=50.0, gt=0)


@dataclass(frozen=True)
class FeatureStore:
    """Features of a list of rows, memory-mapped.

    Attributes:
        shards: float16 arrays `[n, N, D]`.
        where: int64 `[R, 2]`: shard and position of each row.
    """

    shards: tuple[Half, ...]
    where: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.where)

    def gather(self, rows: npt.NDArray[np.int64]) -> Half:
        """Copy rows into one array `[len(rows), N, D]`."""
        return np.stack([self.shards[shard][position] for shard, position in self.where[rows]])


class FeatureCache:
    """The features of one set of weights.

    Args:
        space: names the weights and everything else that rows do not (the folder's name is its hash).
        shape: `(N, D)` of one row.
        limit_gb: see `FeatureOptions`.
        root: the cache's folder; default: `features` in the user's cache folder.
    """

    def __init__(self, space: str, shape: tuple[int, int], *, limit_gb: float, root: Path | None = None) -> None:
        self.root = root or cache_directory() / "features"
        self.folder = self.root / sha256_bytes(space.encode())[:32]
        self.shape = shape
        self._space = space
        self._limit = int(limit_gb * 1e9)

    def open(
        self,
        keys: Sequence[str],
        compute: Callable[[Sequence[int]], Iterable[npt.NDArray[Any]]],
        *,
        reporter: Reporter,
        description: str = "features",
    ) -> FeatureStore:
        """Find the rows of `keys`, computing and storing those that are missing.

        An interrupted call keeps the shards that it finished; the next one goes on from there. Processes that ask for
        the same weights at once wait for each other, so that nothing is computed twice.

        Args:
            keys: one text a row that names image bytes, box, preprocessing and view.
            compute: positions in `keys` -> batches of features `[n, N, D]`, in that order.
            reporter: shows progress.
            description: of the progress bar.

        Raises:
            UserError: the rows alone are more than the cache's limit.
            MachineError: the disk is full or not writable.
        """
        needed = len(set(keys)) * self._row_bytes
        if needed > self._limit:
            raise UserError(
                f"features.limit_gb: {needed / 1e9:.1f} GB are needed, the limit is {self._limit / 1e9:.1f} GB; "
                "raise features.limit_gb, lower features.views, or set features.cache=false"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as failure:
            raise MachineError(f"{self.folder}: cannot be made ({failure.strerror}); set GINGHAM_CACHE") from None
        with FileLock(self.folder / "lock"):
            index = self._index()
            wanted: dict[str, int] = {}
            for position, key in enumerate(keys):
                if key not in index:
                    wanted.setdefault(key, position)
            if wanted:
                kept = {index[key][0] for key in keys if key in index}
                self._make_room(len(wanted) * self._row_bytes, kept)
                with reporter.bar(description, len(wanted)) as bar:
                    self._fill(list(wanted), list(wanted.values()), compute, bar.advance)
                index = self._index()
        return self._store([index[key] for key in keys])

    @property
    def _row_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * 2

    def _index(self) -> dict[str, tuple[str, int]]:
        index: dict[str, tuple[str, int]] = {}
        for file in sorted(self.folder.glob("*.json")):
            shard = read_json(file)
            data = self.folder / f"{file.stem}.npy"
            # A shard whose data is missing or of the wrong size is as good as absent: it is computed again.
            if data.is_file() and data.stat().st_size == shard["bytes"]:
                index.update({key: (file.stem, position) for position, key in enumerate(shard["keys"])})
        return index

    def _fill(
        self,
        keys: Sequence[str],
        positions: Sequence[int],
        compute: Callable[[Sequence[int]], Iterable[npt.NDArray[Any]]],
        advance: Callable[[int], None],
    ) -> None:
        rows: list[npt.NDArray[Any]] = []
        written = 0
        for batch in compute(positions):
            rows.extend(batch)
            advance(len(batch))
            while len(rows) >= _SHARD_ROWS:
                self._write_shard(keys[written : written + _SHARD_ROWS], rows[:_SHARD_ROWS])
                del rows[:_SHARD_ROWS]
                written += _SHARD_ROWS
        if rows:
            self._write_shard(keys[written:], rows)

    def _write_shard(self, keys: Sequence[str], rows: Sequence[npt.NDArray[Any]]) -> None:
        data = np.stack(rows).astype(np.float16)
        if not np.isfinite(data).all():
            raise UserError("features: the backbone gave values beyond float16's range; set features.cache=false")
        name = sha256_bytes("\n".join(keys).encode())[:32]
        with atomic_file(self.folder / f"{name}.npy") as stream:
            np.lib.format.write_array(stream, data, allow_pickle=False)
        # The list of keys comes last: a shard without it does not exist.
        size = (self.folder / f"{name}.npy").stat().st_size
        write_json(self.folder / f"{name}.json", {"space": self._space, "bytes": size, "keys": list(keys)})

    def _store(self, places: Sequence[tuple[str, int]]) -> FeatureStore:
        names = sorted({shard for shard, _ in places})
        number = {name: position for position, name in enumerate(names)}
        shards = []
        for name in names:
            shards.append(np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
            # The time of last use, by which shards are dropped.
            os.utime(self.folder / f"{name}.json")
        where = np.array([(number[shard], position) for shard, position in places], dtype=np.int64).reshape(-1, 2)
        return FeatureStore(tuple(shards), where)

    def _make_room(self, more: int, keep: set[str]) -> None:
        shards = sorted(self.root.glob("*/*.json"), key=lambda file: file.stat().st_mtime)
        used = sum(_shard_size(file) for file in shards)
        for file in shards:
            if used + more <= self._limit:
                return
            if file.parent != self.folder or file.stem not in keep:
                used -= _shard_size(file)
                # The list of keys goes first, so that no reader finds a shard without its data.
                file.unlink(missing_ok=True)
                file.with_suffix(".npy").unlink(missing_ok=True)


def _shard_size(keys: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return keys.stat().st_size + keys.with_suffix(".npy").stat().st_size
    return 0


def cache_info(root: Path | None = None) -> list[dict[str, Any]]:
    """One entry a set of weights in the cache: `folder`, `space`, `rows`, `bytes`, `last_used` (seconds since 1970)."""
    root = root or cache_directory() / "features"
    entries = []
    for folder in sorted(path for path in root.glob("*") if path.is_dir()):
        shards = sorted(folder.glob("*.json"))
        if not shards:
            continue
        entries.append(
            {
                "folder": str(folder),
                "space": json.loads(shards[0].read_text(encoding="utf-8"))["space"],
                "rows": sum(len(json.loads(shard.read_text(encoding="utf-8"))["keys"]) for shard in shards),
                "bytes": sum(_shard_size(shard) for shard in shards),
                "last_used": max((shard.stat().st_mtime for shard in shards), default=time.time()),
            }
        )
    return entries


def clear_cache(root: Path | None = None) -> int:
    """Remove all cached features and return the number of bytes that this freed."""
    root = root or cache_directory() / "features"
    freed = sum(_shard_size(shard) for shard in root.glob("*/*.json"))
    if root.is_dir():
        shutil.rmtree(root)
    return freed
