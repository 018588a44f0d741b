import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from gingham import storage
from gingham.errors import MachineError, UserError
from gingham.inference import features
from gingham.inference.features import FeatureCache, FeatureStore
from gingham.inference.shards import cache_info, clear_cache, list_shards
from gingham.progress import Reporter

SHAPE = (2, 8)
ROW = 2 * 8 * 2


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_SHARD_ROWS", 4)


class Backbone:
    """Features that say which key they are of; remembers what it was asked for."""

    def __init__(self, keys: Sequence[str], *, stop_after: int | None = None) -> None:
        self.keys = keys
        self.computed: list[str] = []
        self._stop_after = stop_after

    def __call__(self, positions: Sequence[int]) -> Iterator[np.ndarray]:
        for start in range(0, len(positions), 3):
            part = [self.keys[position] for position in positions[start : start + 3]]
            if self._stop_after is not None and len(self.computed) >= self._stop_after:
                raise KeyboardInterrupt
            self.computed += part
            yield np.stack([expected(key) for key in part])


def expected(key: str) -> np.ndarray:
    return np.full(SHAPE, sum(key.encode()) % 1000, dtype=np.float32)


def names(start: int, stop: int) -> list[str]:
    return [f"key-{number:04d}" for number in range(start, stop)]


def cache(root: Path, space: str = "weights", *, rows: float = 1e6) -> FeatureCache:
    return FeatureCache(space, SHAPE, limit_gb=rows * ROW / 1e9, root=root)


def open_rows(target: FeatureCache, keys: Sequence[str], **options: int) -> tuple[FeatureStore, list[str]]:
    backbone = Backbone(keys, **options)
    store = target.open(keys, backbone, reporter=Reporter())
    for row, key in enumerate(keys):
        assert (store.gather(np.array([row])) == expected(key)).all()
    return store, backbone.computed


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    keys = names(0, 10)
    open_rows(cache(tmp_path), keys[:8])
    left = cache(tmp_path).folder / ".0123.npy.77-0123abcd.tmp"
    left.write_bytes(bytes(100))
    _, computed = open_rows(cache(tmp_path), keys)
    assert computed == keys[8:]
    assert not left.exists()


def test_rows_are_computed_once_and_mapped(tmp_path: Path) -> None:
    keys = names(0, 10)
    store, computed = open_rows(cache(tmp_path), keys)
    assert computed == keys
    assert len(store) == 10
    assert all(isinstance(shard, np.memmap) and shard.dtype == np.float16 for shard in store.shards)
    assert store.gather(np.array([9, 0, 9])).shape == (3, *SHAPE)
    assert open_rows(cache(tmp_path), keys)[1] == []


def test_rows_are_found_from_another_list(tmp_path: Path) -> None:
    open_rows(cache(tmp_path), names(0, 10))
    assert open_rows(cache(tmp_path), [*names(5, 8), *names(20, 22), "key-0001"])[1] == names(20, 22)


def test_equal_keys_are_one_row(tmp_path: Path) -> None:
    store, computed = open_rows(cache(tmp_path), ["a", "b", "a", "a"])
    assert computed == ["a", "b"]
    assert len(store) == 4


def test_other_weights_have_rows_of_their_own(tmp_path: Path) -> None:
    open_rows(cache(tmp_path), names(0, 5))
    assert open_rows(cache(tmp_path, "other"), names(0, 5))[1] == names(0, 5)
    assert [entry["space"] for entry in cache_info(tmp_path)] == sorted(
        ("weights", "other"), key=lambda space: cache(tmp_path, space).folder.name
    )


def test_an_interrupted_call_goes_on_from_its_last_shard(tmp_path: Path) -> None:
    keys = names(0, 20)
    with pytest.raises(KeyboardInterrupt):
        open_rows(cache(tmp_path), keys, stop_after=9)
    assert open_rows(cache(tmp_path), keys)[1] == keys[8:]


@pytest.mark.parametrize("size", [0, 10, -1])
def test_a_shard_of_the_wrong_size_is_computed_again(tmp_path: Path, size: int) -> None:
    keys = names(0, 8)
    open_rows(cache(tmp_path), keys)
    file = sorted(cache(tmp_path).folder.glob("*.npy"))[0]
    file.write_bytes(file.read_bytes()[:size])
    assert len(open_rows(cache(tmp_path), keys)[1]) == 4
    assert open_rows(cache(tmp_path), keys)[1] == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"space": "x"}'])
def test_a_damaged_list_of_keys_is_written_again(tmp_path: Path, text: str) -> None:
    keys = names(0, 4)
    open_rows(cache(tmp_path), keys)
    next(cache(tmp_path).folder.glob("*.json")).write_text(text)
    assert cache_info(tmp_path)[0]["rows"] == 0
    assert open_rows(cache(tmp_path), keys)[1] == keys


@pytest.mark.parametrize("place", [0, 9, 70, 127, -1])
def test_a_flipped_bit_is_noticed_and_only_its_shard_computed_again(tmp_path: Path, place: int) -> None:
    keys = names(0, 8)
    before = open_rows(cache(tmp_path), keys)[0].gather(np.arange(8))
    file = sorted(cache(tmp_path).folder.glob("*.npy"))[0]
    data = bytearray(file.read_bytes())
    data[place] ^= 4
    file.write_bytes(data)
    store, computed = open_rows(cache(tmp_path), keys)
    assert len(computed) == 4
    assert np.array_equal(store.gather(np.arange(8)), before)
    assert open_rows(cache(tmp_path), keys)[1] == []


def test_a_shard_is_read_once_in_a_process_to_see_whether_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    whole = storage.sha256_file

    def spy(path: Path) -> str:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(storage, "sha256_file", spy)
    keys = names(0, 8)
    for _ in range(3):
        open_rows(cache(tmp_path), keys)
    shards = sorted(cache(tmp_path).folder.glob("*.npy"))
    assert sorted(read) == [shard.name for shard in shards]
    shards[0].write_bytes(shards[0].read_bytes())
    open_rows(cache(tmp_path), keys)
    assert read[2:] == [shards[0].name], "what was written since is read again"


def test_wrong_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="float16"):
        cache(tmp_path).open(["a"], lambda _: [np.full((1, *SHAPE), 1e6)], reporter=Reporter())
    with pytest.raises(ValueError, match="shape"):
        cache(tmp_path).open(["a"], lambda _: [np.zeros((1, 3, 3))], reporter=Reporter())
    with pytest.raises(ValueError, match="too few rows"):
        cache(tmp_path).open(["a", "b"], lambda _: [np.zeros((1, *SHAPE))], reporter=Reporter())
    assert open_rows(cache(tmp_path), ["a"])[1] == ["a"]


def test_more_than_the_limit_is_refused_before_any_work(tmp_path: Path) -> None:
    backbone = Backbone(names(0, 20))
    with pytest.raises(UserError, match=r"features.limit_gb: .*raise features.limit_gb, lower features.views"):
        cache(tmp_path, rows=19).open(names(0, 20), backbone, reporter=Reporter())
    assert backbone.computed == []


def test_the_shards_used_longest_ago_make_room(tmp_path: Path) -> None:
    # Each row takes 32 bytes and as much again for its key and its part of the header.
    limit = 120.0
    for number in range(4):
        open_rows(cache(tmp_path, f"w{number}", rows=limit), names(0, 4))
        for shard in list_shards(tmp_path):
            for file in shard.files:
                if shard.name.startswith(cache(tmp_path, f"w{number}").folder.name):
                    os.utime(file, (1000 + number, 1000 + number))
    open_rows(cache(tmp_path, "w0", rows=limit), names(0, 4))  # used just now
    total = sum(shard.bytes for shard in list_shards(tmp_path))
    small = (total + 100) / ROW
    open_rows(cache(tmp_path, "new", rows=small), names(0, 4))
    left = {entry["space"] for entry in cache_info(tmp_path)}
    assert {"w0", "new"} <= left
    assert "w1" not in left
    assert sum(shard.bytes for shard in list_shards(tmp_path)) <= small * ROW


def test_shards_in_use_never_go(tmp_path: Path) -> None:
    first, _ = open_rows(cache(tmp_path, "first"), names(0, 4))
    size = list_shards(tmp_path)[0].bytes
    rows = 1.5 * size / ROW
    with pytest.raises(UserError, match=r"needed at once, by this run and others"):
        open_rows(cache(tmp_path, "second", rows=rows), names(0, 4))
    assert (first.gather(np.array([0])) == expected("key-0000")).all()
    assert [entry["space"] for entry in cache_info(tmp_path)] == ["first"]
    assert clear_cache(tmp_path) == 0
    del first
    open_rows(cache(tmp_path, "second", rows=rows), names(0, 4))
    assert [entry["space"] for entry in cache_info(tmp_path)] == ["second"]


def test_leftovers_of_a_killed_process_go_too(tmp_path: Path) -> None:
    target = cache(tmp_path)
    target.folder.mkdir(parents=True)
    (target.folder / ".0123.npy.77-ab.tmp").write_bytes(b"x" * 5000)
    (target.folder / "4567.npy").write_bytes(b"x" * 5000)
    leases = tmp_path / ".leases"
    leases.mkdir()
    (leases / "dead.json").write_text(json.dumps({f"{target.folder.name}/4567": 5000}))
    open_rows(cache(tmp_path, rows=100), names(0, 4))
    assert not (target.folder / ".0123.npy.77-ab.tmp").exists()
    assert not (target.folder / "4567.npy").exists()


def test_threads_that_ask_at_once_compute_once(tmp_path: Path) -> None:
    keys = names(0, 12)
    computed: list[str] = []

    def slow(positions: Sequence[int]) -> Iterator[np.ndarray]:
        for position in positions:
            computed.append(keys[position])
            time.sleep(0.002)
            yield expected(keys[position])[None]

    stores: list[FeatureStore] = []
    threads = [
        threading.Thread(target=lambda: stores.append(cache(tmp_path).open(keys, slow, reporter=Reporter())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert computed == keys
    assert len(stores) == 4
    for store in stores:
        assert (store.gather(np.array([11])) == expected(keys[11])).all()


def test_info_and_clear(tmp_path: Path) -> None:
    assert cache_info(tmp_path / "none") == []
    assert clear_cache(tmp_path / "none") == 0
    open_rows(cache(tmp_path), names(0, 6))
    entry = cache_info(tmp_path)[0]
    assert entry["rows"] == 6
    assert entry["folder"] == str(cache(tmp_path).folder)
    assert entry["bytes"] == sum(
        file.stat().st_size for file in cache(tmp_path).folder.iterdir() if file.name != "lock"
    )
    assert abs(entry["last_used"] - time.time()) < 3600
    assert clear_cache(tmp_path) == entry["bytes"]
    assert cache_info(tmp_path) == []
    assert open_rows(cache(tmp_path), names(0, 6))[1] == names(0, 6)


def test_the_default_place_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path))
    FeatureCache("w", SHAPE, limit_gb=1).open(["a"], Backbone(["a"]), reporter=Reporter())
    assert cache_info()[0]["folder"].startswith(str(tmp_path / "features"))
    assert clear_cache() > 0


def test_a_cache_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="GINGHAM_CACHE"):
        open_rows(cache(tmp_path / "file"), ["a"])
