"""A cache of backbone features, so that an epoch over a frozen backbone costs only the head.

Rows are addressed by content: image bytes, box, preprocessing, augmented view; folders by the weights that made them.
Shards are immutable `.npy` files that are memory-mapped; a row in one table is found again from another.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from pydantic import Field

from gingham.errors import MachineError, UserError
from gingham.inference.shards import Lease, bookkeeping, make_room, read_keys
from gingham.options import Options
from gingham.progress import Reporter
from gingham.storage import atomic_file, cache_directory, recover, sha256_bytes, sha256_unchanged, write_json

__all__ = ["FeatureCache", "FeatureOptions", "FeatureStore"]

_SHARD_ROWS = 512

Floats = npt.NDArray[np.float16] | npt.NDArray[np.float32]


class FeatureOptions(Options):
    """The `features:` block of a recipe.

    Attributes:
        cache: keep the features of a frozen backbone on disk and train the head on them.
        views: augmented views made of each training image; every epoch uses one of them, drawn by (seed, epoch, index).
        runtime: what computes them: `torch`, `openvino` (float32 too, about four times as fast on a processor; needs
            `pip install 'gingham[openvino]'`), or `auto`: openvino where it is installed and there is no GPU. In the
            run's recipe `auto` is replaced. Features of one runtime are not used in place of another's.
        view_seed: of the views; separate from the training seed, so that runs with several seeds share them.
        limit_gb: size that the whole cache may reach, in 10^9 bytes; the shards used longest ago make room, but
            never those in use.
    """

    cache: bool = False
    runtime: Literal["auto", "torch", "openvino"] = "torch"
    views: int = Field(default=4, ge=1)
    view_seed: int = Field(default=0, ge=0)
    limit_gb: float = Field(default=50.0, gt=0)


@dataclass(frozen=True)
class FeatureStore:
    """Features of a list of rows, memory-mapped.

    Attributes:
        shards: float16 or float32 arrays `[n, N, D]`.
        where: int64 `[R, 2]`: shard and position of each row.
        lease: keeps the shards from being dropped as long as this store lives.
    """

    shards: tuple[Floats, ...]
    where: npt.NDArray[np.int64]
    lease: Lease | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.where)

    def gather(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Copy rows into one array `[len(rows), N, D]`, reading each shard once and in its order."""
        shards, positions = self.where[rows].T
        if len(self.shards) == 1:
            only: Floats = self.shards[0][positions]
            return only
        order = np.lexsort((positions, shards))
        gathered = np.empty((len(rows), *self.shards[0].shape[1:]), dtype=self.shards[0].dtype)
        for part in np.split(order, np.flatnonzero(np.diff(shards[order])) + 1):
            if len(part):
                gathered[part] = self.shards[shards[part[0]]][positions[part]]
        return gathered

    def in_memory(self) -> "FeatureStore":
        """The same rows, copied out of the files into memory, in their order."""
        everything = self.gather(np.arange(len(self)))
        where = np.stack([np.zeros(len(self), dtype=np.int64), np.arange(len(self))], axis=1)
        return FeatureStore((everything,), where)


class FeatureCache:
    """The features of one set of weights.

    Args:
        space: names the weights and everything else that rows do not (the folder's name is its hash).
        shape: `(N, D)` of one row.
        limit_gb: see `FeatureOptions`.
        dtype: of the numbers that are kept.
        root: the cache's folder; default: `features` in the user's cache folder.
    """

    def __init__(
        self,
        space: str,
        shape: tuple[int, int],
        *,
        limit_gb: float,
        dtype: type[np.float16 | np.float32] = np.float16,
        root: Path | None = None,
    ) -> None:
        self.root = root or cache_directory() / "features"
        self.folder = self.root / sha256_bytes(space.encode())[:32]
        self.shape = shape
        self.dtype = dtype
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

        An interrupted call keeps the shards that it finished; the next one goes on from there. Shards that were damaged
        since are computed again, with a warning; a process reads each once to find out, unless its file changes.
        Processes that ask for the same weights at once wait for each other, so that nothing is computed twice.

        Args:
            keys: one text a row that names image bytes, box, preprocessing and view.
            compute: positions in `keys` -> batches of features `[n, N, D]`, in that order.
            reporter: shows progress.
            description: of the progress bar.

        Raises:
            UserError: the rows are more than the cache's limit, alone or with those that are in use beside them; or
                they are beyond float16's range.
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
            # Whoever has the lock is the only one that writes here: what is half written belongs to a killed process.
            recover(self.folder)
            self._remove_damaged(keys, reporter)
            with bookkeeping(self.root):
                index = self._index()
                wanted: dict[str, int] = {}
                for position, key in enumerate(keys):
                    if key not in index:
                        wanted.setdefault(key, position)
                plan = self._plan(list(wanted))
                lease = self._lease({index[key][0] for key in keys if key in index}, plan)
            try:
                if wanted:
                    with reporter.bar(description, len(wanted)) as bar:
                        self._fill(plan, compute(list(wanted.values())), bar.advance)
                    for stem, names in plan.items():
                        index.update({key: (stem, position) for position, key in enumerate(names)})
                return self._store([index[key] for key in keys], lease)
            except BaseException:
                lease.end()
                raise

    @property
    def _row_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    def _index(self) -> dict[str, tuple[str, int]]:
        """Key -> shard and position, of all whole shards."""
        index: dict[str, tuple[str, int]] = {}
        for file in sorted(self.folder.glob("*.json")):
            shard = read_keys(file)
            data = file.with_suffix(".npy")
            # A shard whose data is missing or of the wrong size is as good as absent: it is computed again.
            if shard is not None and data.is_file() and data.stat().st_size == shard["bytes"]:
                index.update({key: (file.stem, position) for position, key in enumerate(shard["keys"])})
        return index

    def _remove_damaged(self, keys: Sequence[str], reporter: Reporter) -> None:
        """Remove the shards of `keys` whose numbers are not those that were written: they are computed again."""
        index = self._index()
        for stem in sorted({index[key][0] for key in keys if key in index}):
            listed, data = self.folder / f"{stem}.json", self.folder / f"{stem}.npy"
            shard = read_keys(listed)
            # Another run may make room for itself meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if shard is not None and sha256_unchanged(data) != shard["sha256"]:
                    reporter.warn(f"{data}: damaged since it was written; its features are computed again")
                    listed.unlink()
                    data.unlink()

    @staticmethod
    def _plan(keys: Sequence[str]) -> dict[str, Sequence[str]]:
        """Shard -> its keys, for keys that are to be computed, in their order."""
        parts = [keys[start : start + _SHARD_ROWS] for start in range(0, len(keys), _SHARD_ROWS)]
        return {sha256_bytes("\n".join(part).encode())[:32]: part for part in parts}

    def _lease(self, found: set[str], plan: Mapping[str, Sequence[str]]) -> Lease:
        """Take hold of the shards found and planned, and make room for the latter."""
        sizes = {stem: (self.folder / f"{stem}.npy").stat().st_size for stem in found}
        for stem, names in plan.items():
            # The numbers, the header of their file, and the list of keys.
            sizes[stem] = self._row_bytes * len(names) + 384 + sum(len(name) + 6 for name in names) + len(self._space)
        lease = Lease(self.root, {f"{self.folder.name}/{stem}": size for stem, size in sizes.items()})
        try:
            make_room(self.root, self._limit)
        except BaseException:
            lease.end()
            raise
        return lease

    def _fill(
        self, plan: Mapping[str, Sequence[str]], batches: Iterable[npt.NDArray[Any]], advance: Callable[[int], None]
    ) -> None:
        rows: list[npt.NDArray[Any]] = []
        parts = iter(plan.items())
        stem, keys = next(parts)
        for batch in batches:
            rows.extend(batch)
            advance(len(batch))
            while len(rows) >= len(keys):
                self._write_shard(stem, keys, rows[: len(keys)])
                del rows[: len(keys)]
                following = next(parts, None)
                if following is None:
                    return
                stem, keys = following
        raise ValueError(f"features: too few rows were computed, {len(rows)} of {len(keys)} of the last shard")

    def _write_shard(self, stem: str, keys: Sequence[str], rows: Sequence[npt.NDArray[Any]]) -> None:
        with np.errstate(over="ignore"):
            data = np.stack(rows).astype(self.dtype)
        if data.shape[1:] != self.shape:
            raise ValueError(f"features: rows have shape {data.shape[1:]}, expected {self.shape}")
        if not np.isfinite(data).all():
            raise UserError(
                f"features: the backbone gave values beyond {np.dtype(self.dtype)}'s range; set features.cache=false"
            )
        with atomic_file(self.folder / f"{stem}.npy") as stream:
            np.lib.format.write_array(stream, data, allow_pickle=False)
        # The list of keys comes last: a shard without it does not exist.
        file = self.folder / f"{stem}.npy"
        facts = {"space": self._space, "bytes": file.stat().st_size, "sha256": sha256_unchanged(file)}
        write_json(self.folder / f"{stem}.json", {**facts, "keys": list(keys)})

    def _store(self, places: Sequence[tuple[str, int]], lease: Lease) -> FeatureStore:
        stems = sorted({stem for stem, _ in places})
        number = {stem: position for position, stem in enumerate(stems)}
        shards = []
        for stem in stems:
            file = self.folder / f"{stem}.npy"
            shards.append(np.load(file, mmap_mode="r", allow_pickle=False))
            # The time of last use, by which shards are dropped.
            os.utime(file.with_suffix(".json"))
        where = np.array([(number[stem], position) for stem, position in places], dtype=np.int64).reshape(-1, 2)
        return FeatureStore(tuple(shards), where, lease)
