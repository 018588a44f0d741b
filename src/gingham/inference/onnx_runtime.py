"""Exported networks in ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import BundleError, UserError
from gingham.inference.runtime import Floats, Kind

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    """A graph in ONNX Runtime, on the processor.

    Args:
        file: the graph: input `pixels`, uint8 `[N, size, size, 3]`, first output `logits` `[N, total]`.
        size: of the images, in pixels.
        total: how many logits there are.
        precision: what its weights are, to be told.
        threads: for one pass.
        deterministic: one thread, and kernels whose sums have one order.

    Raises:
        UserError: ONNX Runtime is not installed.
        BundleError: the file is no such graph.
    """

    def __init__(
        self, file: Path, *, size: int, total: int, precision: str, threads: int, deterministic: bool = False
    ) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise UserError(f"{file.name}: ONNX Runtime is not installed; pip install 'gingham[onnx]'") from None
        # The library would print warnings of its own; what matters is raised.
        onnxruntime.set_default_logger_severity(3)
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if deterministic else threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = deterministic
        # Threads that spin while images are decoded take the cores from that.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as failure:  # its exceptions have no common base below this one
            raise BundleError(f"{file}: ONNX Runtime does not take it ({_first_line(failure)})") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        wanted = [size, size, 3]
        fits = (
            len(inputs) == 1
            and inputs[0].type == "tensor(uint8)"
            and list(inputs[0].shape[1:]) == wanted
            and outputs[0].type == "tensor(float)"
            and list(outputs[0].shape[1:]) == [total]
        )
        if not fits:
            raise BundleError(
                f"{file}: not a graph from uint8 pixels [N, {size}, {size}, 3] to float logits [N, {total}]; export "
                "the model again"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        self._kind = Kind("onnx", precision, "cpu", options.intra_op_num_threads, deterministic)

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self._kind

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        """Logits `[B, ΣC]` of images, uint8 `[B, H, W, 3]`."""
        logits: Floats = self._session.run([self._output], {self._input: pixels})[0]
        return logits


def _first_line(failure: Exception) -> str:
    return (str(failure).splitlines() or [type(failure).__name__])[0][:200]
