"""Files that are whole or absent: atomic writes, manifests of SHA-256 sums, and the user's cache folder."""

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import platformdirs

from gingham.documents import DOCUMENT_LIMIT, parse_json, read_limited
from gingham.errors import BundleError, MachineError

__all__ = [
    "MANIFEST",
    "atomic_directory",
    "atomic_file",
    "cache_directory",
    "is_in_work",
    "machine_errors",
    "read_json",
    "recover",
    "remove_directory",
    "sha256_bytes",
    "sha256_file",
    "sha256_unchanged",
    "verify_manifest",
    "write_bytes",
    "write_json",
    "write_manifest",
    "write_text",
]

MANIFEST = "manifest.json"

_IN_WORK = re.compile(r"\.(?P<name>.+)\.\d+-[0-9a-f]{8}\.(?P<what>tmp|old)")
"""What a write calls its temporary siblings: `tmp` is not whole yet, `old` was moved aside for its successor."""

_MACHINE_ERRNOS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EFBIG: "the file size limit is reached; raise it or choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "permission denied; choose a place that you may write to",
    errno.EPERM: "permission denied; choose a place that you may write to",
    errno.EIO: "input/output error of the disk",
    errno.ENAMETOOLONG: "the name is too long for this file system; choose a shorter one",
    errno.EISDIR: "it is a folder; choose another name",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another place",
}


@contextlib.contextmanager
def machine_errors(path: Path) -> Iterator[None]:
    """Turn operating system errors that the machine is to blame for into `MachineError`s that name `path`."""
    try:
        yield
    except OSError as failure:
        if failure.errno in _MACHINE_ERRNOS:
            raise MachineError(f"{path}: cannot be written: {_MACHINE_ERRNOS[failure.errno]}") from failure
        raise


def _sibling(path: Path, what: str = "tmp") -> Path:
    # A sibling, so that the final rename stays within one file system and is atomic.
    # Its name is never longer than a short one's, so that a long name fails for itself alone; but `recover` needs all
    # of an old one's.
    name = path.name if what == "old" else path.name[:40]
    return path.with_name(f".{name}.{os.getpid()}-{secrets.token_hex(4)}.{what}")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for path in [*sorted(folder.rglob("*")), folder]:
        if path.is_dir():
            _sync_directory(path)
        elif path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _make_directory(path: Path) -> None:
    """Make a folder and those above it, each entered durably into its parent."""
    if not path.is_dir():
        _make_directory(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
        _sync_directory(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step (Linux); False where the system or file system cannot."""
    exchange, working_directory = 2, -100  # RENAME_EXCHANGE of linux/fs.h, AT_FDCWD of linux/fcntl.h
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(working_directory, os.fsencode(one), working_directory, os.fsencode(other), exchange) == 0)


def _put_in_place(new: Path, path: Path) -> None:
    """Give a folder its name; one that has the name already goes, and at no moment is there none.

    Where folders cannot be exchanged there is such a moment, which `recover` ends if the process did not.
    """
    if not path.exists():
        new.rename(path)
        _sync_directory(path.parent)
        return
    old = new
    if not _exchange(new, path):
        old = _sibling(path, "old")
        path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise
    _sync_directory(path.parent)
    shutil.rmtree(old)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary sibling of `path` for writing; fsync and rename it when the block ends well, remove it else.

    Raises:
        MachineError: no space, no permission, or a read-only file system.
    """
    temporary = _sibling(path)
    with machine_errors(path):
        try:
            _make_directory(path.parent)
            with temporary.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            _sync_directory(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `path` when the block ends well and is removed else.

    An existing folder at `path` is replaced as a whole; whether that is wanted is for the caller to ask. Killed at any
    moment, it leaves the old folder or the new one, and maybe a sibling that `recover` removes.

    Raises:
        MachineError: no space, no permission, or a read-only file system.
    """
    temporary = _sibling(path)
    with machine_errors(path):
        try:
            _make_directory(path.parent)
            temporary.mkdir()
            yield temporary
            _sync_tree(temporary)
            _put_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def remove_directory(path: Path) -> None:
    """Remove a folder; killed half-way, it leaves nothing at `path`. Raises `MachineError` as `atomic_directory`."""
    doomed = _sibling(path)
    with machine_errors(path):
        path.rename(doomed)
        shutil.rmtree(doomed)


def is_in_work(path: Path) -> bool:
    """Whether a file or folder has the name of something that is being written, or was when its process was killed."""
    return _IN_WORK.fullmatch(path.name) is not None


def recover(folder: Path) -> None:
    """Put right what killed writes left directly in `folder`, of which nobody else writes files just now.

    What was half written is removed; a folder that was moved aside for a successor that never came gets its name back.

    Raises:
        MachineError: no permission, or a read-only file system.
    """
    with machine_errors(folder):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            found = _IN_WORK.fullmatch(path.name)
            if found is None:
                continue
            if found["what"] == "old" and not (folder / found["name"]).exists():
                path.rename(folder / found["name"])
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically. Raises `MachineError` as `atomic_file` does."""
    with atomic_file(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically. Raises `MachineError` as `atomic_file` does."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, keys in the order given, without NaN. Raises `MachineError`, `ValueError`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, limit: int = 64 * 2**20) -> Any:
    """Read a JSON file of at most `limit` bytes.

    Raises:
        BundleError: the file is missing, no plain file, too large, or not strict JSON (see `parse_json`).
    """
    try:
        return parse_json(read_limited(path, limit))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except OSError as failure:
        raise BundleError(f"{path}: cannot be read ({failure.strerror})") from None
    except ValueError as failure:
        raise BundleError(f"{path}: not valid JSON ({failure})") from None


def sha256_bytes(data: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_unchanged(path: Path) -> str:
    """As `sha256_file`, but read once in a process as long as the file keeps its size and times.

    For files that are looked at again and again: photos and cached features in a row of runs. Raises `OSError`.
    """
    status = path.stat()
    return _remembered_sha256(path.absolute(), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


@functools.lru_cache(maxsize=2**17)
def _remembered_sha256(path: Path, *_status: int) -> str:
    return sha256_file(path)


def write_manifest(folder: Path) -> None:
    """Write `manifest.json`: the SHA-256 of every other file of the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    write_json(
        folder / MANIFEST, {"sha256": {file.relative_to(folder).as_posix(): sha256_file(file) for file in files}}
    )


def verify_manifest(folder: Path, known: Collection[str] | None = None) -> dict[str, str]:
    """Check every file of a folder against its manifest and return the sums, by relative path.

    Files that the manifest does not list are not looked at; nobody vouches for them, so they must not be read either.

    Args:
        folder: what holds the files and the manifest.
        known: all names that a manifest may list here; None = any.

    Raises:
        BundleError: no manifest, a name that is not known, a file missing, changed, a symbolic link, or outside the
            folder.
    """
    if (folder / MANIFEST).is_symlink():
        raise BundleError(f"{folder / MANIFEST}: a link; refused, copy the file itself")
    sums = read_json(folder / MANIFEST, limit=DOCUMENT_LIMIT)
    sums = sums.get("sha256") if isinstance(sums, dict) else None
    if not isinstance(sums, dict) or not all(isinstance(value, str) for value in sums.values()):
        raise BundleError(f"{folder / MANIFEST}: not a manifest (expected a 'sha256' object)")
    for name in sums:
        if known is not None and name not in known:
            raise BundleError(f"{folder / MANIFEST}: it lists {name!r}, which this Gingham does not know; upgrade it")
    for name, expected in sums.items():
        file = folder / name
        parts = Path(name).parts
        links = any(folder.joinpath(*parts[:depth]).is_symlink() for depth in range(1, len(parts) + 1))
        if Path(name).is_absolute() or ".." in parts or links:
            raise BundleError(f"{folder / MANIFEST}: '{name}' points outside the folder; refused")
        if not file.is_file():
            raise BundleError(f"{file}: named in {MANIFEST} but missing or no plain file; copy the whole folder again")
        if sha256_file(file) != expected:
            raise BundleError(f"{file}: its SHA-256 differs from {MANIFEST}: damaged or changed; copy it again")
    return sums


def cache_directory() -> Path:
    """The folder for files that can be made again: `$GINGHAM_CACHE`, or the user's cache folder of this system."""
    override = os.environ.get("GINGHAM_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("gingham"))
