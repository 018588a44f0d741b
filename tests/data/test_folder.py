import errno
import os
from pathlib import Path

import pytest

from gingham.data.folder import EXTENSIONS, list_images
from gingham.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(*sources: Path) -> list[str]:
    found = list_images(sources)
    assert all(path.is_file() for _, path in found)
    return [name for name, _ in found]


def test_folders_inside_folders_in_sorted_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.png", "a/b/c.webp", "B.JPG", "a.jpg")
    assert names(tmp_path) == ["B.JPG", "a.jpg", "a/b/c.webp", "a/z.png", "b.jpg"]


def test_extensions(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"a{extension}" for extension in EXTENSIONS), *(f"B{extension.upper()}" for extension in EXTENSIONS)
    )
    touch(tmp_path, "notes.txt", "labels.csv", "jpg", "photo.jpg.txt", ".hidden.jpg", ".hidden/a.jpg", "._a.jpg")
    assert len(EXTENSIONS) == 12
    assert len(names(tmp_path)) == 24


def test_files_are_taken_as_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "a/photo", "b/.x.jpg", "c.jpg")
    assert names(tmp_path / "c.jpg", tmp_path / "a/photo", tmp_path / "b/.x.jpg") == ["c.jpg", "photo", ".x.jpg"]


def test_several_folders_without_a_clash(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.jpg", "two/b.jpg")
    assert names(tmp_path / "two", tmp_path / "one") == ["b.jpg", "a.jpg"]


def test_clashing_names_begin_with_the_folder(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.jpg", "two/a.jpg", "two/b.jpg", "three/a.jpg")
    found = names(tmp_path / "one", tmp_path / "two", tmp_path / "three/a.jpg")
    assert found == ["one/a.jpg", "two/a.jpg", "two/b.jpg", "three/a.jpg"]


def test_clashing_folders_begin_with_the_whole_path(tmp_path: Path) -> None:
    touch(tmp_path, "x/photos/a.jpg", "y/photos/a.jpg")
    assert names(tmp_path / "x/photos", tmp_path / "y/photos") == [
        (tmp_path / "x/photos/a.jpg").as_posix(),
        (tmp_path / "y/photos/a.jpg").as_posix(),
    ]


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "one/a.jpg", "two/a.jpg")
    monkeypatch.chdir(tmp_path / "one")
    assert names(Path(), Path("../two")) == ["one/a.jpg", "two/a.jpg"]


def test_what_is_given_twice_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b.jpg")
    assert names(tmp_path, tmp_path / "a", tmp_path / "b.jpg", tmp_path) == ["a/x.jpg", "b.jpg"]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.jpg", "out/b.jpg")
    (tmp_path / "in/link").symlink_to(tmp_path / "out")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in")
    assert names(tmp_path / "in") == ["a.jpg", "link/b.jpg"]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        list_images([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="no images in "):
        list_images([touch(tmp_path, "a.txt")])
    with pytest.raises(DataError, match="no images in an empty list of folders"):
        list_images([])


def test_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "closed/a.jpg")
    monkeypatch.setattr(Path, "iterdir", _refused)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        list_images([tmp_path])


def _refused(self: Path) -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
