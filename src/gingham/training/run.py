"""A training run as a folder: everything around the loop."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from gingham.data.formats import read_labels
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.errors import BundleError, UserError
from gingham.evaluation.curves import plot_curves
from gingham.evaluation.metrics import Metrics, evaluate
from gingham.inference.bundle import write_bundle
from gingham.inference.card import model_card
from gingham.inference.tagger import Tagger, choose_device
from gingham.losses import AttributeLoss
from gingham.models.hub import is_hub, pinned
from gingham.models.network import Network, build_network
from gingham.models.weights import input_statistics
from gingham.progress import Reporter
from gingham.storage import sha256_bytes, write_json
from gingham.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    require_finite,
    restore_optimizer,
    save_checkpoint,
)
from gingham.training.checks import (
    check_boxes,
    check_composition,
    check_labels,
    data_fingerprint,
    first_difference,
)
from gingham.training.folder import CHECKPOINTS, Origin, begin, claim, read_origin, require_unused
from gingham.training.generators import gather_generators, restore_generators
from gingham.training.history import EventWriter, best_epoch, columns, write_history
from gingham.training.inputs import FeatureNetwork, PixelInputs, cached_inputs
from gingham.training.intake import Intake, Rules, take_in
from gingham.training.interrupt import Stop
from gingham.training.loop import Fit
from gingham.training.optim import build_optimizer
from gingham.training.processes import lost_processes
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.weights import load_best, load_trained, start_from, trained_tensors

__all__ = ["is_main_process", "resume", "train"]

_DEFAULT_RULES = Rules()
_OLD_RULES = Rules(leaks="keep")
"""Of runs that began before anything was left out."""


def train(
    data: Path,
    recipe: Recipe,
    out: Path,
    *,
    init: Path | None = None,
    rules: Rules = _DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> Metrics:
    """Train a tagger and leave a run in a new folder.

    Args:
        data: folder or table of labelled photos.
        recipe: every choice.
        out: the run's folder; must not exist, or be empty (or hold only what a run leaves that was killed as it began).
        init: bundle or run whose weights to start from.
        rules: which images are left out: training copies of validation or test photos, unreadable ones.
        device: `auto`, `cpu`, `cuda` or `mps`.
        reporter: hears of progress.
        stop: how the run hears that it shall save a checkpoint and raise `Stopped`; by default it never does.

    Returns:
        The best epoch's metrics on the validation split.

    Raises:
        UserError: the data, recipe or options are wrong (all of that is checked before training).
        MachineError: the disk is full or refuses; the last checkpoint stands.
        Stopped: see `stop`.
    """
    require_unused(out)
    # What `hub` stands for may change while the run goes on, or before it is resumed.
    recipe = recipe.with_weights(pinned(recipe.model.backbone, recipe.model.weights))
    with lost_processes(), ExitStack() as held:

        def start(intake: Intake) -> None:
            held.enter_context(claim(out))
            begin(out, recipe, Origin(data, init, intake))

        run = _Run.prepare(data, recipe, out, init, rules, device, reporter or Reporter(), start)
        return run.fit(TrainingState(), stop or Stop())


def resume(
    out: Path,
    *,
    data: Path | None = None,
    recipe: Recipe | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> Metrics:
    """Go on with a run from its newest whole checkpoint, as if it had not stopped.

    On the CPU, with as many processes and threads as before, weights and history become bit-identical to those of an
    undisturbed run (but for `seconds`).

    Args:
        out: the run's folder.
        data: its data, if that has moved.
        recipe: if given, must equal the run's.
        device: as in `train`.
        reporter: hears of progress.
        stop: as in `train`.

    Raises:
        BundleError: not a run, or it was made with another recipe, other data or another number of processes.
        UserError, MachineError, Stopped: as `train`.
    """
    file, origin = read_origin(out)
    reporter = reporter or Reporter()
    own = load_recipe(str(file))
    if recipe is not None and recipe.model.weights == "hub" and is_hub(own.model.weights):
        recipe = recipe.with_weights(own.model.weights)
    if recipe is not None and recipe != own:
        raise UserError(f"{out}: --resume goes on with the run's own recipe, but {first_difference(own, recipe)}")
    with lost_processes(), ExitStack() as held:

        def start(intake: Intake) -> None:
            if origin.intake is not None:
                intake.require_same(origin.intake, out)
            held.enter_context(claim(out))

        rules = _OLD_RULES if origin.intake is None else origin.intake.rules
        run = _Run.prepare(data or origin.data, own, out, origin.init, rules, device, reporter, start)
        return run.fit(run.newest_state(), stop or Stop())


@dataclass
class _Run:
    """The prepared parts of a run."""

    out: Path
    recipe: Recipe
    train_table: LabelTable
    val_table: LabelTable
    preprocess: Preprocess
    network: Network
    module: nn.Module
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    loss: AttributeLoss
    inputs: Any
    accelerator: Accelerator
    intake: Intake
    identity: Mapping[str, Any]
    reporter: Reporter
    events: EventWriter

    @classmethod
    def prepare(
        cls,
        data: Path,
        recipe: Recipe,
        out: Path,
        init: Path | None,
        rules: Rules,
        device: str,
        reporter: Reporter,
        start: Callable[[Intake], None],
    ) -> "_Run":
        """Check everything, call `start` in the main process, and only then begin with what takes time."""
        check_composition(recipe)
        accelerator = Accelerator(
            cpu=choose_device(device).type == "cpu",
            # One process may compute features for long while the others wait.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=24))],
        )
        if not accelerator.is_main_process:
            reporter = Reporter()
        table, intake = take_in(
            read_labels(data, recipe.data),
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
        network = network.to(accelerator.device)
        weights_hash = network.backbone.weights_hash()
        if accelerator.is_main_process:
            start(intake)
        if recipe.features.cache:
            inputs: Any = cached_inputs(
                network,
                f"{recipe.model.backbone} {weights_hash}",
                train_table,
                val_table,
                preprocess,
                recipe.augment,
                recipe.features,
                seed=recipe.train.seed,
                workers=recipe.train.workers,
                device=accelerator.device,
                reporter=reporter,
                max_pixels=recipe.data.max_pixels,
            )
            trained: nn.Module = FeatureNetwork(network)
        else:
            inputs = PixelInputs(
                train_table,
                val_table,
                preprocess,
                recipe.augment,
                seed=recipe.train.seed,
                max_pixels=recipe.data.max_pixels,
            )
            trained = network
        loss = AttributeLoss(recipe.loss, table.schema, torch.from_numpy(train_table.counts())).to(accelerator.device)
        optimizer = build_optimizer(trained.parameters(), recipe.train)
        # Initialisation is the same in all processes; from here on their dropout differs.
        torch.manual_seed(recipe.train.seed * 1_000_003 + accelerator.process_index + 1)
        module, optimizer = accelerator.prepare(trained, optimizer)
        identity = {
            "recipe": sha256_bytes(recipe.to_yaml().encode()),
            "data": data_fingerprint(train_table, val_table),
            "processes": accelerator.num_processes,
            "frozen weights": weights_hash if recipe.model.frozen else None,
        }
        return cls(
            out,
            recipe,
            train_table,
            val_table,
            preprocess,
            network,
            module,
            trained,
            optimizer,
            loss,
            inputs,
            accelerator,
            intake,
            identity,
            reporter,
            EventWriter(out / "tensorboard"),
        )

    def newest_state(self) -> TrainingState:
        """Go back to the newest whole checkpoint; to the beginning, if there is none."""
        path, damaged = newest_checkpoint(self.out / CHECKPOINTS)
        for line in damaged:
            self.reporter.warn(f"checkpoint skipped: {line}")
        if path is None:
            self.reporter.say(f"{self.out}: no checkpoint yet; starting from the beginning")
            return TrainingState()
        state = self.restore(path)
        if state.step >= self.loop(Stop()).total_steps and not state.step_in_epoch:
            self.reporter.say(f"{self.out}: training is complete; its best epoch is measured again")
        else:
            self.reporter.say(f"going on from {path.name}: epoch {state.epoch + 1}, step {state.step}")
        return state

    def restore(self, path: Path) -> TrainingState:
        state, weights, optimizer, generators = load_checkpoint(path, self.identity)
        mine = {name: tensor.shape for name, tensor in self._trained_tensors().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != mine:
            raise BundleError(f"{path}: its weights do not fit the recipe's model; remove this checkpoint")
        sizes = [(size, size) for size in self.train_table.schema.sizes]
        own = f"{self.accelerator.process_index}:cpu"
        if [matrix.shape for matrix in state.matrices] not in ([], sizes) or own not in generators:
            raise BundleError(f"{path}: it does not fit the run's schema and processes; remove this checkpoint")
        load_trained(self.trained, weights)
        restore_optimizer(self.trained, self.optimizer, optimizer)
        restore_generators(generators, self.accelerator)
        return state

    def fit(self, state: TrainingState, stop: Stop) -> Metrics:
        with stop.patiently():
            self.loop(stop).run(state)
        return self._finish(state)

    def loop(self, stop: Stop) -> Fit:
        return Fit(
            module=self.module,
            inputs=self.inputs,
            train_table=self.train_table,
            val_table=self.val_table,
            loss=self.loss,
            optimizer=self.optimizer,
            options=self.recipe.train,
            accelerator=self.accelerator,
            save=self._save,
            on_epoch=self._after_epoch,
            stop_asked=stop.asked,
            reporter=self.reporter,
        )

    def _trained_tensors(self) -> dict[str, Tensor]:
        return trained_tensors(self.trained, frozen_backbone=self.recipe.model.frozen)

    def _save(self, state: TrainingState) -> None:
        generators = gather_generators(self.accelerator)
        weights, optimizer = self._trained_tensors(), optimizer_tensors(self.trained, self.optimizer)
        if self.accelerator.is_main_process:
            save_checkpoint(
                self.out / CHECKPOINTS,
                weights=weights,
                optimizer=optimizer,
                generators=generators,
                state=state,
                identity=self.identity,
                keep=self.recipe.train.keep_checkpoints,
            )
        else:
            # As the first process does: they all stop.
            require_finite({**weights, **optimizer}, step=state.step)
        self.accelerator.wait_for_everyone()

    def _after_epoch(self, state: TrainingState) -> None:
        row, best = state.history[-1], best_epoch(state.history)
        require_finite(self._trained_tensors(), step=state.step)
        if not self.accelerator.is_main_process:
            return
        write_history(self.out / "history.csv", state.history)
        self.events.add(row)
        rate = "-" if row.val_mean_class_accuracy is None else f"{row.val_mean_class_accuracy:.4f}"
        mark = " (best so far)" if row is best else ""
        self.reporter.say(
            f"epoch {row.epoch}/{self.recipe.train.epochs}: loss {row.train_loss:.4f}, validation: "
            f"loss {row.val_loss:.4f}, mean class accuracy {rate}{mark}; {row.seconds:.0f} s"
        )
        if row is best:
            self._write_best(state, metrics=None)

    def _finish(self, state: TrainingState) -> Metrics:
        """Measure the best epoch's weights as users will: from files, through the tagger. All processes wait for it."""
        load_best(self.network, self.trained, self.out, state.history, self.reporter)
        # Every process predicts, so that all return the metrics; one writes.
        main = self.accelerator.is_main_process
        tagger = Tagger(
            self.network,
            self.train_table.schema,
            self.preprocess,
            device=self.accelerator.device,
            max_pixels=self.recipe.data.max_pixels,
        )
        predictions = tagger.predict(self.val_table, workers=self.recipe.train.workers, reporter=self.reporter)
        metrics = evaluate(predictions)
        if main:
            predictions.to_parquet(self.out / "predictions-val.parquet")
            write_json(self.out / "metrics.json", metrics.to_json())
            plot_curves(columns(state.history), self.out / "curves.png")
            self._write_best(state, metrics)
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return metrics

    def _write_best(self, state: TrainingState, metrics: Metrics | None) -> None:
        best = best_epoch(state.history)
        trained = {
            "data": self.train_table.source,
            "training_images": len(self.train_table),
            "validation_images": len(self.val_table),
            "epoch": best.epoch if best else state.epoch,
            "epochs": self.recipe.train.epochs,
            "seed": self.recipe.train.seed,
            "backbone_weights": self.recipe.model.weights,
            **self.intake.facts(),
        }
        write_bundle(
            self.out / "best",
            network=self.network,
            schema=self.train_table.schema,
            preprocess=self.preprocess,
            model=self.recipe.model,
            data=self.recipe.data,
            trained={**trained, "metrics": None if metrics is None else metrics.to_json()},
            card=model_card(
                name=self.out.name,
                schema=self.train_table.schema,
                backbone=self.recipe.model.backbone,
                head=self.recipe.model.head,
                trained=trained,
                metrics=metrics,
            ),
        )


def is_main_process() -> bool:
    """Whether this is the one process, or the first of several, of a run that was prepared."""
    return bool(PartialState().is_main_process)
