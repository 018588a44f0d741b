"""What runs a network: the same call, whatever library is behind it."""

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gingham.errors import BundleError

if TYPE_CHECKING:
    from gingham.models.relevance import Way

__all__ = ["Explaining", "Floats", "Kind", "Runtime", "checked_logits"]

Floats = npt.NDArray[np.float32]


class Kind(NamedTuple):
    """What a runtime is: its logits are the same bits where all of it and the batch are the same.

    Attributes:
        runtime: torch, onnx or openvino.
        precision: fp32, bf16 or int8.
        device: cpu, cuda, cuda:1, mps.
        threads: of the processor; 0 = as the library is set.
        deterministic: whether equal images give equal bits, one at a time.
        how: what else is not as usual: oneDNN, compiled.
    """

    runtime: str
    precision: str
    device: str
    threads: int
    deterministic: bool
    how: str = ""

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads != 1)}" * (self.threads > 0)
        how = f" {self.how}" * bool(self.how)
        return f"{self.runtime} {self.precision}{how} on {self.device}{threads}"


class Runtime(Protocol):
    """A network that is ready to be asked."""

    @property
    def kind(self) -> Kind:
        """What it is."""

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits `[B, ΣC]` of upright RGB images, uint8 `[B, H, W, 3]`, B at least 1."""


@runtime_checkable
class Explaining(Protocol):
    """A runtime that also says where a network looks."""

    def relevance(self, pixels: npt.NDArray[np.uint8], classes: npt.NDArray[np.int64], way: "Way") -> Floats:
        """Maps `[B, K, h, w]` of images, uint8 `[B, H, W, 3]`, and classes int64 `[B, K]`; see `models.relevance`."""


def checked_logits(logits: Floats) -> Floats:
    """The logits themselves.

    Raises:
        BundleError: one is not finite: weights that are finite may still multiply to something that is not, and no tag
            would mean anything then.
    """
    if not np.isfinite(logits).all():
        raise BundleError("the model gives values that are not finite; its weights are no trained network's")
    return logits
