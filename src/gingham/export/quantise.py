"""Weights and activations as 8-bit integers, from photos, with as much care as the answers need."""

import contextlib
import io
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gingham.models.graph import INPUT

if TYPE_CHECKING:
    import onnx
    import openvino

__all__ = ["CARES", "Care", "in_float", "quantised"]

Pixels = npt.NDArray[np.uint8]
Model = Any
"""An `openvino.Model` or `onnx.ModelProto`."""


@dataclass(frozen=True)
class Care:
    """How carefully a network is quantised: a step that is slower than the one before, and keeps more answers.

    Attributes:
        name: for the record.
        asymmetric: ranges of activations need not be the same above and below zero.
        float_ends: the first layer with weights and those that give the logits stay as they are.
        float_share: so do so many of the layers with weights, from the first on: what they get wrong, all others see.
    """

    name: str
    asymmetric: bool = False
    float_ends: bool = False
    float_share: float = 0.0


CARES = (
    Care("plain"),
    Care("asymmetric ranges, float ends", asymmetric=True, float_ends=True),
    Care("also the first third in float", asymmetric=True, float_ends=True, float_share=1 / 3),
    Care("also the second third in float", asymmetric=True, float_ends=True, float_share=2 / 3),
    Care("all but the last sixth in float", asymmetric=True, float_ends=True, float_share=5 / 6),
)
"""In the order in which they are tried."""


def quantised(model: Model, photos: Sequence[Pixels], care: Care, *, transformer: bool) -> Model:
    """A copy of a graph with 8-bit weights and activations, whose ranges come from photos.

    Args:
        model: of `Graph`, in float32.
        photos: uint8 `[H, W, 3]` each, as the network sees them.
        care: see `Care`.
        transformer: whether it has attention: then ranges are evened out before each matrix, and softmax, norms and
            such stay as they are.
    """
    # What it looks up of CUDA on its way does not concern anybody here.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import nncf

    nncf.set_log_level("ERROR")
    # It draws its progress on stdout, where results go.
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            model,
            nncf.Dataset([photo[None] for photo in photos], lambda batch: {INPUT: batch}),
            preset=nncf.QuantizationPreset.MIXED if care.asymmetric else nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(photos),
            model_type=nncf.ModelType.TRANSFORMER if transformer else None,
            ignored_scope=nncf.IgnoredScope(names=in_float(model, care), validate=False),
        )


def in_float(model: Model, care: Care) -> list[str]:
    """The names of the layers that stay in float32."""
    layers = _layers_of_onnx(model) if hasattr(model, "graph") else _layers_of_openvino(model)
    first = layers.order[: max(round(care.float_share * len(layers.order)), care.float_ends)]
    return [*dict.fromkeys([*first, *(layers.last if care.float_ends else [])])]


@dataclass(frozen=True)
class _Layers:
    """Names of the layers with weights, from the input on, and of those among them that give the logits."""

    order: list[str]
    last: list[str]


def _layers_of_openvino(model: "openvino.Model") -> _Layers:
    def before(op: Any) -> list[Any]:
        return [value.get_node() for value in op.input_values()]

    def weighted(op: Any) -> bool:
        # A product of two activations has no constant among its sources.
        kind = op.get_type_name()
        return kind in {"Convolution", "GroupConvolution"} or (kind == "MatMul" and _is_constant(before(op)[1]))

    def _is_constant(op: Any) -> bool:
        return all(_is_constant(source) for source in before(op)) if before(op) else op.get_type_name() == "Constant"

    ends = _nearest(before(model.output("logits").get_node()), before, weighted)
    order = [op for op in model.get_ordered_ops() if weighted(op)]
    return _Layers([op.get_friendly_name() for op in order], [op.get_friendly_name() for op in ends])


def _layers_of_onnx(model: "onnx.ModelProto") -> _Layers:
    nodes = model.graph.node
    producer = {name: node for node in nodes for name in node.output}
    weights = {tensor.name for tensor in model.graph.initializer}

    def before(node: Any) -> list[Any]:
        return [producer[name] for name in node.input if name in producer]

    def weighted(node: Any) -> bool:
        return node.op_type in {"Conv", "Gemm", "MatMul"} and _is_constant(node.input[1])

    def _is_constant(name: str) -> bool:
        if name not in producer:
            return name in weights
        return all(_is_constant(source) for source in producer[name].input)

    ends = _nearest([producer["logits"]], before, weighted)
    # The format demands that nodes come after those that they need.
    return _Layers([node.name for node in nodes if weighted(node)], [node.name for node in ends])


def _nearest(starts: list[Any], before: Callable[[Any], list[Any]], wanted: Callable[[Any], bool]) -> list[Any]:
    """Going back from some nodes, the first that are wanted on each way."""
    found, waiting, seen = [], deque(starts), set[str]()
    while waiting:
        node = waiting.popleft()
        name = node.name if hasattr(node, "name") else node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if wanted(node):
            found.append(node)
        else:
            waiting.extend(before(node))
    return found
