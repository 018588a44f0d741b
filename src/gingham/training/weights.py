"""The weights that a run takes over: another tagger's, a checkpoint's, its own chosen epoch's."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from gingham.data.table import LabelTable
from gingham.errors import BundleError, UserError
from gingham.inference.bundle import open_bundle
from gingham.models.network import Network
from gingham.models.transfer import transfer
from gingham.progress import Reporter
from gingham.training.checkpoint import load_chosen_weights
from gingham.training.ema import without_averages
from gingham.training.folder import CHECKPOINTS
from gingham.training.history import Epoch, chosen_epoch
from gingham.training.options import Choose
from gingham.training.recipe import Recipe

__all__ = ["changed_tensors", "load_chosen", "load_trained", "named_parameters", "start_from", "trained_tensors"]

_LOSS = "loss."
"""What the names of the loss's own parameters begin with, beside those of the network."""


def named_parameters(trained: nn.Module, loss: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of the network, and with `loss.` before their names the loss's own."""
    return {**dict(trained.named_parameters()), **dict(loss.named_parameters(prefix=_LOSS.removesuffix(".")))}


def changed_tensors(trained: nn.Module, *, frozen: Collection[str]) -> dict[str, Tensor]:
    """What training changes in the network: parameters and statistics but those named `frozen`."""
    return {name: tensor for name, tensor in trained.state_dict().items() if name not in frozen}


def trained_tensors(trained: nn.Module, loss: nn.Module, *, frozen: Collection[str]) -> dict[str, Tensor]:
    """`changed_tensors`, and with `loss.` before their names the loss's own."""
    return {**changed_tensors(trained, frozen=frozen), **loss.state_dict(prefix=_LOSS)}


def load_trained(trained: nn.Module, loss: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put back what `trained_tensors` gave; the rest stays as it is."""
    own = {name: tensor for name, tensor in weights.items() if name.startswith(_LOSS)}
    loss.load_state_dict({name.removeprefix(_LOSS): tensor for name, tensor in own.items()})
    rest = {name: tensor for name, tensor in weights.items() if name not in own}
    trained.load_state_dict({**trained.state_dict(), **rest})


def load_chosen(
    network: Network,
    trained: nn.Module,
    loss: nn.Module,
    out: Path,
    history: Sequence[Epoch],
    choose: Choose,
    reporter: Reporter,
) -> None:
    """Load the chosen epoch's weights from its checkpoint; where that is damaged, from `best/`, which has the same.

    Where there are averages of the weights, these are meant.

    Raises:
        BundleError: both are damaged.
    """
    try:
        saved = load_chosen_weights(out / CHECKPOINTS, history, choose)
        load_trained(trained, loss, without_averages(saved, in_force=True))
    except BundleError as damage:
        chosen = chosen_epoch(history, choose)
        try:
            bundle = open_bundle(out / "best")
            if chosen is None or bundle.trained.get("epoch") != chosen.epoch:
                raise damage
            network.load_state_dict(bundle.network().state_dict())
        except BundleError:
            raise BundleError(
                f"{damage}; the {choose} epoch is lost: remove {out / CHECKPOINTS}, and --resume trains all over again"
            ) from None
        reporter.warn(f"the {choose} epoch's checkpoint is skipped, {out / 'best'} used: {damage}")


def start_from(network: Network, init: Path, recipe: Recipe, table: LabelTable, reporter: Reporter) -> None:
    """Take over what a tagger knows, and say what it doesn't.

    Raises:
        UserError: it has another backbone, or is an ensemble.
        BundleError: it is missing or damaged.
    """
    bundle = open_bundle(init)
    backbone = bundle.only.model.backbone
    if backbone != recipe.model.backbone:
        raise UserError(
            f"--init {init}: its backbone is {backbone}, the recipe's is {recipe.model.backbone}; "
            f"set model.backbone={backbone}"
        )
    report = transfer(network, bundle.network().state_dict(), source_schema=bundle.schema, target_schema=table.schema)
    for what, names in (("new here", report.fresh), ("not used", report.dropped)):
        if names:
            reporter.say(f"--init {init}: {what}: {', '.join(names)}")
