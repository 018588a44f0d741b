"""Backbone weights from the Hugging Face Hub: safetensors only, at one commit, through the user's own cache."""

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor

from gingham.errors import WeightsError
from gingham.huggingface import hub_errors
from gingham.models.catalogue import pretrained_config
from gingham.models.tensors import read_tensors

__all__ = ["is_hub", "pinned", "read_hub"]

_FILES = {"open_clip_pytorch_model.bin": "open_clip_model.safetensors"}
"""What timm asks some repositories for -> the safetensors file beside it; elsewhere it is `model.safetensors`."""


def is_hub(weights: str) -> bool:
    """Whether `model.weights` is `hub` or `hub@REVISION`."""
    return weights.partition("@")[0] == "hub"


def pinned(name: str, weights: str) -> str:
    """`hub@COMMIT` for `hub` and `hub@REVISION`, so that the same file is read ever after; others as they are.

    Raises:
        RecipeError, WeightsError: as `read_hub`.
    """
    return f"hub@{_commit(_file(name, weights))}" if is_hub(weights) else weights


def read_hub(name: str, weights: str = "hub") -> tuple[dict[str, Tensor], str]:
    """Read the weights that timm names for a backbone, downloading them when the cache has none.

    `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` work as they do for every user of huggingface_hub.

    Args:
        name: timm's name of the backbone.
        weights: `hub`, or `hub@REVISION` for a branch, tag or commit.

    Returns:
        (state dict, where it came from: repository@commit).

    Raises:
        RecipeError: unknown backbone.
        WeightsError: timm names no repository, or it cannot be reached, or it has no safetensors file.
    """
    file = _file(name, weights)
    return read_tensors(file), f"{_place(name, weights)[0]}@{_commit(file)}"


def _commit(file: Path) -> str:
    # The cache keeps files as `snapshots/COMMIT/file`.
    return file.parent.name


def _file(name: str, weights: str) -> Path:
    repository, file, revision = _place(name, weights)
    # The cache comes first: weights that are there need no network, and do not change between two runs.
    cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    with hub_errors(
        f"weights of '{name}', {repository}",
        f"run 'hf download {repository}' where there is a network, or set model.weights to a file or folder, or start "
        "from --recipe laptop, whose weights come with the package",
        error=WeightsError,
    ):
        try:
            # A question without the retries of a download, which keep a machine without network waiting for a minute.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file, revision=revision))
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError:
            raise WeightsError(
                f"weights of '{name}': {repository} has no {file}, and nothing else is read from the Hub; where you "
                f"trust it, run 'hf download {repository}' and set model.weights to the file that it has"
            ) from None


def _place(name: str, weights: str) -> tuple[str, str, str | None]:
    """Repository, file, and revision if one is named."""
    config = pretrained_config(name)
    identifier = str(config.get("hf_hub_id") or "")
    if not identifier or config.get("custom_load"):
        raise WeightsError(
            f"model.weights: timm has no weights of '{name}' on the Hugging Face Hub that hold tensors only; "
            "set model.weights to a file, or choose another backbone"
        )
    repository, _, revision = identifier.partition("@")
    _, at, own = weights.partition("@")
    if at and not own:
        raise WeightsError(
            f"model.weights: '{weights}' names no revision; expected hub, or hub@ with a branch or commit"
        )
    return repository, _FILES.get(str(config.get("hf_hub_filename")), "model.safetensors"), own or revision or None
