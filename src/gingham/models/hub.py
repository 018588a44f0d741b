"""Weights from the Hugging Face Hub, through the user's own cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from torch import Tensor

from gingham.errors import WeightsError
from gingham.models.catalogue import pretrained_config
from gingham.models.tensors import read_tensors

__all__ = ["read_hub"]

# timm's own repositories hold the first, and older ones of others the second only.
_FILES = {
    "pytorch_model.bin": ("model.safetensors", "pytorch_model.bin"),
    "open_clip_pytorch_model.bin": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
}


def read_hub(name: str) -> tuple[dict[str, Tensor], str]:
    """Read the weights that timm names for a backbone, downloading them when the cache has none.

    `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` work as they do for every user of huggingface_hub.

    Returns:
        (state dict, where it came from).

    Raises:
        RecipeError: unknown backbone.
        WeightsError: timm names no repository, or it cannot be reached, or it lacks the files.
    """
    config = pretrained_config(name)
    identifier = str(config.get("hf_hub_id") or "")
    if not identifier or config.get("custom_load"):
        raise WeightsError(
            f"model.weights: timm has no weights of '{name}' on the Hugging Face Hub that hold tensors only; "
            "set model.weights to a file, or choose another backbone"
        )
    repository, _, revision = identifier.partition("@")
    file = _download(name, repository, revision or None, config)
    return read_tensors(file), f"{repository} ({file.name})"


def _download(name: str, repository: str, revision: str | None, config: Mapping[str, Any]) -> Path:
    asked = str(config.get("hf_hub_filename") or "pytorch_model.bin")
    files = _FILES.get(asked, (asked,))
    # The cache comes first: weights that are there need no network, and do not change between two runs.
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    failure: Exception | None = None
    for file in files:
        try:
            # A question without the retries of a download, which keep a machine without network waiting for a minute.
            huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file, revision=revision))
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
        except EntryNotFoundError as absent:
            failure = absent
        except Exception as refused:
            # Any class: what the library's HTTP client raises differs between its versions.
            failure = refused
            break
    raise WeightsError(
        f"weights of '{name}': {_reason(failure)} ({repository} on {_endpoint()}, after the local cache); run "
        f"'hf download {repository}' where there is a network, or set model.weights to a file or folder, or start from "
        "--recipe laptop, whose weights come with the package"
    ) from failure


def _endpoint() -> str:
    return str(huggingface_hub.constants.ENDPOINT)


def _reason(failure: Exception | None) -> str:
    match failure:
        case OfflineModeIsEnabled():
            return "not in the cache, and HF_HUB_OFFLINE forbids to look further"
        case GatedRepoError():
            return "the repository asks for a licence to be accepted first, and for 'hf auth login'"
        case RepositoryNotFoundError():
            return "the repository does not exist, or is private"
        case EntryNotFoundError():
            return "the repository has no weights file that can be read"
        case HfHubHTTPError():
            return f"the Hub refused it: {_line(failure)}"
        case _:
            return f"not in the cache, and the Hub cannot be reached: {_line(failure)}"


def _line(failure: Exception | None) -> str:
    return (str(failure).strip().splitlines() or [repr(failure)])[0]
