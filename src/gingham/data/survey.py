"""One pass over all image files of a data set: which can be read, and the facts of those; kept from call to call.

What is kept is filed under the SHA-256 of the file's bytes, so that a second pass reads the files but decodes nothing.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from gingham.data.decode import MAX_PIXELS
from gingham.data.facts import ImageFacts, image_facts
from gingham.data.prefetch import prefetch
from gingham.errors import ImageError, MachineError
from gingham.progress import Bar, Reporter
from gingham.storage import atomic_file, cache_directory, sha256_bytes, sha256_unchanged

__all__ = ["clear_survey", "survey", "survey_bytes", "survey_folder"]

_FORMAT = 1
"""To be raised when the decoder or `ImageFacts` changes, so that nothing stale is found."""

_SHARD_ROWS = 512
_LIMIT = 1_000_000_000
"""Bytes that may be kept; a row has about 1,200."""

_FIELDS = tuple(field.name for field in fields(ImageFacts))


def survey_folder() -> Path:
    """Where facts are kept: `images` in the user's cache folder."""
    return cache_directory() / "images"


def survey_bytes() -> int:
    """Size of what is kept."""
    return sum(file.stat().st_size for file in survey_folder().rglob("*.parquet"))


def clear_survey() -> int:
    """Remove what is kept, and return its size in bytes. A pass that is under way goes on."""
    freed = survey_bytes()
    for file in survey_folder().rglob("*.parquet"):
        file.unlink(missing_ok=True)
    return freed


def survey(
    paths: Sequence[Path], *, workers: int = 2, max_pixels: int = MAX_PIXELS, reporter: Reporter | None = None
) -> list[ImageFacts | ImageError]:
    """Look at every image file.

    An interrupted pass keeps what it has done. Processes that ask at once wait for each other.

    Args:
        paths: N files.
        workers: decoding threads.
        max_pixels: larger images are errors, see `decode`.
        reporter: shows progress.

    Returns:
        For each file its facts, or why it cannot be read. Failures are not kept: the file may be put right.

    Raises:
        MachineError: the disk is full or not writable.
    """
    folder = survey_folder() / f"{_FORMAT}-{PIL.__version__}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise MachineError(f"{folder}: cannot be made ({failure.strerror}); set GINGHAM_CACHE") from None
    contents = list(prefetch(paths, _content, workers=workers, depth=64))
    with FileLock(folder.with_suffix(".lock")):
        kept = _kept(folder, set(contents))
        known: dict[int, ImageFacts | ImageError] = {
            row: kept[content]
            for row, content in enumerate(contents)
            if content in kept and kept[content].width * kept[content].height <= max_pixels
        }
        missing = [row for row in range(len(paths)) if row not in known]
        if missing:
            with (reporter or Reporter()).bar("reading images", len(missing)) as bar:
                for start in range(0, len(missing), _SHARD_ROWS):
                    rows = missing[start : start + _SHARD_ROWS]
                    found = _look([paths[row] for row in rows], workers, max_pixels, bar)
                    known.update(zip(rows, found, strict=True))
                    _keep(folder, [contents[row] for row in rows], found)
            _trim(folder)
    return [known[row] for row in range(len(paths))]


def _look(paths: Sequence[Path], workers: int, max_pixels: int, bar: Bar) -> list[ImageFacts | ImageError]:
    def look(path: Path) -> ImageFacts | ImageError:
        try:
            return image_facts(path, max_pixels=max_pixels)
        except ImageError as failure:
            return failure

    found = []
    for entry in prefetch(paths, look, workers=workers, depth=16):
        found.append(entry)
        bar.advance()
    return found


def _content(path: Path) -> str | None:
    try:
        return sha256_unchanged(path)
    except OSError:
        return None  # the decoder says why


def _keep(folder: Path, contents: Sequence[str | None], found: Sequence[ImageFacts | ImageError]) -> None:
    rows = [
        {"content": content, **asdict(entry)}
        for content, entry in zip(contents, found, strict=True)
        if isinstance(entry, ImageFacts)
    ]
    if rows:
        name = sha256_bytes(" ".join(str(row["content"]) for row in rows).encode())[:32]
        with atomic_file(folder / f"{name}.parquet") as stream:
            pq.write_table(pa.Table.from_pylist(rows), stream, compression="zstd")


def _kept(folder: Path, contents: set[str | None]) -> dict[str, ImageFacts]:
    kept: dict[str, ImageFacts] = {}
    for file in sorted(folder.glob("*.parquet")):
        # A damaged or foreign file is as good as none: its images are looked at again.
        with contextlib.suppress(pa.ArrowException, OSError, KeyError, TypeError):
            for row in _rows(file, contents):
                values = {name: row[name] for name in _FIELDS}
                kept[row["content"]] = ImageFacts(**{**values, "marks": tuple(row["marks"])})
    return kept


def _rows(file: Path, contents: set[str | None]) -> Iterable[dict[str, Any]]:
    table = pq.read_table(file, partitioning=None)
    wanted = [content in contents for content in table["content"].to_pylist()]
    rows: list[dict[str, Any]] = table.filter(pa.array(wanted)).to_pylist() if any(wanted) else []
    return rows


def _trim(folder: Path) -> None:
    """Remove the files written longest ago, until what is kept fits its limit."""
    size = 0
    for file in sorted(folder.glob("*.parquet"), key=lambda file: file.stat().st_mtime, reverse=True):
        size += file.stat().st_size
        if size > _LIMIT:
            file.unlink(missing_ok=True)
