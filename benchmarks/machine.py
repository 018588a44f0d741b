"""The machine and the versions that figures were measured with."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gingham.cores import usable_cores

__all__ = ["PACKAGES", "describe", "processor", "sentence"]

PACKAGES = ("torch", "torchvision", "timm", "transformers", "onnxruntime", "openvino", "nncf", "pillow", "numpy")
_UNITS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8", "amx_tile")
_REPOSITORY = Path(__file__).resolve().parent.parent


def describe() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, versions, time and commit; plain values."""
    model, units = processor(_read(Path("/proc/cpuinfo")))
    return {
        "processor": model or platform.processor() or platform.machine(),
        "units": units,
        "cores": usable_cores(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def processor(cpuinfo: str) -> tuple[str, list[str]]:
    """Name, and the units that matter here, by the text of `/proc/cpuinfo`."""
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    name = facts.get("model name", "")
    family = f" (family {facts['cpu family']}, model {facts['model']})" if {"cpu family", "model"} <= set(facts) else ""
    return f"{name}{family}" if name else "", [unit for unit in _UNITS if unit in flags]


def sentence(machine: dict[str, Any]) -> str:
    """The machine in one paragraph of Markdown."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GB, "
        f"{', '.join(machine['units']) or 'no AVX'}; Python {machine['python']}, {packages}; "
        f"commit `{machine['commit']}`, {machine['time'][:10]}."
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """Short hash, with `+` where files that git knows were changed."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--abbrev=7", "--dirty=+", "--exclude=*"],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
