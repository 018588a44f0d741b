"""Files of tensors: reading them, and a name for what is in them."""

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gingham.errors import WeightsError
from gingham.tensors import load_tensors

__all__ = ["read_tensors", "state_hash"]

_TORCH_SUFFIXES = {".pth", ".pt", ".bin"}
# Where training scripts put the weights inside a checkpoint; the averaged ones are those that were evaluated.
_INNER_NAMES = ("state_dict_ema", "model_ema", "state_dict", "model")
_WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")


def state_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors; their order in the mapping does not count.

    Equal exactly when two models of one structure hold the same numbers, whatever file these came from.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode("utf-8"))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a state dict from `.safetensors`, `.pth`, `.pt` or `.bin`, to the CPU.

    A checkpoint that wraps the state dict (`{"model": ...}`, `{"state_dict": ...}`) is unwrapped, and the name
    prefixes of DistributedDataParallel and torch.compile are removed, as timm does.

    Raises:
        WeightsError: missing, damaged, of another kind, or holding anything else than plain tensors, or claiming more
            numbers than the file has bytes for.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give model.weights a file or folder of weights, or one of hub, none")
    if path.suffix == ".safetensors":
        return load_tensors(path, error=WeightsError)
    if path.suffix in _TORCH_SUFFIXES:
        return _unwrap(_read_torch(path), path)
    raise WeightsError(
        f"{path}: unknown kind of weights file '{path.suffix}'; readable are .safetensors, "
        f"{', '.join(sorted(_TORCH_SUFFIXES))}"
    )


def _read_torch(path: Path) -> Any:
    # The only place in Gingham that unpickles a file, and it lets tensors and plain containers pass only.
    try:
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as failure:
        raise WeightsError(
            f"{path}: holds more than tensors, or is damaged, and is not read ({_line(failure)}); "
            "convert it to safetensors where you trust it"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as failure:
        raise WeightsError(f"{path}: not a readable PyTorch file ({_line(failure)}); fetch it again") from None


def _check_archive(path: Path) -> None:
    """Refuse an archive whose parts become larger when they are read; PyTorch never compresses its own.

    Raises:
        ValueError: it is such an archive.
        zipfile.BadZipFile: it is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("its parts are compressed, which PyTorch never does")
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("its parts claim to be larger than the file")


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for name in _INNER_NAMES:
            if isinstance(content.get(name), Mapping):
                content = content[name]
                break
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds no state dict (names with tensors), but {type(content).__name__}")
    state: dict[str, Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path}: entry {name!r} is no tensor but {type(value).__name__}; save a state dict alone"
            )
        if (odd := _oddness(value)) is not None:
            raise WeightsError(f"{path}: tensor '{name}' is {odd}; save plain dense tensors of the CPU")
        for wrapper in _WRAPPERS:
            name = name.removeprefix(wrapper)
        state[name] = value
    return state


def _oddness(tensor: Tensor) -> str | None:
    """What keeps a tensor from being plain numbers that the file really holds; None if nothing does."""
    if type(tensor) not in (Tensor, nn.Parameter):
        return f"a {type(tensor).__name__}"
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized:
        return "sparse, nested or quantised"
    if tensor.device.type != "cpu":
        return f"on the device '{tensor.device}'"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        # A step of 0 between its numbers makes terabytes of one number.
        return "larger than the numbers it is made of"
    return None


def _line(failure: BaseException) -> str:
    # torch's messages run over many lines; the first says what happened.
    return str(failure).strip().split("\n")[0].split(". ")[0] or type(failure).__name__
