"""A member of a bundle: one network on disk, and how it looks at images."""

from pathlib import Path

import torch
from pydantic import Field

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.errors import BundleError, RecipeError
from gingham.models.network import Network, build_network
from gingham.models.options import ModelOptions
from gingham.options import Options
from gingham.schema import AttributeSchema
from gingham.tensors import HEADER_LIMIT, layout_of, load_tensors, read_layout

__all__ = ["CONFIG", "WEIGHTS", "Member"]

CONFIG = "config.json"
"""The file of a bundle that describes its members."""

WEIGHTS = "model.safetensors"
"""The weights of an only member."""

_SLACK = 2**25


class Member(Options):
    """What a bundle says of one of its networks; the weights are read by `network`.

    Attributes:
        model: the network's structure.
        preprocess: from a decoded image to the network's input, with mean and std filled in.
        test_time: the views whose probabilities are averaged.
        weights: its file in the bundle's folder.
        name: what it was called when it was joined with others.
    """

    model: ModelOptions
    preprocess: Preprocess
    test_time: TestTime = TestTime()
    weights: str = WEIGHTS
    name: str = Field(default="", max_length=4096)

    def network(self, folder: Path, schema: AttributeSchema) -> Network:
        """Build the network and load its weights, which `check_weights` has checked, in evaluation mode.

        Raises:
            BundleError: the weights are damaged or not finite.
        """
        network = self._build(folder, schema)
        tensors = load_tensors(folder / self.weights)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise BundleError(f"{folder / self.weights}: tensor '{name}' holds values that are not finite")
        network.load_state_dict(tensors)
        return network.eval()

    def structure(self, folder: Path, schema: AttributeSchema) -> Network:
        """The network without numbers, on the meta device: it takes no memory, however large it claims to be.

        Raises:
            BundleError: there is no such network.
        """
        try:
            with torch.device("meta"):
                return self._build(folder, schema)
        except RecipeError as failure:
            raise BundleError(f"{folder / CONFIG}: {failure}") from None

    def check_weights(self, folder: Path, schema: AttributeSchema, *, members: int = 1) -> None:
        """Compare the weights' names, types and shapes with the network's, before either takes memory.

        Args:
            folder: the bundle.
            schema: its attributes.
            members: how many there are: what a small network may take beyond its weights is shared among them.

        Raises:
            BundleError: a tensor is missing, too many, or of another type or shape; or the network would take far
                more memory than its weights account for.
        """
        file, network = folder / self.weights, self.structure(folder, schema)
        expected, found = network.state_dict(), read_layout(file)
        for name in sorted(expected.keys() ^ found.keys()):
            state = "is missing" if name in expected else "has no place in this model"
            raise BundleError(f"{file}: tensor '{name}' {state}; the bundle does not fit its {CONFIG}")
        for name, tensor in expected.items():
            wanted = layout_of(tensor)
            if found[name] != wanted:
                raise BundleError(
                    f"{file}: tensor '{name}' has type {found[name].dtype} and shape {found[name].shape}, "
                    f"expected {wanted.dtype} {wanted.shape}"
                )
        # Tables that are computed, of positions and windows, are in no file; with a large image they can be immense.
        held = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
        if held > 2 * file.stat().st_size + _SLACK // members:
            raise BundleError(
                f"{folder}: for images of {self.preprocess.size} pixels this network takes {held / 1e9:.1f} GB, far "
                "more than its weights; refused"
            )

    def weights_limit(self, folder: Path, schema: AttributeSchema) -> int:
        """Bytes that the file of weights can have at most, by what the bundle says of the network. As `structure`."""
        tensors = self.structure(folder, schema).state_dict().values()
        return HEADER_LIMIT + sum(int(tensor.nbytes) for tensor in tensors)

    def _build(self, folder: Path, schema: AttributeSchema) -> Network:
        mean, std = self.preprocess.mean, self.preprocess.std
        if mean is None or std is None:
            raise BundleError(f"{folder}: mean and std are missing in its preprocessing")
        return build_network(
            self.model, schema, image_size=self.preprocess.size, mean=mean, std=std, load_weights=False
        )
