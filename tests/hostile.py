"""Files as an attacker makes them."""

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gingham.storage import write_manifest
from tests import tiny


class _Runs:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self._file}'",)


def evil_pickle(ran: Path) -> bytes:
    """A pickle that makes the file `ran` when it is read."""
    return pickle.dumps(_Runs(ran))


def evil_checkpoint(path: Path, ran: Path, *, legacy: bool = False) -> Path:
    """A PyTorch file that makes the file `ran` when it is read without care."""
    torch.save({"a": _Runs(ran)}, path, _use_new_zipfile_serialization=not legacy)
    return path


def forged_checkpoint(path: Path, change: Callable[[bytes], bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """A PyTorch file of one tensor `a` of four zeros, whose pickle was changed by hand."""
    torch.save({"a": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return path


def safetensors_file(path: Path, header: dict[str, Any] | bytes, data: bytes = b"") -> Path:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def changed_bundle(model: Path, place: Path, **changes: Callable[[Any], Any]) -> Path:
    """A copy of a bundle with changed JSON files, `config=...` and so on, and a manifest that vouches for them.

    A change returns plain values, or the text of the file.
    """
    tiny.copied(model, place)
    for name, change in changes.items():
        file = place / f"{name}.json"
        value = change(json.loads(file.read_text()))
        file.write_text(value if isinstance(value, str) else json.dumps(value))
    write_manifest(place)
    return place
