import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham import storage
from gingham.errors import BundleError, ExitCode, MachineError
from gingham.storage import (
    MANIFEST,
    atomic_directory,
    atomic_file,
    cache_directory,
    machine_errors,
    read_json,
    recover,
    remove_directory,
    sha256_bytes,
    sha256_file,
    verify_manifest,
    write_bytes,
    write_json,
    write_manifest,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a/b/c.txt"
    write_text(path, "grün")
    assert path.read_bytes() == "grün".encode()
    write_bytes(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(path.parent) == ["c.txt"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_file_is_whole_or_as_it_was(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def break_off() -> None:
        with atomic_file(path) as stream:
            stream.write(b"half")
            stream.flush()
            assert path.read_text() == "old"
            raise failure

    with pytest.raises(failure):
        break_off()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_what_the_machine_is_to_blame_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MachineError, match=r"a\.txt: cannot be written: ") as caught:
        write_text(tmp_path / "a.txt", "x")
    assert caught.value.exit_code == ExitCode.MACHINE
    assert names(tmp_path) == []


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    def fail() -> None:
        with machine_errors(tmp_path):
            raise OSError(errno.EBADF, "bad")

    with pytest.raises(OSError, match="bad"):
        fail()


def test_a_folder_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_directory(tmp_path / "bundle") as folder:
            (folder / content).write_text(content)
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["two"]


def test_a_folder_is_whole_or_as_it_was(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "bundle") as folder:
        (folder / "a").write_text("old")

    def break_off() -> None:
        with atomic_directory(tmp_path / "bundle") as folder:
            (folder / "b").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["a"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_replaced_folder_is_never_absent_or_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """Killed after each renaming, with and without the system call that lets two folders change places."""
    if not exchange:
        monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    with atomic_directory(tmp_path / "bundle") as folder:
        (folder / "old").touch()
    seen: list[tuple[list[str], list[str]]] = []
    rename = Path.rename

    def as_if_killed_now() -> None:
        copy = tmp_path.with_name(f"{tmp_path.name}-{len(seen)}")
        shutil.copytree(tmp_path, copy)
        before = names(copy / "bundle") if (copy / "bundle").exists() else []
        with monkeypatch.context() as undisturbed:
            undisturbed.setattr(Path, "rename", rename)
            recover(copy)
        assert names(copy) == ["bundle"]
        seen.append((before, names(copy / "bundle")))

    def watched(call: Callable[..., object]) -> Callable[..., object]:
        return lambda *paths: [call(*paths), as_if_killed_now()][0]

    monkeypatch.setattr(storage, "_exchange", watched(storage._exchange))
    monkeypatch.setattr(storage, "_sync_directory", watched(storage._sync_directory))
    monkeypatch.setattr(Path, "rename", watched(rename))
    with atomic_directory(tmp_path / "bundle") as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["bundle"]
    assert {after for _, (after,) in seen} == {"old", "new"}
    assert ([] in [before for before, _ in seen]) is not exchange


def test_a_replacement_that_cannot_be_finished_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_exchange", lambda one, other: False)
    with atomic_directory(tmp_path / "bundle") as folder:
        (folder / "old").touch()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.endswith(".tmp"):
            raise OSError(errno.EIO, "broken")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(MachineError), atomic_directory(tmp_path / "bundle") as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["bundle"]
    assert names(tmp_path / "bundle") == ["old"]


def test_what_killed_writes_left_is_put_right(tmp_path: Path) -> None:
    for left in (".a.txt.12-0123abcd.tmp", ".b.12-0123abcd.old"):
        (tmp_path / left).touch()
    for left in (".best.12-0123abcd.tmp", ".best.12-0123abcd.old", ".gone.12-0123abcd.old", "best"):
        (tmp_path / left).mkdir()
        (tmp_path / left / left.strip(".")).touch()
    others = [".hidden", ".a.tmp", "a.12-0123abcd.tmp", ".a.12-0123abcd.tmp.txt", ".a.x-0123abcd.tmp"]
    for name in others:
        (tmp_path / name).touch()
    recover(tmp_path)
    assert names(tmp_path) == sorted([*others, "b", "best", "gone"])
    assert names(tmp_path / "best") == ["best"]
    recover(tmp_path / "nothing")


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    remove_directory(tmp_path / "a")
    assert names(tmp_path) == []


def test_a_file_where_a_folder_must_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file/a.txt", tmp_path / "file/b/c.txt"):
        with pytest.raises(MachineError, match="a part of its path is a file"):
            write_text(path, "x")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, "grün"], "a": None})
    assert path.read_text(encoding="utf-8") == '{\n  "b": [\n    1,\n    "grün"\n  ],\n  "a": null\n}\n'
    assert list(read_json(path)) == ["b", "a"]
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, float("nan"))
    assert list(read_json(path)) == ["b", "a"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"[" * 100_000])
def test_what_is_not_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(BundleError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")


def test_sums(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"gingham")
    expected = hashlib.sha256(b"gingham").hexdigest()
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"gingham") == expected


def bundle(folder: Path) -> Path:
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "inner/b.txt").write_text("b")
    write_manifest(folder)
    return folder


def test_manifest(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "x")
    assert verify_manifest(folder) == {"a.txt": sha256_bytes(b"a"), "inner/b.txt": sha256_bytes(b"b")}
    write_manifest(folder)  # does not list itself
    assert len(verify_manifest(folder)) == 2


def test_changed_files_are_found(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "x")
    (folder / "inner/b.txt").write_text("c")
    with pytest.raises(BundleError, match=r"inner/b\.txt: its SHA-256 differs from manifest\.json"):
        verify_manifest(folder)
    (folder / "inner/b.txt").unlink()
    with pytest.raises(BundleError, match=r"inner/b\.txt: named in manifest\.json but missing"):
        verify_manifest(folder)


def test_links_and_paths_that_lead_outside_are_refused(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "x")
    (tmp_path / "secret").write_text("a")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match=r"'a\.txt' points outside the folder"):
        verify_manifest(folder)
    for name in ("../secret", str(tmp_path / "secret")):
        write_json(folder / MANIFEST, {"sha256": {name: sha256_bytes(b"a")}})
        with pytest.raises(BundleError, match="points outside the folder"):
            verify_manifest(folder)


@pytest.mark.parametrize("value", [[], {}, {"sha256": []}, {"sha256": {"a.txt": 5}}, None])
def test_what_is_not_a_manifest(tmp_path: Path, value: object) -> None:
    write_json(tmp_path / MANIFEST, value)
    with pytest.raises(BundleError, match="not a manifest"):
        verify_manifest(tmp_path)


def test_cache_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("GINGHAM_CACHE")
    assert cache_directory().name == "gingham"
