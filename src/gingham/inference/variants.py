"""The ways in which a model that was trained can be run as it is, and which of them is the fastest here."""

import importlib.util
import os
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

import gingham
from gingham.cores import default_threads, usable_cores
from gingham.errors import BundleError, UserError
from gingham.inference.bundle import Bundle
from gingham.inference.member import Member
from gingham.inference.runtime import Floats, Runtime
from gingham.inference.torch_runtime import TorchRuntime, choose_device, set_threads
from gingham.models.convert import to_onnx
from gingham.models.graph import Graph
from gingham.models.network import Network
from gingham.progress import Reporter
from gingham.storage import cache_directory, read_json, write_json
from gingham.wardrobe.generate import garment

__all__ = ["PARITY", "VARIANTS", "fastest", "open_variant"]

PARITY = 1e-4
"""By how much logits may differ from those of PyTorch in float32, as a share of their standard deviation."""

_SAMPLE = 8
_ROUNDS = 3


class _Wanted(NamedTuple):
    """What a runtime is made of, besides the network."""

    bundle: Bundle
    member: Member
    device: str
    threads: int
    deterministic: bool


Open = Callable[[Network, _Wanted], Runtime]


def _torch(*, bf16: bool = False, **how: bool) -> Open:
    def opened(network: Network, wanted: _Wanted) -> Runtime:
        network = network.to(torch.bfloat16) if bf16 else network
        return TorchRuntime(network, choose_device(wanted.device), deterministic=wanted.deterministic, **how)

    return opened


def _onnx(network: Network, wanted: _Wanted) -> Runtime:
    from gingham.inference.onnx_runtime import OnnxRuntime

    with tempfile.TemporaryDirectory(prefix="gingham-") as folder:
        return OnnxRuntime(_graph(network, wanted, Path(folder)), precision="fp32", **_options(wanted))


def _openvino(precision: str) -> Open:
    def opened(network: Network, wanted: _Wanted) -> Runtime:
        from gingham.inference.openvino_runtime import OpenVinoRuntime

        with tempfile.TemporaryDirectory(prefix="gingham-") as folder:
            return OpenVinoRuntime(_graph(network, wanted, Path(folder)), precision=precision, **_options(wanted))

    return opened


VARIANTS: Mapping[str, Open] = {
    "torch": _torch(),
    "torch-compiled": _torch(compiled=True),
    "torch-bf16": _torch(bf16=True),
    "torch-bf16-compiled": _torch(bf16=True, compiled=True),
    "onnx": _onnx,
    "openvino": _openvino("fp32"),
    "openvino-bf16": _openvino("bf16"),
}
"""Name -> what makes it of a network. Where no precision is named, it is float32."""

_CANDIDATES: Mapping[str, Open] = {
    "torch": _torch(),
    "torch with oneDNN": _torch(onednn=True),
    "onnx": _onnx,
    "openvino": _openvino("fp32"),
}
"""What `fastest` chooses from: float32, without minutes of compiling."""

_NEEDED = {"onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}


def open_variant(
    bundle: Bundle, name: str, *, device: str = "auto", threads: int | None = None, deterministic: bool = False
) -> list[Runtime]:
    """Load the network of each member of a trained model in another way than as it is.

    Graphs for other libraries are made now, in memory, and are those of `gingham export`; that takes seconds, or with
    large networks a minute. They are not checked here: `fastest` compares, and `gingham export` measures.

    Args:
        bundle: the model, not exported.
        name: of `VARIANTS`.
        device: see `Running`, like the others.
        threads: see `Running`.
        deterministic: see `Running`.

    Raises:
        UserError: there is no such way, or a library is not installed.
        BundleError: as `Bundle.networks`.
    """
    opened, library = VARIANTS.get(name), name.partition("-")[0]
    if opened is None:
        raise UserError(f"--runtime {name}: there is auto, {', '.join(VARIANTS)}; for int8 see gingham export")
    if not _is_there(library):
        raise UserError(f"--runtime {name}: a library is not installed; pip install 'gingham[export]'")
    if library != "torch" and device not in {"auto", "cpu"}:
        raise UserError(f"--device {device}: {library} runs on cpu; leave --device out")
    set_threads(threads)
    return [
        opened(network, _Wanted(bundle, member, device, threads or default_threads(), deterministic))
        for network, member in zip(bundle.networks(), bundle.members, strict=True)
    ]


def fastest(
    bundle: Bundle,
    *,
    device: str = "auto",
    threads: int | None = None,
    deterministic: bool = False,
    batch_size: int = _SAMPLE,
    reporter: Reporter | None = None,
) -> list[Runtime]:
    """Load the networks of a trained model in the way that is fastest on this machine, of those with the same answers.

    Each is asked about synthetic garments, in turns, for a moment. One whose logits differ from PyTorch's by more than
    `PARITY` is left out. The choice is kept in Gingham's cache folder, for this model, machine and versions.

    Args:
        bundle: the model, not exported.
        device: see `open_runtimes`; on another device than the processor PyTorch is the only way.
        threads: see `open_runtimes`.
        deterministic: see `open_runtimes`.
        batch_size: images in one pass.
        reporter: hears of the choice.

    Raises:
        BundleError: as `Bundle.networks`.
        UserError: the device is not there.
    """
    reporter = reporter or Reporter()
    set_threads(threads)
    if choose_device(device).type != "cpu":
        reporter.say(f"runtime: torch fp32 on {choose_device(device)}, the only one there")
        return [TorchRuntime(network, choose_device(device)) for network in bundle.networks()]
    count = threads or default_threads()
    wanted = [_Wanted(bundle, member, "cpu", count, deterministic) for member in bundle.members]
    file = cache_directory() / "runtimes" / f"{bundle.hash[:32]}.json"
    key = f"{_machine()}, {count} threads, {'deterministic, ' * deterministic}batches of {batch_size}"
    chosen = _known(file).get(key, "")
    if chosen not in _CANDIDATES or not _is_there(chosen):
        chosen = _measured(bundle, wanted, batch_size, reporter)
        write_json(file, {**_known(file), key: chosen})
    runtimes = [_CANDIDATES[chosen](*pair) for pair in zip(bundle.networks(), wanted, strict=True)]
    reporter.say(f"runtime: {runtimes[0].kind}, the fastest here with the same answers")
    return runtimes


def _measured(bundle: Bundle, wanted: Sequence[_Wanted], batch_size: int, reporter: Reporter) -> str:
    """The name of the fastest candidate with the answers of the first one, PyTorch."""
    images = [_garments(batch_size, one.member.preprocess.size) for one in wanted]
    there = [name for name in _CANDIDATES if _is_there(name)]
    kept: dict[str, list[Runtime]] = {}
    expected: list[Floats] = []
    with reporter.bar("choosing a runtime", len(there)) as bar:
        for name in there:
            try:
                # Networks anew for each: exporting one changes it.
                runtimes = [_CANDIDATES[name](*pair) for pair in zip(bundle.networks(), wanted, strict=True)]
            except BundleError as failure:
                reporter.warn(f"{name} is left out: {failure}")
                continue
            finally:
                bar.advance()
            found = [runtime(pixels) for runtime, pixels in zip(runtimes, images, strict=True)]
            expected = expected or found
            if _differ(expected, found) <= PARITY:
                kept[name] = runtimes
            else:
                reporter.warn(
                    f"{name} is left out: its logits differ by {_differ(expected, found):.1g} of their spread"
                )
        times: dict[str, list[float]] = {name: [] for name in kept}
        for _ in range(_ROUNDS):
            for name, runtimes in kept.items():
                times[name].append(_seconds(runtimes, images))
    return min(kept, key=lambda name: median(times[name]))


def _garments(count: int, size: int) -> npt.NDArray[np.uint8]:
    """Pictures of the wardrobe, uint8 `[count, size, size, 3]`."""
    return np.stack([np.asarray(garment(0, index, size).picture.image) for index in range(count)])


def _seconds(runtimes: Sequence[Runtime], images: Sequence[npt.NDArray[np.uint8]]) -> float:
    start = time.perf_counter()
    for runtime, pixels in zip(runtimes, images, strict=True):
        runtime(pixels)
    return time.perf_counter() - start


def _differ(expected: Sequence[Floats], found: Sequence[Floats]) -> float:
    """The greatest difference of logits, as a share of their standard deviation; infinite if one is not finite."""
    shares = [np.abs(one - other).max() / one.std() for one, other in zip(expected, found, strict=True)]
    return max(float(share) if np.isfinite(share) else float("inf") for share in shares)


def _options(wanted: _Wanted) -> dict[str, Any]:
    return {
        "size": wanted.member.preprocess.size,
        "total": wanted.bundle.schema.total,
        "threads": wanted.threads,
        "deterministic": wanted.deterministic,
    }


def _graph(network: Network, wanted: _Wanted, folder: Path) -> Path:
    size = wanted.member.preprocess.size
    to_onnx(Graph(network, wanted.bundle.schema), (size, size), folder / "model.onnx")
    return folder / "model.onnx"


def _is_there(name: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in _NEEDED.get(name, ()))


def _known(file: Path) -> dict[str, str]:
    """What was chosen before; a file that cannot be read is as good as none."""
    try:
        known = read_json(file)
    except BundleError:
        return {}
    return {str(key): str(value) for key, value in known.items()} if isinstance(known, dict) else {}


def _machine() -> str:
    versions = [f"{name} {_version(name)}" for name in ("torch", "onnxruntime", "openvino")]
    processor = _processor()
    return f"{processor}, {usable_cores()} cores, gingham {gingham.__version__}, {', '.join(versions)}"


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _processor() -> str:
    """Its name; that of its family where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or os.uname().machine if hasattr(os, "uname") else platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
