"""Exported networks in OpenVINO."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import BundleError, UserError
from gingham.inference.runtime import Floats, Kind

__all__ = ["OpenVinoRuntime", "compile_model"]

_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "bf16"}
"""Precision -> that of everything that is not quantised already. Without the hint it depends on the processor."""


class OpenVinoRuntime:
    """A graph in OpenVINO, on the processor.

    Args:
        model: the graph's `.xml` file, beside which its `.bin` lies, or an `openvino.Model`: input `pixels`, uint8
            `[N, size, size, 3]`, first output `logits` `[N, total]`.
        size: of the images, in pixels.
        total: how many logits there are.
        precision: in which it computes.
        threads: for one pass.
        deterministic: one thread.

    Raises:
        UserError: OpenVINO is not installed.
        BundleError: the file is no such graph.
    """

    def __init__(
        self, model: Any, *, size: int, total: int, precision: str, threads: int, deterministic: bool = False
    ) -> None:
        name = str(model) if isinstance(model, Path) else "the graph"
        threads = 1 if deterministic else threads
        self._compiled = compile_model(model, precision=precision, threads=threads)
        inputs, outputs = self._compiled.inputs, self._compiled.outputs
        fits = (
            len(inputs) == 1
            and inputs[0].get_element_type().to_dtype() == np.uint8
            and _dimensions(inputs[0].get_partial_shape())[1:] == [size, size, 3]
            and outputs[0].get_element_type().to_dtype() == np.float32
            and _dimensions(outputs[0].get_partial_shape())[1:] == [total]
        )
        if not fits:
            raise BundleError(
                f"{name}: not a graph from uint8 pixels [N, {size}, {size}, 3] to float logits [N, {total}]; export "
                "the model again"
            )
        self._request = self._compiled.create_infer_request()
        self._kind = Kind("openvino", precision, "cpu", threads, deterministic)

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self._kind

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits `[B, ΣC]` of images, uint8 `[B, H, W, 3]`."""
        self._request.infer({0: pixels}, share_inputs=True)
        # A copy: the next call writes to the same memory.
        logits: Floats = np.array(self._request.get_output_tensor(0).data)
        return logits


def compile_model(model: Any, *, precision: str, threads: int) -> Any:
    """Compile a graph for this processor. See `OpenVinoRuntime` for arguments and errors."""
    try:
        import openvino
    except ModuleNotFoundError:
        raise UserError(
            f"{getattr(model, 'name', 'the model')}: OpenVINO is not installed; pip install 'gingham[openvino]'"
        ) from None
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        # Others decode images on the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        core = openvino.Core()
        if isinstance(model, Path):
            model = core.read_model(model)
        return core.compile_model(model, "CPU", settings)
    except RuntimeError as failure:
        name = str(model) if isinstance(model, Path) else "the graph"
        last = [line.strip() for line in str(failure).splitlines() if line.strip()] or [type(failure).__name__]
        raise BundleError(f"{name}: OpenVINO does not take it ({last[-1][:200]})") from None


def _dimensions(shape: Any) -> list[int]:
    """-1 where any size is taken."""
    return [-1 if dimension.is_dynamic else dimension.get_length() for dimension in shape]
