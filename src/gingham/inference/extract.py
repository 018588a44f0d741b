"""What computes the features that are cached: PyTorch, or OpenVINO in float32, which is faster on processors.

Not in bfloat16: features err by a fifth of their maximum then.
"""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from gingham.errors import UserError
from gingham.models.network import Network

__all__ = ["Extract", "FeatureRuntime", "choose_runtime", "extractor"]

FeatureRuntime = Literal["torch", "openvino"]

Extract = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""Pixels uint8 `[B, H, W, 3]` to features `[B, N, D]`."""

_MOST_APART = 1e-4
"""How far OpenVINO's features of the first batch may be from PyTorch's, as a share of the largest."""

_WAY_OUT = "set features.runtime=torch"


def choose_runtime(device: torch.device) -> FeatureRuntime:
    """What `auto` comes to: OpenVINO where it is installed and the network is on the processor, else PyTorch."""
    found = device.type == "cpu" and importlib.util.find_spec("openvino") is not None
    return "openvino" if found else "torch"


def extractor(network: Network, runtime: str, device: torch.device) -> Extract:
    """What computes the features of a network.

    OpenVINO's network is made on the first batch and compared with PyTorch's there.

    Args:
        network: in eval mode, on its device.
        runtime: `torch` or `openvino`; not `auto`.
        device: where the network is.

    Raises:
        UserError: OpenVINO is not installed, the network is on a GPU, or (with the first batch) it cannot convert the
            network or computes something else.
    """
    if runtime == "torch":
        return lambda pixels: _by_torch(network, pixels, device)
    if device.type != "cpu":
        raise UserError(f"features.runtime=openvino: only for processors, the network is on {device.type}; {_WAY_OUT}")
    if importlib.util.find_spec("openvino") is None:
        raise UserError(
            f"features.runtime=openvino: it is not installed; pip install 'gingham[openvino]', or {_WAY_OUT} (a run "
            "that goes on keeps the runtime that it began with)"
        )
    return _OpenVino(network)


def _by_torch(network: Network, pixels: npt.NDArray[np.uint8], device: torch.device) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        features: npt.NDArray[np.float32] = network.features(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
    return features


class _OpenVino:
    """Converted in memory, on the first batch."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._compiled: Any = None

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        if self._compiled is None:
            self._compiled = self._compile(pixels.shape[1:])
            self._compare(pixels)
        return self._run(pixels)

    def _run(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        # A copy: the runtime writes the next batch's into the same memory.
        features: npt.NDArray[np.float32] = np.array(self._compiled(pixels)[0], dtype=np.float32)
        return features

    def _compile(self, shape: tuple[int, ...]) -> Any:
        import openvino

        # Two images: of one, the converter would take the batch for a number that never changes.
        example = torch.zeros((2, *shape), dtype=torch.uint8)
        modes = {module: module.training for module in self._network.modules()}
        try:
            with torch.inference_mode(), warnings.catch_warnings():
                # Sizes that become constants. The comparison below tells, as its batch has another size.
                warnings.simplefilter("ignore", TracerWarning)
                warnings.simplefilter("ignore", FutureWarning)
                model = _converted(_Features(self._network), example)
                model.reshape([-1, *shape])
        except Exception as failure:
            reason = str(failure).strip().split("\n")[0][:200]
            raise UserError(
                f"features.runtime=openvino: it cannot convert {self._network.backbone.name} ({reason}); {_WAY_OUT}"
            ) from failure
        finally:
            # The converter sets eval mode.
            for module, training in modes.items():
                module.training = training
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return openvino.compile_model(model, "CPU", settings)

    def _compare(self, pixels: npt.NDArray[np.uint8]) -> None:
        expected = _by_torch(self._network, pixels, torch.device("cpu"))
        largest = float(np.abs(expected).max()) or 1.0
        apart = float(np.abs(self._run(pixels) - expected).max()) / largest
        if not apart <= _MOST_APART:
            raise UserError(
                f"features.runtime=openvino: its features of {self._network.backbone.name} are {apart:.2g} of the "
                f"largest apart from PyTorch's, and {_MOST_APART:g} is allowed; {_WAY_OUT}"
            )


def _converted(module: nn.Module, example: Tensor) -> Any:
    """A module as OpenVINO's model. Not by `openvino.convert_model`, which does the same, but tells its makers."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # Each has a name, so that none of them goes before the last step, which does not keep them alive.
    manager, decoder = FrontEndManager(), TorchScriptPythonDecoder(module, example_input=example)
    frontend = manager.load_by_framework("pytorch")
    loaded = frontend.load(decoder)
    return frontend.convert(loaded)


class _Features(nn.Module):
    """`Network.features` as a module's forward pass."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.features(pixels).float()
