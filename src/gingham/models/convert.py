"""From a network in PyTorch to the files of other runtimes, with the same numbers."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gingham.errors import UserError
from gingham.models.graph import INPUT, Graph

if TYPE_CHECKING:
    import openvino

__all__ = ["ONNX_LIMIT", "save_openvino", "to_onnx", "to_openvino"]

ONNX_LIMIT = 2_000_000_000
"""Bytes of weights that one ONNX file can have: its format counts with 31 bits."""


def to_onnx(graph: Graph, size: tuple[int, int], file: Path, *, external: bool = False) -> None:
    """Write a graph for ONNX: any number of images at once, inputs and outputs named.

    Args:
        graph: on the CPU.
        size: (height, width) of its images.
        file: to be written.
        external: the weights go to a file beside it, `<file>.data`; then they may have any size.

    Raises:
        UserError: the weights are too many for one file.
    """
    weights = sum(tensor.nbytes for tensor in (*graph.parameters(), *graph.buffers()))
    if weights > ONNX_LIMIT and not external:
        raise UserError(
            f"--to onnx: {weights / 1e9:.1f} GB of weights, and an ONNX file holds {ONNX_LIMIT / 1e9:g}; "
            "export to openvino"
        )
    # Of an example with one image, the exporter would conclude that there is always one.
    example = torch.zeros(2, *size, 3, dtype=torch.uint8)
    with _quiet(), _plain_attention(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=[INPUT],
            output_names=list(graph.outputs),
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=2**16)},),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(file, external_data=external)


def to_openvino(onnx: Path) -> "openvino.Model":
    """The same graph for OpenVINO; the weights stay in the ONNX file, which must not go before the model."""
    from openvino import Core

    # Not `convert_model`, which reads the file just so, but reports its use to its makers.
    return Core().read_model(onnx)


def save_openvino(model: "openvino.Model", stem: Path) -> None:
    """Write `<stem>.xml` and `<stem>.bin`, every number as it is."""
    from openvino import save_model

    # The default halves weights to fp16: neither fp32 nor bf16, whose range is larger.
    save_model(model, stem.with_name(f"{stem.name}.xml"), compress_to_fp16=False)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Within it, PyTorch computes attention by operations that have a counterpart elsewhere."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, the exporter keeps to itself what it says about its own workings."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
