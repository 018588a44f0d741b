"""A training run as a folder: everything around the loop."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

from accelerate import PartialState
from torch import Tensor

from gingham.errors import BundleError, UserError
from gingham.evaluation.curves import plot_curves
from gingham.evaluation.metrics import Metrics, evaluate
from gingham.inference.card import model_card
from gingham.inference.member import Member
from gingham.inference.save import write_bundle
from gingham.inference.torch_runtime import choose_device
from gingham.models.hub import pinned
from gingham.progress import Reporter
from gingham.report.page import Photos
from gingham.report.write import write_report
from gingham.storage import write_json
from gingham.training.auto import settled
from gingham.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    newest_checkpoint,
    optimizer_tensors,
    require_finite,
    restore_optimizer,
    save_checkpoint,
)
from gingham.training.checks import require_same_recipe
from gingham.training.ema import without_averages
from gingham.training.folder import CHECKPOINTS, Origin, begin, claim, read_origin, require_unused
from gingham.training.generators import gather_generators, restore_generators
from gingham.training.history import HISTORY, EventWriter, best_epoch, chosen_epoch, columns, write_history
from gingham.training.intake import DEFAULT_RULES, Intake, Rules
from gingham.training.interrupt import Stop
from gingham.training.loop import Fit
from gingham.training.measure import predict_validation
from gingham.training.parts import Parts, prepare
from gingham.training.processes import lost_processes
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.weights import load_chosen, load_trained, named_parameters, trained_tensors

__all__ = ["PREDICTIONS", "REPORT", "is_main_process", "resume", "train"]

PREDICTIONS = "predictions-val.parquet"
"""A run's predictions of its validation images, in its folder."""

REPORT = "report.html"

_OLD_RULES = Rules(leaks="keep")
"""Of runs that began before anything was left out."""


def _nothing() -> None: ...


def train(
    data: Path,
    recipe: Recipe,
    out: Path,
    *,
    init: Path | None = None,
    rules: Rules = DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    from_features: bool = False,
    before: Callable[[], None] = _nothing,
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
        from_features: see `predict_validation`.
        before: called, in the main process, once nothing is wrong and before the folder is made.

    Returns:
        The chosen epoch's metrics on the validation split.

    Raises:
        UserError: the data, recipe or options are wrong (all of that is checked before training).
        MachineError: the disk is full or refuses; the last checkpoint stands.
        Stopped: see `stop`.
    """
    if recipe.members:
        raise UserError("members: a recipe with members is several runs; train it with finish_run")
    require_unused(out)
    # What `hub` stands for may change while the run goes on, or before it is resumed.
    recipe = recipe.with_weights(pinned(recipe.model.backbone, recipe.model.weights))
    recipe = settled(recipe, choose_device(device), reporter=reporter)
    with lost_processes(), ExitStack() as held:

        def start(intake: Intake) -> None:
            before()
            held.enter_context(claim(out))
            begin(out, recipe, Origin(data, init, intake))

        parts = prepare(data, recipe, init, rules, device, reporter or Reporter(), start)
        run = _Run(out, parts, from_features=from_features)
        return run.fit(TrainingState(), stop or Stop())


def resume(
    out: Path,
    *,
    data: Path | None = None,
    recipe: Recipe | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
    from_features: bool = False,
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
        from_features: as in `train`.

    Raises:
        BundleError: not a run, or it was made with another recipe, other data or another number of processes.
        UserError, MachineError, Stopped: as `train`.
    """
    file, origin = read_origin(out)
    reporter = reporter or Reporter()
    own = load_recipe(str(file))
    require_same_recipe(out, own, recipe)
    with lost_processes(), ExitStack() as held:

        def start(intake: Intake) -> None:
            if origin.intake is not None:
                intake.require_same(origin.intake, out)
            held.enter_context(claim(out))

        rules = origin.rules or _OLD_RULES
        parts = prepare(data or origin.data, own, origin.init, rules, device, reporter, start)
        run = _Run(out, parts, from_features=from_features)
        return run.fit(run.newest_state(), stop or Stop())


class _Run:
    """A folder and the parts that fill it."""

    def __init__(self, out: Path, parts: Parts, *, from_features: bool = False) -> None:
        self.out = out
        self.parts = parts
        self.from_features = from_features
        self.events = EventWriter(out / "tensorboard")

    def newest_state(self) -> TrainingState:
        """Go back to the newest whole checkpoint; to the beginning, if there is none."""
        parts = self.parts
        path, damaged = newest_checkpoint(self.out / CHECKPOINTS)
        for line in damaged:
            parts.reporter.warn(f"checkpoint skipped: {line}")
        if path is None:
            parts.reporter.say(f"{self.out}: no checkpoint yet; starting from the beginning")
            return TrainingState()
        state = self.restore(path)
        if self.loop(Stop()).is_over(state):
            parts.reporter.say(f"{self.out}: training is complete; its model is measured again")
        else:
            parts.reporter.say(f"going on from {path.name}: epoch {state.epoch + 1}, step {state.step}")
        return state

    def restore(self, path: Path) -> TrainingState:
        parts = self.parts
        state, weights, optimizer, generators = load_checkpoint(path, parts.identity)
        mine = {name: tensor.shape for name, tensor in self._trained_tensors().items()}
        if {name: tensor.shape for name, tensor in weights.items()} != mine:
            raise BundleError(f"{path}: its weights do not fit the recipe's model; remove this checkpoint")
        sizes = [(size, size) for size in parts.train_table.schema.sizes]
        own = f"{parts.accelerator.process_index}:cpu"
        if [matrix.shape for matrix in state.matrices] not in ([], sizes) or own not in generators:
            raise BundleError(f"{path}: it does not fit the run's schema and processes; remove this checkpoint")
        load_trained(parts.trained, parts.loss, without_averages(weights))
        if parts.average:
            parts.average.load(weights)
        restore_optimizer(named_parameters(parts.trained, parts.loss), parts.optimizer, optimizer)
        restore_generators(generators, parts.accelerator)
        return state

    def fit(self, state: TrainingState, stop: Stop) -> Metrics:
        with stop.patiently():
            self.loop(stop).run(state)
        return self._finish(state)

    def loop(self, stop: Stop) -> Fit:
        parts = self.parts
        return Fit(
            module=parts.module,
            inputs=parts.inputs,
            train_table=parts.train_table,
            val_table=parts.val_table,
            loss=parts.loss,
            optimizer=parts.optimizer,
            average=parts.average,
            factors=parts.factors,
            options=parts.recipe.train,
            mix=parts.recipe.mix,
            accelerator=parts.accelerator,
            arithmetic=parts.arithmetic,
            save=self._save,
            on_epoch=self._after_epoch,
            stop_asked=stop.asked,
            reporter=parts.reporter,
        )

    def _trained_tensors(self) -> dict[str, Tensor]:
        parts = self.parts
        own = trained_tensors(parts.trained, parts.loss, frozen=parts.network.frozen_tensors())
        return {**own, **(parts.average.tensors() if parts.average else {})}

    def _save(self, state: TrainingState) -> None:
        parts = self.parts
        generators = gather_generators(parts.accelerator)
        weights = self._trained_tensors()
        optimizer = optimizer_tensors(named_parameters(parts.trained, parts.loss), parts.optimizer)
        if parts.accelerator.is_main_process:
            save_checkpoint(
                self.out / CHECKPOINTS,
                weights=weights,
                optimizer=optimizer,
                generators=generators,
                state=state,
                identity=parts.identity,
                keep=parts.recipe.train.keep_checkpoints,
                choose=parts.recipe.train.choose,
            )
        else:
            # As the first process does: they all stop.
            require_finite({**weights, **optimizer}, step=state.step)
        parts.accelerator.wait_for_everyone()

    def _after_epoch(self, state: TrainingState) -> None:
        parts, row = self.parts, state.history[-1]
        # The last epoch, where that is chosen, is written when it is measured.
        best = parts.recipe.train.choose == "best" and row is best_epoch(state.history)
        require_finite(self._trained_tensors(), step=state.step)
        if not parts.accelerator.is_main_process:
            return
        write_history(self.out / HISTORY, state.history)
        self.events.add(row)
        rate = "-" if row.val_mean_class_accuracy is None else f"{row.val_mean_class_accuracy:.4f}"
        mark = " (best so far)" if best else ""
        parts.reporter.say(
            f"epoch {row.epoch}/{parts.recipe.train.epochs}: loss {row.train_loss:.4f}, validation: "
            f"loss {row.val_loss:.4f}, mean class accuracy {rate}{mark}; {row.seconds:.0f} s"
        )
        if best:
            with parts.average.in_force() if parts.average else nullcontext():
                self._write_best(state, metrics=None)

    def _finish(self, state: TrainingState) -> Metrics:
        """Measure the chosen epoch's weights. All processes wait for it."""
        parts = self.parts
        choose = parts.recipe.train.choose
        load_chosen(parts.network, parts.trained, parts.loss, self.out, state.history, choose, parts.reporter)
        # Every process predicts, so that all return the metrics; one writes.
        main = parts.accelerator.is_main_process
        predictions = predict_validation(parts, from_features=self.from_features)
        metrics = evaluate(predictions)
        if main:
            predictions.to_parquet(self.out / PREDICTIONS)
            write_json(self.out / "metrics.json", metrics.to_json())
            history = columns(state.history)
            plot_curves(history, self.out / "curves.png")
            table = parts.val_table
            write_report(
                predictions,
                self.out / REPORT,
                title=self.out.name,
                photos=Photos(
                    dict(zip(table.images, table.paths(), strict=True)), max_pixels=parts.recipe.data.max_pixels
                ),
                metrics=metrics,
                history=history,
            )
            self._write_best(state, metrics)
        parts.accelerator.wait_for_everyone()
        parts.accelerator.end_training()
        return metrics

    def _write_best(self, state: TrainingState, metrics: Metrics | None) -> None:
        parts = self.parts
        chosen = chosen_epoch(state.history, parts.recipe.train.choose)
        trained = {
            "data": parts.train_table.source,
            "training_images": len(parts.train_table),
            "validation_images": len(parts.val_table),
            "epoch": chosen.epoch if chosen else state.epoch,
            "epochs": parts.recipe.train.epochs,
            **({"ended_early_after_epoch": len(state.history)} if self.loop(Stop()).ended_early(state) else {}),
            "seed": parts.recipe.train.seed,
            "backbone_weights": parts.recipe.model.weights,
            **parts.intake.facts(),
        }
        member = Member(model=parts.recipe.model, preprocess=parts.preprocess, test_time=parts.recipe.test_time)
        write_bundle(
            self.out / "best",
            network=parts.network,
            member=member,
            schema=parts.train_table.schema,
            data=parts.recipe.data,
            trained={**trained, "metrics": None if metrics is None else metrics.to_json()},
            card=model_card(
                name=self.out.name,
                schema=parts.train_table.schema,
                members=[member],
                trained=trained,
                metrics=metrics,
            ),
        )


def is_main_process() -> bool:
    """Whether this is the one process, or the first of several, of a run that was prepared."""
    return bool(PartialState().is_main_process)
