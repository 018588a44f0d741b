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

__all__ = ["CARES", "Care", "cares", "in_float", "quantised"]

Pixels = npt.NDArray[np.uint8]
Model = Any
"""An `openvino.Model` or `onnx.ModelProto`."""


@dataclass(frozen=True)
class Care:
    """How carefully a network is quantised: a step that is slower than the one before, and keeps more answers.

    Attributes:
        name: for the record.
        evened: between the ranges of activations (0) and of weights (1), how far the difficulty of rounding is moved
            from the former to the latter, channel by channel (SmoothQuant, Xiao et al. 2023, equation 4); of networks
            with attention only. None = not at all.
        asymmetric: ranges of activations need not be the same above and below zero.
        float_ends: the first layer with weights and those that give the logits stay as they are.
        float_share: so do so many of the layers with weights, from the first on: what they get wrong, all others see.
    """

    name: str
    evened: float | None = None
    asymmetric: bool = False
    float_ends: bool = False
    float_share: float = 0.0


CARES = (
    Care("plain"),
    # With the library's own 0.95 the largest errors of a Swin-L are several times those without.
    Care("ranges evened out", evened=0.5),
    Care("asymmetric ranges, float ends", asymmetric=True, float_ends=True),
    Care("also the first third in float", asymmetric=True, float_ends=True, float_share=1 / 3),
    Care("also the second third in float", asymmetric=True, float_ends=True, float_share=2 / 3),
    Care("all but the last sixth in float", asymmetric=True, float_ends=True, float_share=5 / 6),
)
"""In the order in which they are tried; see `cares`."""


def cares(*, transformer: bool) -> tuple[Care, ...]:
    """The steps that make a difference to a network, in the order in which they are tried."""
    return tuple(care for care in CARES if transformer or care.evened is None)


def quantised(model: Model, photos: Sequence[Pixels], care: Care, *, transformer: bool) -> Model:
    """A copy of a graph with 8-bit weights and activations, whose ranges come from photos.

    Args:
        model: of `Graph`, in float32.
        photos: uint8 `[H, W, 3]` each, as the network sees them.
        care: see `Care`.
        transformer: whether it has attention: then softmax, norms and such stay as they are.
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
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                # Negative = not at all.
                smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
                    convolution=-1, matmul=-1 if care.evened is None else care.evened
                )
            ),
            ignored_scope=nncf.IgnoredScope(names=in_float(model, care), validate=False),
        )


def in_float(model: Model, care: Care) -> list[str]:
    """The names of the layers that stay in float32."""
    layers = _layers_of_onnx(model) if hasattr(model, "graph") else _layers_of_openvino(model)
    first = layers.order[: max(round(care.float_share * len(layers.order)), care.float_ends)]
    return [*dict.fromkeys([*first, *(layers.last if care.float_ends else [])])]


@dataclass(frozen=True)
class _Layers:
    """Names of the layers with weights on the way from the pixels, and of those among them that give the logits.

    Layers of what is learned but does not see the image, such as the first of a query, are on no such way.
    """

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
    ops = model.get_ordered_ops()
    seeing = {op.get_friendly_name() for op in ops if op.get_type_name() == "Parameter"}
    for op in ops:
        # How many images there are is not what is on them.
        if op.get_type_name() != "ShapeOf" and any(source.get_friendly_name() in seeing for source in before(op)):
            seeing.add(op.get_friendly_name())
    order = [op for op in ops if weighted(op) and op.get_friendly_name() in seeing]
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
    seeing = {INPUT}
    # The format demands that nodes come after those that they need.
    for node in nodes:
        if node.op_type != "Shape" and any(name in seeing for name in node.input):
            seeing.update(node.output)
    order = [node for node in nodes if weighted(node) and node.output[0] in seeing]
    return _Layers([node.name for node in order], [node.name for node in ends])


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
