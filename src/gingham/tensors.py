"""Named tensors in files: safetensors only, with typed errors."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from gingham.errors import BundleError, UserError
from gingham.storage import machine_errors

__all__ = ["HEADER_LIMIT", "Layout", "layout_of", "load_tensors", "read_layout", "save_tensors"]

HEADER_LIMIT = 8 * 2**20
"""Bytes of a header; those of real models, some hundred bytes a tensor, stay under a tenth of it."""

_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Layout(NamedTuple):
    """What a tensor needs: its type, by safetensors' name, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in place: for use inside `atomic_directory`, or on a temporary name.

    Raises:
        MachineError: the disk is full or refuses.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with machine_errors(path):
        # The library makes files that only their owner may read; these get the permissions of all others.
        # Nothing is cut off: tensors that are saved may be mapped from a file of that name.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
        permissions = path.stat().st_mode
        try:
            save_file(plain, path, dict(metadata) if metadata else None)
            path.chmod(permissions)
        except SafetensorError as failure:
            # The library hides the system's error number; its text has it. 5 is EIO.
            found = re.search(r"os error (\d+)", str(failure))
            raise OSError(int(found.group(1)) if found else 5, str(failure)) from failure


def load_tensors(path: Path, *, error: type[UserError] = BundleError) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        BundleError (or `error`): it is missing or damaged, or its header is too large.
    """
    _check_header(path, error)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as failure:
        raise _unreadable(path, failure, error) from None


def read_layout(path: Path, *, error: type[UserError] = BundleError) -> dict[str, Layout]:
    """Types and shapes of the tensors of a safetensors file, from its header alone: no tensor is read.

    The library has checked then that the header's claims cover the file exactly, without holes and overlaps.

    Raises:
        BundleError (or `error`): it is missing or damaged, or its header is too large.
    """
    _check_header(path, error)
    try:
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {name: Layout(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (SafetensorError, OSError) as failure:
        raise _unreadable(path, failure, error) from None


def layout_of(tensor: Tensor) -> Layout:
    """What `read_layout` says of a tensor once it is in a file."""
    return Layout(_TYPES[tensor.dtype], tuple(tensor.shape))


def _check_header(path: Path, error: type[UserError]) -> None:
    # https://huggingface.co/docs/safetensors: 8 bytes with the header's length, little-endian, and the header.
    # The library itself takes up to 100 MB, and many times that in memory.
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
    except OSError as failure:
        raise _unreadable(path, failure, error) from None
    if length > HEADER_LIMIT:
        raise error(f"{path}: not a readable safetensors file (a header of {length:,} bytes); fetch it again")


def _unreadable(path: Path, failure: Exception, error: type[UserError]) -> UserError:
    return error(f"{path}: not a readable safetensors file ({failure}); fetch it again")
