"""Bundles on the Hugging Face Hub: pulled at one commit and checked before they are there, and pushed."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import huggingface_hub
from filelock import FileLock
from huggingface_hub import CommitOperationAdd, HfApi

from gingham.documents import DOCUMENT_LIMIT
from gingham.errors import BundleError, UserError
from gingham.huggingface import endpoint, hub_errors, is_commit, split_reference
from gingham.inference.bundle import CARD, Bundle, describe, file_names, open_bundle
from gingham.inference.member import CONFIG
from gingham.storage import MANIFEST, atomic_directory, cache_directory, machine_errors, read_json, write_json

__all__ = ["cached_bundle", "pull_bundle", "pulled_from", "push_bundle"]

_ORIGIN = "pulled.json"
"""Where a pulled bundle came from. No part of the bundle: its manifest does not list it."""


def pull_bundle(repository: str, out: Path, *, revision: str | None = None) -> tuple[Bundle, str]:
    """Download a bundle to a new folder, whole and checked or not at all.

    A branch or tag is resolved to its commit first, and all files are of that commit. Only the files of a bundle are
    downloaded, and the weights only when the Hub says that they are as large as the network that the bundle describes.

    Args:
        repository: `OWNER/NAME`.
        out: the folder to make.
        revision: a branch, tag or commit; default: the repository's main branch.

    Returns:
        (the bundle, the commit).

    Raises:
        UserError: `out` exists, or that is no name of a repository.
        BundleError: the Hub is not reached or refuses; what it has is no bundle, or not what its manifest says.
        MachineError: the disk is full or refuses.
    """
    split_reference(repository)
    if out.exists():
        raise UserError(f"{out}: exists; choose another folder")
    with _errors(repository), atomic_directory(out) as folder:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        if not is_commit(info.sha):
            raise BundleError(f"{repository}: the answer names no commit; check HF_ENDPOINT ({endpoint()})")
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        try:
            bundle = _fetch(repository, str(info.sha), sizes, folder)
        except UserError as failure:
            # The folder is gone when the message is read.
            text = str(failure).replace(f"{folder}/", "")
            raise BundleError(f"{repository}@{info.sha}: refused: {text}") from None
        origin = {"repository": repository, "revision": revision, "commit": info.sha, "endpoint": endpoint()}
        write_json(folder / _ORIGIN, origin)
    return replace(bundle, path=out), str(info.sha)


def cached_bundle(repository: str, revision: str | None = None) -> Bundle:
    """The bundle of a repository, kept in Gingham's cache folder by its commit.

    A commit that is there needs no network. For a branch or tag the Hub is asked each time which commit it stands for.

    Raises:
        UserError, BundleError, MachineError: as `pull_bundle`; or the one in the cache is damaged.
    """
    split_reference(repository)
    root = cache_directory() / "models" / repository.replace("/", "--")
    commit = revision
    if not is_commit(commit):
        known = sorted(entry.name for entry in root.glob("*") if is_commit(entry.name))
        hint = f"the cache has revision={', '.join(known)}" if known else "nothing of it is in the cache"
        with _errors(repository, hint):
            commit = HfApi().model_info(repository, revision=revision).sha
    folder = root / str(commit)
    with machine_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "lock"):
        if not folder.exists():
            pull_bundle(repository, folder, revision=commit)
    return open_bundle(folder)


def push_bundle(model: Path, repository: str, *, private: bool = False, message: str = "Add a tagger") -> str:
    """Upload a bundle, or a run's best, as one commit; a repository that is not there is made.

    The manifest and what it lists is uploaded, and nothing else.

    Args:
        model: a bundle or run.
        repository: `OWNER/NAME`.
        private: only its owner sees it.
        message: of the commit.

    Returns:
        The commit.

    Raises:
        BundleError: the bundle is not whole (then nothing is sent); or the Hub is not reached or refuses.
        UserError: no name of a repository; or a private one is asked for, and it is public already.
    """
    split_reference(repository)
    bundle = open_bundle(model)
    bundle.check_weights()
    names = [MANIFEST, *read_json(bundle.path / MANIFEST)["sha256"]]
    files = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(bundle.path / name)) for name in names]
    api = HfApi()
    with _errors(repository, "log in with 'hf auth login' as somebody who may write there"):
        api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise UserError(f"{repository}: --private, but it is public already; nothing was sent; choose another name")
        commit = api.create_commit(repository, files, commit_message=message).oid
        there = {file.rfilename for file in api.model_info(repository, revision=commit).siblings or ()}
    if missing := sorted(set(names) - there):
        raise BundleError(
            f"{repository}@{commit}: the Hub left {missing[0]} out; is it in the repository's .gitignore?"
        )
    return commit


def pulled_from(bundle: Bundle) -> dict[str, str]:
    """`{"pulled from": "OWNER/NAME@COMMIT"}` of a bundle that was pulled, else nothing.

    Raises:
        BundleError: the note beside the bundle is malformed.
    """
    note = bundle.path / _ORIGIN
    if not note.is_file():
        return {}
    origin = read_json(note, limit=DOCUMENT_LIMIT)
    try:
        return {"pulled from": f"{origin['repository']}@{origin['commit']}"}
    except (KeyError, TypeError):
        raise BundleError(f"{note}: not what gingham pull writes; remove it") from None


def _fetch(repository: str, commit: str, sizes: Mapping[str, int | None], folder: Path) -> Bundle:
    """Download a bundle's files into `folder`, the small ones first, and check them."""

    def download(name: str, limit: int) -> None:
        if name not in sizes:
            raise BundleError(f"not a bundle, it has no {name}")
        size = sizes[name]
        if size is None or size > limit:
            raise BundleError(f"{name}: {size} bytes, at most {limit:,} are expected")
        huggingface_hub.hf_hub_download(repository, name, revision=commit, local_dir=folder)

    for name in (MANIFEST, CONFIG):
        download(name, DOCUMENT_LIMIT)
    documents = [name for name in file_names(folder) if name.endswith(".json") and name != CONFIG]
    for name in [*documents, *([CARD] if CARD in sizes else [])]:
        download(name, DOCUMENT_LIMIT)
    for name, limit in describe(folder).weights_limits().items():
        download(name, limit)
    # The library's notes about the download.
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    bundle = open_bundle(folder)
    bundle.check_weights()
    return bundle


def _errors(repository: str, way_out: str = "check name, revision and network") -> AbstractContextManager[None]:
    return hub_errors(repository, way_out, error=BundleError)
