"""Bundles on the Hub, through huggingface_hub's real code and a server made here."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch

from gingham.data.test_time import TestTime
from gingham.errors import BundleError, UserError
from gingham.inference.bundle import open_bundle
from gingham.inference.join import join_bundles
from gingham.inference.repository import cached_bundle, pull_bundle, push_bundle
from gingham.inference.tagger import Tagger
from gingham.storage import MANIFEST, sha256_bytes
from tests import tiny
from tests.hub_server import NOBODY, Files, Hub, point_to, serve

# The library's upload to Git LFS uses an old name of an argument of its HTTP client.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

NAME = "owner/tagger"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    with serve(monkeypatch) as server:
        yield server


@pytest.fixture
def files(model: Path) -> Files:
    return {file.name: file.read_bytes() for file in model.iterdir()}


def vouched(files: Files) -> Files:
    """The files with a manifest that fits them."""
    sums = {name: sha256_bytes(data) for name, data in files.items() if name != MANIFEST}
    return {**files, MANIFEST: json.dumps({"sha256": sums}).encode()}


def test_what_is_pushed_is_pulled(hub: Hub, model: Path, tmp_path: Path) -> None:
    commit = push_bundle(model, NAME)
    assert hub.main[NAME] == commit
    pulled, its_commit = pull_bundle(NAME, tmp_path / "m")
    assert its_commit == commit
    assert pulled == dataclasses.replace(open_bundle(model), path=tmp_path / "m")
    assert not any(file.is_symlink() for file in (tmp_path / "m").rglob("*"))
    for file in model.iterdir():
        assert (tmp_path / "m" / file.name).read_bytes() == file.read_bytes()
    origin = json.loads((tmp_path / "m" / "pulled.json").read_text())
    assert origin == {"repository": NAME, "revision": None, "commit": commit, "endpoint": hub.endpoint}
    assert {file.name for file in (tmp_path / "m").iterdir()} == {file.name for file in model.iterdir()} | {
        "pulled.json"
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    parts = [tiny.bundle(folder / "a"), tiny.bundle(folder / "b", seed=1, test_time=TestTime(flip=True))]
    return join_bundles(parts, folder / "ab").path


def test_an_ensemble_is_pushed_pulled_and_loaded(hub: Hub, pair: Path, tmp_path: Path, photos: list[Path]) -> None:
    commit = push_bundle(pair, NAME)
    pulled, _ = pull_bundle(NAME, tmp_path / "m")
    assert pulled == dataclasses.replace(open_bundle(pair), path=tmp_path / "m")
    for file in pair.iterdir():
        assert (tmp_path / "m" / file.name).read_bytes() == file.read_bytes()
    tagger = Tagger.from_pretrained(NAME, revision=commit, device="cpu")
    assert tagger(photos[0]) == Tagger.load(pair, device="cpu")(photos[0])


@pytest.mark.parametrize("number", [1, 2])
def test_a_members_weights_are_no_larger_than_its_network(hub: Hub, pair: Path, tmp_path: Path, number: int) -> None:
    hub.commit(NAME, {file.name: file.read_bytes() for file in pair.iterdir()})
    name = f"member-{number}.safetensors"
    hub.sizes[name] = 100_000_000_000
    with pytest.raises(BundleError, match=rf"{name}: 100000000000 bytes, at most"):
        pull_bundle(NAME, tmp_path / "m")
    assert name not in hub.downloads()
    assert not (tmp_path / "m").exists()


def test_an_ensemble_without_one_of_its_members_is_refused(hub: Hub, pair: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in pair.iterdir() if file.name != "member-2.safetensors"}
    hub.commit(NAME, files)
    with pytest.raises(BundleError, match=r"not a bundle, it has no member-2.safetensors"):
        pull_bundle(NAME, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_only_the_bundle_is_pushed(hub: Hub, model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tiny.run_folder(run)
    (run / "best" / "secret.txt").write_text("a password")
    push_bundle(run, NAME, message="From a run")
    sent = hub.commits[NAME][hub.main[NAME]]
    assert set(sent) == {file.name for file in model.iterdir()} | {".gitattributes"}


def test_a_damaged_bundle_is_not_pushed(hub: Hub, model: Path, tmp_path: Path) -> None:
    spoilt = tiny.copied(model, tmp_path / "m")
    (spoilt / "README.md").write_text("changed")
    with pytest.raises(BundleError, match=r"README.md: its SHA-256 differs"):
        push_bundle(spoilt, NAME)
    assert hub.seen == []


def test_private_means_private(hub: Hub, model: Path) -> None:
    push_bundle(model, "owner/hidden", private=True)
    assert "owner/hidden" in hub.private
    before = hub.commit(NAME, {})
    with pytest.raises(UserError, match="it is public already; nothing was sent"):
        push_bundle(model, NAME, private=True)
    assert hub.main[NAME] == before


def test_what_the_hub_leaves_out_is_said(hub: Hub, model: Path) -> None:
    hub.ignored = {"schema.json"}
    with pytest.raises(BundleError, match=r"left schema.json out; is it in the repository's .gitignore"):
        push_bundle(model, NAME)


def test_a_pull_takes_the_files_of_a_bundle_only(hub: Hub, files: Files, tmp_path: Path) -> None:
    evil = {"../evil.py": b"", "modeling.py": b"import os", "pytorch_model.bin": b"\x80\x04.", ".gitattributes": b""}
    hub.commit(NAME, files | evil)
    pull_bundle(NAME, tmp_path / "m")
    assert sorted(hub.downloads()) == sorted(files)
    assert {file.name for file in (tmp_path / "m").iterdir()} == {*files, "pulled.json"}


def test_all_files_are_of_one_commit(hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The branch moves on between two downloads."""
    first = hub.commit(NAME, files)
    download = huggingface_hub.hf_hub_download

    def meanwhile(*arguments: object, **options: object) -> object:
        hub.commit(NAME, dict.fromkeys(files, b"{}"))
        return download(*arguments, **options)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", meanwhile)
    assert pull_bundle(NAME, tmp_path / "m")[1] == first
    assert hub.main[NAME] != first
    assert all(f"/resolve/{first}/" in entry for entry in hub.seen if "/resolve/" in entry)


def test_a_revision_is_found(hub: Hub, files: Files, tmp_path: Path) -> None:
    first = hub.commit(NAME, files)
    hub.commit(NAME, {})
    assert pull_bundle(NAME, tmp_path / "m", revision=first)[1] == first
    with pytest.raises(BundleError, match="has no such revision"):
        pull_bundle(NAME, tmp_path / "n", revision="v9")
    with pytest.raises(BundleError, match="does not exist, or is private"):
        pull_bundle("owner/other", tmp_path / "n")
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("change", "message", "weights"),
    [
        (lambda files: files.pop("schema.json"), "not a bundle, it has no schema.json", False),
        (lambda files: files.update({"README.md": b"changed"}), "README.md: its SHA-256 differs", True),
        (lambda files: files.update({"config.json": b"[" * 100_000}), "config.json: not valid JSON", False),
        (lambda files: files.update({"schema.json": b'{"a": ["x"]}'}), "schema.json: attribute 'a'", False),
        (lambda files: files.update({"config.json": bytes(9_000_000)}), "config.json: 9000000 bytes, at most", False),
        (lambda files: files.update({MANIFEST: b'{"sha256": {"../x": ""}}'}), "it lists '../x'", True),
    ],
)
def test_what_is_no_whole_bundle_is_refused(
    hub: Hub, files: Files, tmp_path: Path, change: object, message: str, weights: bool
) -> None:
    assert callable(change)
    change(files)
    commit = hub.commit(NAME, files)
    with pytest.raises(BundleError, match=message) as caught:
        pull_bundle(NAME, tmp_path / "m")
    assert str(caught.value).startswith(f"{NAME}@{commit}: refused: ")
    assert ".tmp" not in str(caught.value)
    assert ("model.safetensors" in hub.downloads()) == weights
    assert list(tmp_path.glob("[!ch]*")) == []


def test_weights_larger_than_their_network_are_not_downloaded(hub: Hub, files: Files, tmp_path: Path) -> None:
    hub.commit(NAME, files)
    hub.sizes["model.safetensors"] = 100_000_000_000
    with pytest.raises(BundleError, match=r"model.safetensors: 100000000000 bytes, at most"):
        pull_bundle(NAME, tmp_path / "m")
    assert "model.safetensors" not in hub.downloads()


def test_a_vouched_for_pickle_is_refused(hub: Hub, files: Files, tmp_path: Path) -> None:
    hub.commit(NAME, vouched(files | {"model.safetensors": b"\x80\x04cos\nsystem\n"}))
    with pytest.raises(BundleError, match=r"model.safetensors: not a readable safetensors file"):
        pull_bundle(NAME, tmp_path / "m")


def test_from_pretrained(hub: Hub, files: Files, model: Path, photos: list[Path]) -> None:
    commit = hub.commit(NAME, files)
    tagger = Tagger.from_pretrained(NAME, device="cpu")
    assert tagger(photos[0]) == Tagger.load(model, device="cpu")(photos[0])
    asked = len(hub.seen)
    Tagger.from_pretrained(NAME, revision=commit, device="cpu")
    assert len(hub.seen) == asked


def test_a_branch_is_asked_for_each_time(hub: Hub, files: Files, tmp_path: Path) -> None:
    hub.commit(NAME, files)
    first = cached_bundle(NAME)
    other = tiny.bundle(tmp_path / "other", seed=1)
    hub.commit(NAME, {file.name: file.read_bytes() for file in other.iterdir()})
    assert cached_bundle(NAME).hash == open_bundle(other).hash != first.hash


def test_without_network_a_commit_of_the_cache_goes_on(hub: Hub, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.commit(NAME, files)
    cached_bundle(NAME)
    point_to(NOBODY, monkeypatch)
    assert cached_bundle(NAME, commit).path.name == commit
    with pytest.raises(BundleError, match=f"cannot be reached.*the cache has revision={commit}"):
        cached_bundle(NAME)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BundleError, match=r"HF_HUB_OFFLINE.*nothing of it is in the cache"):
        cached_bundle("owner/other")


@pytest.mark.parametrize("name", ["tagger", "a/b/c", "../x/y", "owner/..", "/etc", "owner/tag ger", ""])
def test_other_names_are_no_repositories(name: str, hub: Hub, model: Path, tmp_path: Path) -> None:
    for call in (
        lambda: pull_bundle(name, tmp_path / "m"),
        lambda: cached_bundle(name),
        lambda: push_bundle(model, name),
    ):
        with pytest.raises(UserError, match=r"expected OWNER/NAME"):
            call()
    assert hub.seen == []


def test_an_existing_folder_is_not_replaced(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists; choose another folder"):
        pull_bundle(NAME, tmp_path)
    assert hub.seen == []


def test_nan_is_found_when_the_weights_are_loaded(hub: Hub, files: Files, tmp_path: Path) -> None:
    from safetensors.torch import load, save

    tensors = load(files["model.safetensors"])
    tensors["head.queries"][0, 0] = torch.nan
    hub.commit(NAME, vouched(files | {"model.safetensors": save(tensors)}))
    with pytest.raises(BundleError, match="not finite"):
        Tagger.from_pretrained(NAME)
