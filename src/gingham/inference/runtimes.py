"""The networks of a bundle, each loaded into the library that runs it."""

from collections.abc import Callable, Mapping

from gingham.cores import default_threads
from gingham.errors import UserError
from gingham.inference.bundle import Bundle
from gingham.inference.runtime import Runtime

__all__ = ["RUNTIMES", "open_runtimes"]


def open_runtimes(
    bundle: Bundle, *, device: str = "auto", threads: int | None = None, deterministic: bool = False
) -> list[Runtime]:
    """Load the network of each member.

    Args:
        bundle: the model.
        device: `auto`, `cpu`, `cuda` or `mps`; exported graphs run on the processor.
        threads: for one pass on the processor; None = `default_threads`. PyTorch's are those of the whole process.
        deterministic: equal images give equal bits: one thread, and deterministic algorithms.

    Raises:
        BundleError: weights or graphs are damaged, or do not fit the model.
        UserError: the device is not there, or the library is not installed.
    """
    return RUNTIMES[bundle.runtime](bundle, device, threads, deterministic)


def _torch(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.torch_runtime import TorchRuntime, choose_device, set_threads

    chosen = choose_device(device)
    set_threads(threads)
    return [TorchRuntime(network, chosen, deterministic=deterministic) for network in bundle.networks()]


def _onnx(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.onnx_runtime import OnnxRuntime

    _require_processor(bundle, device)
    return [
        OnnxRuntime(
            bundle.path / member.weights,
            size=member.preprocess.size,
            total=bundle.schema.total,
            precision=bundle.precision,
            threads=threads or default_threads(),
            deterministic=deterministic,
        )
        for member in bundle.members
    ]


def _openvino(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.openvino_runtime import OpenVinoRuntime

    _require_processor(bundle, device)
    return [
        OpenVinoRuntime(
            bundle.path / member.weights,
            size=member.preprocess.size,
            total=bundle.schema.total,
            precision=bundle.precision,
            threads=threads or default_threads(),
            deterministic=deterministic,
        )
        for member in bundle.members
    ]


def _require_processor(bundle: Bundle, device: str) -> None:
    if device not in {"auto", "cpu"}:
        raise UserError(f"--device {device}: a model exported for {bundle.runtime} runs on cpu; leave --device out")


RUNTIMES: Mapping[str, Callable[[Bundle, str, int | None, bool], list[Runtime]]] = {
    "torch": _torch,
    "onnx": _onnx,
    "openvino": _openvino,
}
"""Library -> what loads the networks of a bundle into it."""
