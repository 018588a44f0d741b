"""Photos in plain folders, for tagging: which files, in which order, under which names."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from gingham.errors import DataError

__all__ = ["EXTENSIONS", "is_image_name", "list_images"]

EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
)
"""Extensions, in lower case, of the files that are taken from folders."""


def is_image_name(name: str) -> bool:
    """Whether a file name ends like an image's."""
    return PurePath(name).suffix.lower() in EXTENSIONS


def list_images(sources: Sequence[Path]) -> list[tuple[str, Path]]:
    """Find the images of folders, with all folders inside them, and files given one by one.

    Of folders those files are taken that end like images (`EXTENSIONS`, in any case); hidden files and folders are
    skipped. A file given by itself is taken whatever its name. What is given twice is taken once.

    Args:
        sources: folders and files.

    Returns:
        Unique names and paths, folder by folder as given, sorted by name within each. A name is the path relative to
        the given folder, with `/`, or the name of a file given by itself. If names of several sources clash, all
        begin with the name of the given folder (of a file: of its folder) as well, and if that does not help, with the
        folder's path as given.

    Raises:
        DataError: a path that does not exist or cannot be read, or no images at all.
    """
    found: list[tuple[Path, str, Path]] = []
    seen: set[str] = set()
    for source in sources:
        base = source if source.is_dir() else source.parent
        for name, path in _images_of(source):
            place = os.path.abspath(path)  # noqa: PTH100  (links are not followed: two links are two names)
            if place not in seen:
                seen.add(place)
                found.append((base, name, path))
    if not found:
        raise DataError(f"no images in {', '.join(str(source) for source in sources) or 'an empty list of folders'}")
    prefixed = (
        [name for _, name, _ in found],
        [f"{base.resolve().name}/{name}" for base, name, _ in found],
        [(base / name).as_posix() for base, name, _ in found],
    )
    names = next((names for names in prefixed if len(set(names)) == len(names)), None)
    if names is None:
        names = [path.resolve().as_posix() for _, _, path in found]
    return [(name, path) for name, (_, _, path) in zip(names, found, strict=True)]


def _images_of(source: Path) -> list[tuple[str, Path]]:
    if source.is_dir():
        return sorted((path.relative_to(source).as_posix(), path) for path in _walk(source, frozenset()))
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    return [(source.name, source)]


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Image files below a folder; links to folders are followed, but not in circles."""
    try:
        status = folder.stat()
        entries = list(folder.iterdir())
    except OSError as failure:
        raise DataError(f"{folder}: cannot be read ({failure.strerror})") from None
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, above | {here})
        elif is_image_name(path.name):
            yield path
