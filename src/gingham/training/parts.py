"""The parts of a run, put together from data and recipe; all that may be wrong with them is said here."""

import contextlib
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
from gingham.inference.torch_runtime import choose_device
from gingham.losses import AttributeLoss
from gingham.models.network import Network, build_network
from gingham.models.weights import input_statistics
from gingham.progress import Reporter
from gingham.storage import sha256_bytes
from gingham.training.arithmetic import Arithmetic, check_arithmetic, shape_network
from gingham.training.auto import settled
from gingham.training.checks import (
    check_boxes,
    check_composition,
    check_labels,
    check_loss,
    check_mixed_tokens,
    data_fingerprint,
)
from gingham.training.ema import WeightAverage
from gingham.training.groups import parameter_groups
from gingham.training.inputs import FeatureNetwork, Inputs, PixelInputs, cached_inputs
from gingham.training.intake import Intake, Rules, take_in
from gingham.training.optim import build_optimizer
from gingham.training.recipe import Recipe, looks_at_means
from gingham.training.repeats import Factors, epoch_size, repeat_factors
from gingham.training.weights import changed_tensors, start_from

__all__ = ["Parts", "check_run", "prepare"]


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
        average: of the trained weights, if the recipe says so.
        loss: with class weights of the training table.
        inputs: what `module` is fed.
        space: names the backbone and its weights, for the feature cache.
        factors: `[N]`, how often each training image comes in an epoch.
        accelerator: devices and processes.
        arithmetic: precision.
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
    average: WeightAverage | None
    loss: AttributeLoss
    inputs: Inputs
    space: str
    factors: Factors
    accelerator: Accelerator
    arithmetic: Arithmetic
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
    recipe = settled(recipe, accelerator.device)
    check_arithmetic(recipe.train, accelerator.device)
    arithmetic = Arithmetic(recipe.train.precision, recipe.train.matmul, accelerator.device)
    labels = read_labels(data, recipe.data, reporter=reporter)
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
    factors = repeat_factors(train_table, recipe.train.repeat_rare)
    if recipe.train.repeat_rare is not None:
        reporter.say(
            f"train.repeat_rare: {epoch_size(factors)} images an epoch instead of {len(train_table)}, the rarest "
            f"{factors.max():.3g} times"
        )
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
    space = f"{recipe.model.backbone} {weights_hash}"
    trained: nn.Module = FeatureNetwork(network) if recipe.features.cache else network
    shape_network(network, trained, recipe.train)
    loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(train_table.counts())).to(accelerator.device)
    optimizer = build_optimizer(parameter_groups(trained, network.backbone, loss, recipe.train), recipe.train)
    if accelerator.is_main_process:
        start(intake)
    inputs = _inputs(recipe, network, train_table, val_table, preprocess, accelerator.device, space, reporter)
    # Initialisation is the same in all processes; from here on their dropout differs.
    torch.manual_seed(recipe.train.seed * 1_000_003 + accelerator.process_index + 1)
    # The optimiser stays as it is: what the accelerator adds to it, it does anew in each step.
    module = accelerator.prepare(trained)
    # Only now: the accelerator may move the weights to other memory.
    ema = recipe.train.ema
    average = WeightAverage(changed_tensors(trained, frozen=network.frozen_tensors()), ema) if ema else None
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
        average,
        loss,
        inputs,
        space,
        factors,
        accelerator,
        arithmetic,
        intake,
        identity,
        reporter,
    )


class _NothingWrongError(Exception):
    """A run could begin."""


def check_run(data: Path, recipe: Recipe, rules: Rules, device: str, reporter: Reporter) -> None:
    """Check all that `prepare` checks, and end where a run would begin.

    Raises:
        UserError: the data, recipe or options are wrong.
    """

    def start(intake: Intake) -> None:
        raise _NothingWrongError

    with contextlib.suppress(_NothingWrongError):
        prepare(data, recipe, None, rules, device, reporter, start)


def _inputs(
    recipe: Recipe,
    network: Network,
    train_table: LabelTable,
    val_table: LabelTable,
    preprocess: Preprocess,
    device: torch.device,
    space: str,
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
        space,
        train_table,
        val_table,
        preprocess,
        recipe.augment,
        recipe.features,
        seed=recipe.train.seed,
        workers=recipe.train.workers,
        max_pixels=recipe.data.max_pixels,
        means=looks_at_means(recipe),
        device=device,
        reporter=reporter,
    )
