"""Networks in PyTorch."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from gingham.cores import default_threads
from gingham.errors import UserError
from gingham.inference.deterministic import deterministic_torch
from gingham.inference.runtime import Floats, Kind
from gingham.models.network import Network
from gingham.models.relevance import relevance

if TYPE_CHECKING:
    from gingham.models.relevance import Way

__all__ = ["TorchRuntime", "choose_device", "set_threads"]

_PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float64: "fp64", torch.float16: "fp16"}


def choose_device(name: str) -> torch.device:
    """`auto` = cuda, else mps, else cpu.

    Raises:
        UserError: the device is not there.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if name == "auto":
        return torch.device(available[0])
    kind, _, number = name.partition(":")
    if kind not in available:
        raise UserError(f"--device {name}: not on this machine; there is {', '.join(available)}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and not (number.isdecimal() and int(number) < count):
        raise UserError(f"--device {name}: no such device; there is {kind}:0" + (f" to {count - 1}" * (count > 1)))
    return torch.device(name)


def set_threads(threads: int | None) -> None:
    """Set how many threads PyTorch's operations use in this process.

    Args:
        threads: how many; None = as they are, but no more than `default_threads`.
    """
    wanted = threads or min(torch.get_num_threads(), default_threads())
    if wanted != torch.get_num_threads():
        torch.set_num_threads(wanted)


class TorchRuntime:
    """A network in PyTorch.

    Args:
        network: is moved to the device and set to evaluation mode.
        device: where it runs.
        deterministic: one thread and deterministic algorithms; see `deterministic_torch`.
        onednn: products of float32 matrices by oneDNN, which is faster than the default library on many processors; on
            some it may round to less than float32 inside, so that its answers are to be compared first.
        compiled: by `torch.compile`, once for each batch size; smaller batches are filled up to the largest so far.

    Raises:
        UserError: it is to be compiled, and there is no compiler.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str = "cpu",
        *,
        deterministic: bool = False,
        onednn: bool = False,
        compiled: bool = False,
    ) -> None:
        self._device = torch.device(device)
        self.network = network.to(self._device).eval()
        self._deterministic, self._onednn, self._compiled = deterministic, onednn, compiled
        self._most = 0
        self._forward: Callable[[torch.Tensor], torch.Tensor] = self.network
        if compiled:
            if self._device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
                raise UserError("--compile: there is no C++ compiler on this machine; install g++, or leave it out")
            # Weights become constants, which only a processor gains by.
            options: dict[str, str | int | bool | Callable[..., object]] = {"freezing": True}
            self._forward = torch.compile(
                self.network, dynamic=False, options=options if self._device.type == "cpu" else None
            )

    @property
    def kind(self) -> Kind:
        """What it is."""
        threads = 0 if self._device.type != "cpu" else 1 if self._deterministic else torch.get_num_threads()
        # The first stages of a backbone may be in another one than all else.
        precision = _PRECISIONS[next(self.network.head.parameters()).dtype]
        how = " ".join(["compiled"] * self._compiled + ["with oneDNN"] * self._onednn)
        return Kind("torch", precision, str(self._device), threads, self._deterministic, how)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits `[B, ΣC]` of images, uint8 `[B, H, W, 3]`."""
        count = len(pixels)
        if self._compiled:
            self._most = max(self._most, count)
            pixels = np.concatenate([pixels, np.repeat(pixels[-1:], self._most - count, axis=0)])
        # Compiling freezes weights, which it does under `no_grad` only.
        with (
            torch.no_grad() if self._compiled else torch.inference_mode(),
            _onednn() if self._onednn else nullcontext(),
            deterministic_torch() if self._deterministic else nullcontext(),
        ):
            logits: Floats = self._forward(torch.from_numpy(pixels).to(self._device))[:count].float().cpu().numpy()
        return logits

    @torch.inference_mode()
    def relevance(self, pixels: npt.NDArray[np.uint8], classes: npt.NDArray[np.int64], way: "Way") -> Floats:
        """Maps `[B, K, h, w]` of images and classes int64 `[B, K]`; see `models.relevance`."""
        batch, asked = torch.from_numpy(pixels).to(self._device), torch.from_numpy(classes).to(self._device)
        with deterministic_torch() if self._deterministic else nullcontext():
            maps: Floats = relevance(self.network, batch, asked, way).float().cpu().numpy()
        return maps


@contextmanager
def _onednn() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
