"""A member of a bundle: one network on disk, and how it looks at images."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.models.options import ModelOptions
from gingham.options import Options

__all__ = ["CONFIG", "WEIGHTS", "Member", "Precision", "RuntimeName", "files_of", "weights_names"]

RuntimeName = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

CONFIG = "config.json"
"""The file of a bundle that describes its members."""

WEIGHTS = "model.safetensors"
"""The weights of an only member."""

_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "torch": (".safetensors",),
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
}
"""Of the files of a network, by the runtime that reads them; the first one is what `Member.weights` names."""


def weights_names(count: int, runtime: str = "torch") -> tuple[str, ...]:
    """The files that `Member.weights` names in a bundle with `count` members."""
    ending = _ENDINGS[runtime][0]
    return (f"model{ending}",) if count == 1 else tuple(f"member-{number}{ending}" for number in range(1, count + 1))


def files_of(weights: str, runtime: str) -> tuple[str, ...]:
    """All files of a network whose first is `weights`."""
    first, *more = _ENDINGS[runtime]
    return weights, *(weights.removesuffix(first) + ending for ending in more)


class Member(Options):
    """What a bundle says of one of its networks.

    Attributes:
        model: the network's structure.
        preprocess: from a decoded image to the network's input, with mean and std filled in.
        test_time: the views whose probabilities are averaged.
        weights: its file in the bundle's folder; see `files_of` for what lies beside it.
        name: what it was called when it was joined with others.
        float_stages: so many of the backbone's first stages compute in float32, of a network that else is in bfloat16
            for PyTorch.
    """

    model: ModelOptions
    preprocess: Preprocess
    test_time: TestTime = TestTime()
    weights: str = WEIGHTS
    name: str = Field(default="", max_length=4096)
    float_stages: int = Field(default=0, ge=0)
