"""The feature cache's files: which shards there are, which of them somebody uses, and which must go for new ones."""

import contextlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gingham.errors import UserError
from gingham.storage import cache_directory, write_json

__all__ = ["Lease", "Shard", "bookkeeping", "cache_info", "clear_cache", "list_shards", "make_room", "read_keys"]

_LEASES = ".leases"


@dataclass(frozen=True)
class Shard:
    """The files of one shard: `<stem>.npy`, `<stem>.json`, and what an interrupted write may have left of either.

    Attributes:
        name: `<folder>/<stem>`.
        files: the list of keys first, so that it is removed first and no reader finds it without its data.
        bytes: of all files.
        last_used: in seconds since 1970.
    """

    name: str
    files: tuple[Path, ...]
    bytes: int
    last_used: float


class Lease:
    """Says that shards are in use, until it is ended or nobody holds it any more, or its process is gone.

    To be made inside `bookkeeping`.

    Args:
        root: the cache's folder.
        shards: name -> bytes, of those that exist and of those that are about to be written.
    """

    def __init__(self, root: Path, shards: Mapping[str, int]) -> None:
        folder = root / _LEASES
        folder.mkdir(exist_ok=True)
        self._file = folder / f"{secrets.token_hex(8)}.json"
        # The lock goes when the process goes, however that ends; one that nobody holds is a lease that is over.
        self._lock = FileLock(self._file.with_suffix(".lock"), thread_local=False)
        self._lock.acquire(timeout=0)
        write_json(self._file, dict(shards))

    def end(self) -> None:
        """Give the shards free."""
        self._file.unlink(missing_ok=True)
        self._lock.release(force=True)


@contextlib.contextmanager
def bookkeeping(root: Path) -> Iterator[None]:
    """Be the only one, in all processes, that makes leases or removes shards. For short work: others wait."""
    with FileLock(root / "lock"):
        yield


def list_shards(root: Path) -> list[Shard]:
    """All shards, the one used longest ago first."""
    files: dict[str, list[Path]] = {}
    for folder in sorted(path for path in root.glob("*") if path.is_dir() and path.name != _LEASES):
        for file in sorted(folder.iterdir()):
            # A temporary file of `atomic_file` is called `.<stem>.npy.<process>.tmp`.
            stem = file.name.removeprefix(".").partition(".")[0]
            if file.name != "lock":
                files.setdefault(f"{folder.name}/{stem}", []).append(file)
    shards = []
    for name, group in files.items():
        group.sort(key=lambda file: file.suffix != ".json")
        with contextlib.suppress(FileNotFoundError):
            status = [file.stat() for file in group]
            size = sum(entry.st_size for entry in status)
            shards.append(Shard(name, tuple(group), size, max(entry.st_mtime for entry in status)))
    return sorted(shards, key=lambda shard: shard.last_used)


def read_keys(file: Path) -> dict[str, Any] | None:
    """A shard's list with the fields `space`, `bytes`, `sha256`, `keys`; None if it is gone or damaged."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return {
            "space": str(value["space"]),
            "bytes": int(value["bytes"]),
            "sha256": str(value["sha256"]),
            "keys": list(value["keys"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_room(root: Path, limit: int) -> None:
    """Remove shards that nobody uses, longest unused first, until all shards and leases fit. Inside `bookkeeping`.

    Raises:
        UserError: what is in use alone is more than the limit; nothing more can go.
    """
    leased = _leased(root)
    shards = list_shards(root)
    present = {shard.name for shard in shards}
    used = sum(shard.bytes for shard in shards)
    used += sum(size for name, size in leased.items() if name not in present)
    for shard in shards:
        if used <= limit:
            return
        if shard.name not in leased:
            _remove(shard)
            used -= shard.bytes
    if used > limit:
        raise UserError(
            f"features.limit_gb: {used / 1e9:.3g} GB are needed at once, by this run and others that go on, and the "
            f"limit is {limit / 1e9:.3g} GB; raise features.limit_gb, lower features.views, or set features.cache=false"
        )


def cache_info(root: Path | None = None) -> list[dict[str, Any]]:
    """One entry a set of weights in the cache: `folder`, `space`, `rows`, `bytes`, `last_used` (seconds since 1970)."""
    root = root or cache_directory() / "features"
    entries: dict[str, dict[str, Any]] = {}
    for shard in list_shards(root):
        folder = shard.name.partition("/")[0]
        keys = read_keys(shard.files[0])
        entry = entries.setdefault(
            folder, {"folder": str(root / folder), "space": "", "rows": 0, "bytes": 0, "last_used": 0.0}
        )
        entry["bytes"] += shard.bytes
        entry["last_used"] = max(entry["last_used"], shard.last_used)
        if keys is not None:
            entry["space"] = keys["space"]
            entry["rows"] += len(keys["keys"])
    return [entries[folder] for folder in sorted(entries)]


def clear_cache(root: Path | None = None) -> int:
    """Remove all cached features but those in use, and return the number of bytes that this freed."""
    root = root or cache_directory() / "features"
    if not root.is_dir():
        return 0
    freed = 0
    with bookkeeping(root):
        leased = _leased(root)
        for shard in list_shards(root):
            if shard.name not in leased:
                _remove(shard)
                freed += shard.bytes
    return freed


def _leased(root: Path) -> dict[str, int]:
    """Name -> bytes of all shards in use."""
    shards: dict[str, int] = {}
    for file in sorted((root / _LEASES).glob("*.json")):
        probe = FileLock(file.with_suffix(".lock"), thread_local=False)
        try:
            probe.acquire(timeout=0)
        except Timeout:
            # It may end just now, in this very moment.
            with contextlib.suppress(FileNotFoundError, ValueError):
                shards.update(json.loads(file.read_text(encoding="utf-8")))
            continue
        file.unlink(missing_ok=True)
        probe.release()
        file.with_suffix(".lock").unlink(missing_ok=True)
    return shards


def _remove(shard: Shard) -> None:
    for file in shard.files:
        file.unlink(missing_ok=True)
