"""The packages that exporting takes, which are not installed with Gingham itself."""

import os
from importlib import import_module

from gingham.errors import UserError

__all__ = ["require"]

_NEEDED = {
    ("torch", "fp32"): (),
    ("torch", "bf16"): (),
    ("onnx", "fp32"): ("onnx", "onnxscript", "onnxruntime"),
    ("onnx", "int8"): ("onnx", "onnxscript", "onnxruntime", "nncf"),
    ("openvino", "fp32"): ("onnx", "onnxscript", "openvino"),
    ("openvino", "bf16"): ("onnx", "onnxscript", "openvino"),
    ("openvino", "int8"): ("onnx", "onnxscript", "openvino", "nncf"),
}
"""(runtime, precision) -> what it takes. The keys are all pairs that there are."""


def require(runtime: str, precision: str) -> None:
    """Check that a runtime has a precision, and that all that exporting to it takes is installed.

    Raises:
        UserError: it has not, or something is missing.
    """
    if (runtime, precision) not in _NEEDED:
        pairs = ", ".join(f"{to} {kind}" for to, kind in _NEEDED)
        raise UserError(f"--to {runtime} --precision {precision}: there is no such pair; there are {pairs}")
    # NNCF reports its use to its makers unless it is told that it runs for a test.
    os.environ.setdefault("NNCF_CI", "1")
    for name in _NEEDED[runtime, precision]:
        try:
            import_module(name)
        except ImportError as failure:
            raise UserError(
                f"--to {runtime} --precision {precision}: needs the package {name} ({failure}); "
                "pip install 'gingham[export]'"
            ) from None
