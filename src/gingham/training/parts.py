"""The parts of a run, put together from data and recipe; all that may be wrong with them is said here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from gingham.data.formats import read_labels
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.inference.tagger import choose_device
from gingham.losses import AttributeLoss
from gingham.models.network import Network, build_network
from gingham.models.weights import input_statistics
from gingham.progress import Reporter
from gingham.storage import sha256_bytes
from gingham.training.checks import (
    check_boxes,
    check_composition,
    check_labels,
    check_loss,
    check_mixed_tokens,
    data_fingerprint,
)
from gingham.training.inputs import FeatureNetwork, Inputs, PixelInputs, cached_inputs
from gingham.training.intake import Intake, Rules, take_in
from gingham.training.optim import build_optimizer
from gingham.training.recipe import Recipe
from gingham.training.weights import start_from

__all__ = ["Parts", "prepare"]


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Attributes:
        recipe: every choice.
        train_table: training images and targets.
        val_table: validation images and targets.
        preprocess: with mean and std filled in.
        network: the whole network, on its device.
        trained: what is trained: the network, or what of it works on cached features.
        module: `trained` as the accelerator prepared it.
        optimizer: over the trained parameters, also the loss's own.
        loss: with class weights of the training table.
        inputs: what `module` is fed.
        accelerator: devices, precision and processes.
        intake: which images were left out.
        identity: what a resumed run must agree with.
        reporter: hears of progress; silent in all processes but the first.
    """

    recipe: Recipe
    train_table: LabelTable
    val_table: LabelTable
    preprocess: Preprocess
    network: Network
    trained: nn.Module
    module: nn.Module
    optimizer: torch.optim.Optimizer
    loss: AttributeLoss
    inputs: Inputs
    accelerator: Accelerator
    intake: Intake
    identity: Mapping[str, Any]
    reporter: Reporter


def prepare(
    data: Path,
    recipe: Recipe,
    init: Path | None,
    rules: Rules,
    device: str,
    reporter: Reporter,
    start: Callable[[Intake], None],
) -> Parts:
    """Check everything, call `start` in the main process, and only then begin with what takes time.

    Args:
        data: folder or table of labelled photos.
        recipe: every choice.
        init: bundle or run whose weights to start from.
        rules: which images are let in.
        device: `auto`, `cpu`, `cuda` or `mps`.
        reporter: hears of progress.
        start: called once nothing is wrong, with what was left out.

    Raises:
        UserError: the data, recipe or options are wrong.
        MachineError: the disk is full or refuses.
    """
    check_composition(recipe)
    accelerator = Accelerator(
        cpu=choose_device(device).type == "cpu",
        # One process may compute features for long while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=24))],
    )
    if not accelerator.is_main_process:
        reporter = Reporter()
    labels = read_labels(data, recipe.data)
    check_loss(recipe.loss, labels.schema, reporter)
    table, intake = take_in(
        labels,
        rules,
        workers=recipe.train.workers,
        max_pixels=recipe.data.max_pixels,
        reporter=reporter,
    )
    train_table, val_table = table.split("train"), table.split("val")
    check_labels(train_table, val_table, reporter)
    check_boxes(train_table, val_table, recipe.preprocess, reporter)
    torch.manual_seed(recipe.train.seed)
    mean, std = input_statistics(recipe.model.backbone, recipe.model.weights)
    mean, std = recipe.preprocess.mean or mean, recipe.preprocess.std or std
    preprocess = recipe.preprocess.model_copy(update={"mean": mean, "std": std})
    network = build_network(recipe.model, table.schema, image_size=preprocess.size, mean=mean, std=std)
    if init is not None:
        start_from(network, init, recipe, table, reporter)
    check_mixed_tokens(recipe, network)
    network = network.to(accelerator.device)
    weights_hash = network.backbone.weights_hash()
    if accelerator.is_main_process:
        start(intake)
    inputs = _inputs(recipe, network, train_table, val_table, preprocess, accelerator.device, weights_hash, reporter)
    trained: nn.Module = FeatureNetwork(network) if recipe.features.cache else network
    loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(train_table.counts())).to(accelerator.device)
    optimizer = build_optimizer(trained.parameters(), recipe.train, of_loss=loss.parameters())
    # Initialisation is the same in all processes; from here on their dropout differs.
    torch.manual_seed(recipe.train.seed * 1_000_003 + accelerator.process_index + 1)
    module, optimizer = accelerator.prepare(trained, optimizer)
    identity = {
        "recipe": sha256_bytes(recipe.to_yaml().encode()),
        "data": data_fingerprint(train_table, val_table),
        "processes": accelerator.num_processes,
        "frozen weights": weights_hash if recipe.model.frozen else None,
    }
    return Parts(
        recipe,
        train_table,
        val_table,
        preprocess,
        network,
        trained,
        module,
        optimizer,
        loss,
        inputs,
        accelerator,
        intake,
        identity,
        reporter,
    )


def _inputs(
    recipe: Recipe,
    network: Network,
    train_table: LabelTable,
    val_table: LabelTable,
    preprocess: Preprocess,
    device: torch.device,
    weights_hash: str,
    reporter: Reporter,
) -> Inputs:
    if not recipe.features.cache:
        return PixelInputs(
            train_table,
            val_table,
            preprocess,
            recipe.augment,
            seed=recipe.train.seed,
            max_pixels=recipe.data.max_pixels,
        )
    return cached_inputs(
        network,
        f"{recipe.model.backbone} {weights_hash}",
        train_table,
        val_table,
        preprocess,
        recipe.augment,
        recipe.features,
        seed=recipe.train.seed,
        workers=recipe.train.workers,
        max_pixels=recipe.data.max_pixels,
        device=device,
        reporter=reporter,
    )
