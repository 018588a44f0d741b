"""A tagger on disk: one folder that is the model, with a manifest of its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import gingham
from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.documents import DOCUMENT_LIMIT
from gingham.errors import BundleError, RecipeError
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.schema import AttributeSchema
from gingham.storage import (
    MANIFEST,
    atomic_directory,
    read_json,
    sha256_file,
    verify_manifest,
    write_json,
    write_manifest,
    write_text,
)
from gingham.tensors import HEADER_LIMIT, layout_of, load_tensors, read_layout, save_tensors

__all__ = ["CARD", "DESCRIPTIONS", "WEIGHTS", "Bundle", "bundle_path", "describe", "open_bundle", "write_bundle"]

DESCRIPTIONS = ("config.json", "schema.json", "preprocess.json")
WEIGHTS = "model.safetensors"
CARD = "README.md"

_FORMAT = 1
_FILES = (*DESCRIPTIONS, WEIGHTS)
_SLACK = 2**25


@dataclass(frozen=True)
class Bundle:
    """What a bundle says of itself; the weights are read by `network`.

    Attributes:
        path: its folder.
        schema: the attributes that it tags.
        preprocess: from a decoded image to the network's input.
        model: the network's structure.
        data: how the labels that it was trained on were read, so that it is measured on labels read alike.
        trained: free text values about the training (data, epoch, metrics).
        hash: SHA-256 of its manifest, which has the sum of every file.
    """

    path: Path
    schema: AttributeSchema
    preprocess: Preprocess
    model: ModelOptions
    data: DataOptions
    trained: Mapping[str, Any]
    hash: str

    def network(self) -> Network:
        """Build the network and load its weights, in evaluation mode.

        Raises:
            BundleError: as `check_weights`, or weights are not finite.
        """
        self.check_weights()
        network = self._build()
        tensors = load_tensors(self.path / WEIGHTS)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise BundleError(f"{self.path / WEIGHTS}: tensor '{name}' holds values that are not finite")
        network.load_state_dict(tensors)
        return network.eval()

    def structure(self) -> Network:
        """The network without numbers, on the meta device: it takes no memory, however large it claims to be.

        Raises:
            BundleError: there is no such network.
        """
        try:
            with torch.device("meta"):
                return self._build()
        except RecipeError as failure:
            raise BundleError(f"{self.path / 'config.json'}: {failure}") from None

    def check_weights(self) -> None:
        """Compare the weights' names, types and shapes with the network's, before either takes memory.

        Raises:
            BundleError: a tensor is missing, too many, or of another type or shape; or the network would take far
                more memory than its weights account for.
        """
        file, network = self.path / WEIGHTS, self.structure()
        expected, found = network.state_dict(), read_layout(file)
        for name in sorted(expected.keys() ^ found.keys()):
            state = "is missing" if name in expected else "has no place in this model"
            raise BundleError(f"{file}: tensor '{name}' {state}; the bundle does not fit its config.json")
        for name, tensor in expected.items():
            wanted = layout_of(tensor)
            if found[name] != wanted:
                raise BundleError(
                    f"{file}: tensor '{name}' has type {found[name].dtype} and shape {found[name].shape}, "
                    f"expected {wanted.dtype} {wanted.shape}"
                )
        # Tables that are computed, of positions and windows, are in no file; with a large image they can be immense.
        held = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
        if held > 2 * file.stat().st_size + _SLACK:
            raise BundleError(
                f"{self.path}: for images of {self.preprocess.size} pixels this network takes {held / 1e9:.1f} GB, far "
                "more than its weights; refused"
            )

    def weights_limit(self) -> int:
        """Bytes that the file of weights can have at most, by what the bundle says of its network. As `structure`."""
        return HEADER_LIMIT + sum(int(tensor.nbytes) for tensor in self.structure().state_dict().values())

    def _build(self) -> Network:
        mean, std = self.preprocess.mean, self.preprocess.std
        if mean is None or std is None:
            raise BundleError(f"{self.path / 'preprocess.json'}: mean and std are missing")
        return build_network(
            self.model, self.schema, image_size=self.preprocess.size, mean=mean, std=std, load_weights=False
        )


def bundle_path(model: Path) -> Path:
    """The bundle's folder for what the user calls MODEL: a bundle, or a run (then its best).

    Raises:
        BundleError: neither; the message says what is missing.
    """
    if (model / "config.json").is_file():
        return model
    if (model / "best" / "config.json").is_file():
        return model / "best"
    if (model / "recipe.yaml").is_file():
        raise BundleError(
            f"{model}: a run without a finished epoch: it has no best model yet; go on with train --resume"
        )
    if not model.exists():
        hint = (
            f"; from the Hub: gingham pull {model} --out FOLDER"
            if len(model.parts) == 2 and not model.is_absolute()
            else ""
        )
        raise BundleError(f"{model}: no such folder; MODEL is a bundle or the --out folder of a training run{hint}")
    if not model.is_dir():
        raise BundleError(
            f"{model}: MODEL is a folder, and archives are not unpacked here; unpack it and give its folder"
        )
    raise BundleError(f"{model}: neither a bundle (no config.json) nor a run (no best/config.json)")


def open_bundle(model: Path) -> Bundle:
    """Read and check a bundle, or a run's best.

    Raises:
        BundleError: missing, damaged, changed since it was written, or of a later format.
    """
    path = bundle_path(model)
    sums = verify_manifest(path, {*_FILES, CARD})
    for name in _FILES:
        if name not in sums:
            raise BundleError(f"{path / MANIFEST}: it does not list {name}, so nothing vouches for that; copy it again")
    return describe(path)


def describe(path: Path) -> Bundle:
    """Read what a bundle's folder says of itself; whether its bytes are those of the manifest is not checked.

    Raises:
        BundleError: a file is missing or malformed, or of a later format.
        SchemaError: `schema.json` holds no schema.
    """
    config, schema, preprocess = (read_json(path / name, limit=DOCUMENT_LIMIT) for name in DESCRIPTIONS)
    try:
        if config["format"] > _FORMAT:
            raise BundleError(
                f"{path}: written by Gingham {config['gingham']}, format {config['format']}; upgrade Gingham"
            )
        if config["runtime"] != "torch" or config["members"] != [WEIGHTS]:
            raise BundleError(
                f"{path / 'config.json'}: runtime {config['runtime']!r} or its members are not known here"
            )
        model_options, data, trained = dict(config["model"]), dict(config["data"]), dict(config["trained"])
    except (KeyError, TypeError, ValueError):
        raise BundleError(f"{path / 'config.json'}: not the configuration of a bundle") from None
    return Bundle(
        path=path,
        schema=AttributeSchema.from_plain(schema, source=str(path / "schema.json")),
        preprocess=Preprocess.parse(preprocess, source=str(path / "preprocess.json"), error=BundleError),
        model=ModelOptions.parse(model_options, source=str(path / "config.json"), error=BundleError),
        data=DataOptions.parse(data, source=str(path / "config.json"), error=BundleError),
        trained=trained,
        hash=sha256_file(path / MANIFEST),
    )


def write_bundle(
    path: Path,
    *,
    network: Network,
    schema: AttributeSchema,
    preprocess: Preprocess,
    model: ModelOptions,
    data: DataOptions,
    trained: Mapping[str, Any],
    card: str,
) -> None:
    """Write a bundle, whole or not at all; an older one at `path` is replaced.

    Args:
        path: the folder to make.
        network: the weights.
        schema: the attributes, in the order of the network's logits.
        preprocess: with mean and std filled in.
        model: the network's structure.
        data: see `Bundle`.
        trained: see `Bundle`.
        card: the model card, Markdown.

    Raises:
        MachineError: the disk is full or refuses.
    """
    with atomic_directory(path) as folder:
        config = {
            "format": _FORMAT,
            "gingham": gingham.__version__,
            "runtime": "torch",
            "members": [WEIGHTS],
            "model": model.model_dump(mode="json"),
            "data": data.model_dump(mode="json"),
            "trained": dict(trained),
        }
        write_json(folder / "config.json", config)
        write_json(folder / "schema.json", schema.to_plain())
        write_json(folder / "preprocess.json", preprocess.model_dump(mode="json"))
        write_text(folder / CARD, card)
        save_tensors(folder / WEIGHTS, network.state_dict())
        write_manifest(folder)
