"""The networks of a bundle, each loaded into the library that runs it."""

from collections.abc import Callable, Mapping
from typing import TypedDict, Unpack

from gingham.cores import default_threads
from gingham.errors import UserError
from gingham.inference.bundle import Bundle
from gingham.inference.runtime import Runtime
from gingham.progress import Reporter

__all__ = ["RUNTIMES", "Running", "open_runtimes"]


class Running(TypedDict, total=False):
    """How a model is run.

    Attributes:
        device: `auto` (the default), `cpu`, `cuda` or `mps`; exported graphs run on the processor.
        threads: for one pass on the processor; None, the default = `default_threads`. PyTorch's are those of the whole
            process.
        deterministic: equal images give equal bits: one thread, and deterministic algorithms.
        runtime: None, the default = as the bundle is: PyTorch in float32, or what it was exported for. Of a model that
            is not exported also the name of one of `variants.VARIANTS`, or `auto`: the fastest here with the same
            answers.
    """

    device: str
    threads: int | None
    deterministic: bool
    runtime: str | None


def open_runtimes(bundle: Bundle, *, reporter: Reporter | None = None, **running: Unpack[Running]) -> list[Runtime]:
    """Load the network of each member.

    Args:
        bundle: the model.
        reporter: hears of the choice that `auto` makes.
        running: see `Running`.

    Raises:
        BundleError: weights or graphs are damaged, or do not fit the model.
        UserError: the device is not there, the library is not installed, or the model was exported for another one.
    """
    device, threads = running.get("device", "auto"), running.get("threads")
    deterministic, runtime = running.get("deterministic", False), running.get("runtime")
    if bundle.exported:
        own = bundle.runtime if bundle.precision == "fp32" else f"{bundle.runtime}-{bundle.precision}"
        if runtime not in {None, "auto", bundle.runtime, own}:
            raise UserError(
                f"--runtime {runtime}: {bundle.path} was exported for {own}; leave --runtime out, or give the model "
                "that it was exported from"
            )
    elif runtime is not None:
        from gingham.inference.variants import fastest, open_variant

        if runtime == "auto":
            return fastest(bundle, device=device, threads=threads, deterministic=deterministic, reporter=reporter)
        return open_variant(bundle, runtime, device=device, threads=threads, deterministic=deterministic)
    return RUNTIMES[bundle.runtime](bundle, device, threads, deterministic)


def _torch(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.torch_runtime import TorchRuntime, choose_device, set_threads

    chosen = choose_device(device)
    set_threads(threads)
    return [TorchRuntime(network, chosen, deterministic=deterministic) for network in bundle.networks()]


def _onnx(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.onnx_runtime import OnnxRuntime

    return _graphs(OnnxRuntime, bundle, device, threads, deterministic)


def _openvino(bundle: Bundle, device: str, threads: int | None, deterministic: bool) -> list[Runtime]:
    from gingham.inference.openvino_runtime import OpenVinoRuntime

    return _graphs(OpenVinoRuntime, bundle, device, threads, deterministic)


def _graphs(
    opened: Callable[..., Runtime], bundle: Bundle, device: str, threads: int | None, deterministic: bool
) -> list[Runtime]:
    if device not in {"auto", "cpu"}:
        raise UserError(f"--device {device}: a model exported for {bundle.runtime} runs on cpu; leave --device out")
    return [
        opened(
            bundle.path / member.weights,
            size=member.preprocess.size,
            total=bundle.schema.total,
            precision=bundle.precision,
            threads=threads or default_threads(),
            deterministic=deterministic,
        )
        for member in bundle.members
    ]


RUNTIMES: Mapping[str, Callable[[Bundle, str, int | None, bool], list[Runtime]]] = {
    "torch": _torch,
    "onnx": _onnx,
    "openvino": _openvino,
}
"""Library -> what loads the networks of a bundle into it."""
