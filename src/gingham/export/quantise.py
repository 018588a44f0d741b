"""Weights and activations as 8-bit integers, from photos, with as much care as the answers need."""

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
    """How carefully a network is quantised: a step that costs more than the one before, and keeps more answers.

    Attributes:
        name: for the record.
        exact_bias: correct the biases by running the network layer by layer, not by a formula.
        asymmetric: ranges of activations need not be the same above and below zero.
        float_ends: the first layer and those that give the logits stay as they are.
        float_depthwise: so do convolutions of single channels.
    """

    name: str
    exact_bias: bool = False
    asymmetric: bool = False
    float_ends: bool = False
    float_depthwise: bool = False


CARES = (
    Care("plain"),
    Care("asymmetric ranges, float ends", asymmetric=True, float_ends=True),
    Care("also float depthwise convolutions", asymmetric=True, float_ends=True, float_depthwise=True),
    Care("also exact biases", asymmetric=True, float_ends=True, float_depthwise=True, exact_bias=True),
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
    import nncf

    nncf.set_log_level("ERROR")
    return nncf.quantize(
        model,
        nncf.Dataset([photo[None] for photo in photos], lambda batch: {INPUT: batch}),
        preset=nncf.QuantizationPreset.MIXED if care.asymmetric else nncf.QuantizationPreset.PERFORMANCE,
        subset_size=len(photos),
        fast_bias_correction=not care.exact_bias,
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        ignored_scope=nncf.IgnoredScope(names=in_float(model, care), validate=False),
    )


def in_float(model: Model, care: Care) -> list[str]:
    """The names of the layers that stay in float32."""
    layers = _layers_of_onnx(model) if hasattr(model, "graph") else _layers_of_openvino(model)
    ends = [*layers.first, *layers.last] if care.float_ends else []
    return [*dict.fromkeys([*ends, *(layers.depthwise if care.float_depthwise else [])])]


@dataclass(frozen=True)
class _Layers:
    """Names of layers with weights: which comes first, which give the logits, which are depthwise convolutions."""

    first: list[str]
    last: list[str]
    depthwise: list[str]


def _layers_of_openvino(model: "openvino.Model") -> _Layers:
    ops = model.get_ordered_ops()
    convolutions = [op.get_friendly_name() for op in ops if op.get_type_name() == "Convolution"]

    def before(op: Any) -> list[Any]:
        return [value.get_node() for value in op.input_values()]

    ends = _nearest(
        before(model.output("logits").get_node()), before, lambda op: op.get_type_name() in ("MatMul", "Convolution")
    )
    return _Layers(
        convolutions[:1],
        [op.get_friendly_name() for op in ends],
        [op.get_friendly_name() for op in ops if op.get_type_name() == "GroupConvolution"],
    )


def _layers_of_onnx(model: "onnx.ModelProto") -> _Layers:
    nodes = model.graph.node
    producer = {name: node for node in nodes for name in node.output}

    def before(node: Any) -> list[Any]:
        return [producer[name] for name in node.input if name in producer]

    def groups(node: Any) -> int:
        return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)

    convolutions = [node for node in nodes if node.op_type == "Conv"]
    ends = _nearest([producer["logits"]], before, lambda node: node.op_type in ("MatMul", "Gemm", "Conv"))
    return _Layers(
        [node.name for node in convolutions[:1]],
        [node.name for node in ends],
        [node.name for node in convolutions if groups(node) > 1],
    )


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
