"""Named tensors in files: safetensors only, with typed errors."""

import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gingham.errors import BundleError
from gingham.storage import machine_errors

__all__ = ["load_tensors", "save_tensors"]


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in place: for use inside `atomic_directory`, or on a temporary name.

    Raises:
        MachineError: the disk is full or refuses.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with machine_errors(path):
        # The library makes files that only their owner may read; these get the permissions of all others.
        path.touch()
        permissions = path.stat().st_mode
        try:
            save_file(plain, path, dict(metadata) if metadata else None)
            path.chmod(permissions)
        except SafetensorError as failure:
            # The library hides the system's error number; its text has it. 5 is EIO.
            found = re.search(r"os error (\d+)", str(failure))
            raise OSError(int(found.group(1)) if found else 5, str(failure)) from failure


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as failure:
        raise BundleError(f"{path}: not a readable safetensors file ({failure})") from None
