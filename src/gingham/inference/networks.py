"""The networks of a bundle in PyTorch: built, checked before they take memory, and filled with their weights."""

from pathlib import Path

import torch

from gingham.errors import BundleError, RecipeError
from gingham.inference.member import CONFIG, Member
from gingham.models.lower import lower
from gingham.models.network import Network, build_network
from gingham.schema import AttributeSchema
from gingham.tensors import HEADER_LIMIT, layout_of, load_tensors, read_layout

__all__ = ["check_weights", "load_network", "structure_of", "weights_limit"]

_SLACK = 2**25


def load_network(member: Member, folder: Path, schema: AttributeSchema, *, bf16: bool = False) -> Network:
    """Build the network of a member and load its weights, which `check_weights` has checked, in evaluation mode.

    Args:
        member: of the bundle.
        folder: the bundle.
        schema: its attributes.
        bf16: the weights are in bfloat16, but for the member's `float_stages`.

    Raises:
        BundleError: the weights are damaged or not finite.
    """
    network = _build(member, folder, schema)
    if bf16:
        lower(network, member.float_stages)
    tensors = load_tensors(folder / member.weights)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise BundleError(f"{folder / member.weights}: tensor '{name}' holds values that are not finite")
    network.load_state_dict(tensors)
    return network.eval()


def structure_of(member: Member, folder: Path, schema: AttributeSchema) -> Network:
    """The network without numbers, on the meta device: it takes no memory, however large it claims to be.

    Raises:
        BundleError: there is no such network.
    """
    try:
        with torch.device("meta"):
            return _build(member, folder, schema)
    except RecipeError as failure:
        raise BundleError(f"{folder / CONFIG}: {failure}") from None


def check_weights(
    member: Member, folder: Path, schema: AttributeSchema, *, members: int = 1, bf16: bool = False
) -> None:
    """Compare the weights' names, types and shapes with the network's, before either takes memory.

    Args:
        member: of the bundle.
        folder: the bundle.
        schema: its attributes.
        members: how many there are: what a small network may take beyond its weights is shared among them.
        bf16: as for `load_network`.

    Raises:
        BundleError: a tensor is missing, too many, or of another type or shape; or the network would take far more
            memory than its weights account for.
    """
    file, network = folder / member.weights, structure_of(member, folder, schema)
    if bf16:
        try:
            lower(network, member.float_stages)
        except RecipeError as failure:
            raise BundleError(f"{folder / CONFIG}: float_stages: {failure}") from None
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
            f"{folder}: for images of {member.preprocess.size} pixels this network takes {held / 1e9:.1f} GB, far "
            "more than its weights; refused"
        )


def weights_limit(member: Member, folder: Path, schema: AttributeSchema) -> int:
    """Bytes that the weights can have at most, by what the bundle says of the network. As `structure_of`."""
    tensors = structure_of(member, folder, schema).state_dict().values()
    return HEADER_LIMIT + sum(int(tensor.nbytes) for tensor in tensors)


def _build(member: Member, folder: Path, schema: AttributeSchema) -> Network:
    mean, std = member.preprocess.mean, member.preprocess.std
    if mean is None or std is None:
        raise BundleError(f"{folder}: mean and std are missing in its preprocessing")
    return build_network(
        member.model, schema, image_size=member.preprocess.size, mean=mean, std=std, load_weights=False
    )
