"""Networks in PyTorch."""

from contextlib import nullcontext
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
    """

    def __init__(self, network: Network, device: torch.device | str = "cpu", *, deterministic: bool = False) -> None:
        self._device = torch.device(device)
        self.network = network.to(self._device).eval()
        self._deterministic = deterministic

    @property
    def kind(self) -> Kind:
        """What it is."""
        threads = 0 if self._device.type != "cpu" else 1 if self._deterministic else torch.get_num_threads()
        precision = _PRECISIONS[self.network.backbone.dtype]
        return Kind("torch", precision, str(self._device), threads, self._deterministic)

    @torch.inference_mode()
    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits `[B, ΣC]` of images, uint8 `[B, H, W, 3]`."""
        batch = torch.from_numpy(pixels).to(self._device)
        with deterministic_torch() if self._deterministic else nullcontext():
            logits: Floats = self.network(batch).float().cpu().numpy()
        return logits

    @torch.inference_mode()
    def relevance(self, pixels: npt.NDArray[np.uint8], classes: npt.NDArray[np.int64], way: "Way") -> Floats:
        """Maps `[B, K, h, w]` of images and classes int64 `[B, K]`; see `models.relevance`."""
        batch, asked = torch.from_numpy(pixels).to(self._device), torch.from_numpy(classes).to(self._device)
        with deterministic_torch() if self._deterministic else nullcontext():
            maps: Floats = relevance(self.network, batch, asked, way).float().cpu().numpy()
        return maps
