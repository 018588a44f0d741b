"""The training loop, from top to bottom."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from gingham.data.prefetch import prefetch
from gingham.data.table import LabelTable
from gingham.errors import DataError
from gingham.evaluation.metrics import Metrics, confusion_matrices
from gingham.losses import AttributeLoss, soft_targets
from gingham.progress import Reporter
from gingham.training.arithmetic import Arithmetic, next_scale, unscale
from gingham.training.checkpoint import TrainingState
from gingham.training.counts import Counter
from gingham.training.ema import WeightAverage
from gingham.training.history import Epoch, best_epoch, epochs_without_better
from gingham.training.inputs import Inputs
from gingham.training.interrupt import Stopped
from gingham.training.mix import Mixing, MixOptions, draw_mixing, mixed_inputs, mixed_targets
from gingham.training.optim import learning_rate_at, set_learning_rate
from gingham.training.options import TrainOptions
from gingham.training.order import Indices, batch_indices, sample_order, share, steps_per_epoch
from gingham.training.repeats import appearances, epoch_size

__all__ = ["Fit"]

_NAMED = 8
"""How many images an error message names."""

_WAY_OUT = (
    "the last checkpoint stands; start again without odd images, or with a lower train.learning_rate, with "
    "train.clip_norm or train.precision=fp32"
)


class _Step(NamedTuple):
    """What one optimiser step gave, over all processes: loss, `Counter.count`, whether somebody asked to stop."""

    loss: float
    counts: npt.NDArray[np.int64]
    stop: bool


@dataclass
class Fit:
    """One fit of a module to a training table, on one process or several.

    Attributes:
        module: what is trained; maps inputs to logits `[b, ΣC]`. Prepared by the accelerator.
        inputs: where its inputs come from.
        train_table: training images and targets.
        val_table: validation images and targets.
        loss: with class weights of the training table.
        optimizer: over the module's trained parameters and the loss's own.
        average: of the module's weights, if the recipe says so.
        factors: `[N]`, how often each training image comes in an epoch.
        options: of the recipe.
        mix: of the recipe.
        accelerator: devices and processes.
        arithmetic: precision.
        save: writes a checkpoint of a state.
        on_epoch: called after each epoch with the history so far.
        stop_asked: whether the run shall end after the current step, or batch of the validation.
        reporter: hears of progress.
    """

    module: nn.Module
    inputs: Inputs
    train_table: LabelTable
    val_table: LabelTable
    loss: AttributeLoss
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    factors: npt.NDArray[np.float64]
    options: TrainOptions
    mix: MixOptions
    accelerator: Accelerator
    arithmetic: Arithmetic
    save: Callable[[TrainingState], None]
    on_epoch: Callable[[TrainingState], None]
    stop_asked: Callable[[], bool]
    reporter: Reporter

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one epoch."""
        return steps_per_epoch(epoch_size(self.factors), self.options.batch_size)

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run; the schedule's length."""
        steps = self.options.epochs * self.steps_per_epoch
        return min(steps, self.options.max_steps or steps)

    def order(self, epoch: int) -> Indices:
        """The training images of one epoch, from 0, in their order; a repeated one as `appearances` says."""
        seed = self.options.seed
        return appearances(self.factors, seed, epoch)[sample_order(seed, epoch, epoch_size(self.factors))]

    def is_over(self, state: TrainingState) -> bool:
        """Whether nothing is left to train: all steps are done, or patience has come to its end."""
        # Steps that were saved before their epoch's validation leave an epoch to be finished.
        return not state.step_in_epoch and (state.step >= self.total_steps or self.ended_early(state))

    def ended_early(self, state: TrainingState) -> bool:
        """Whether patience came to its end before the steps did."""
        patience = self.options.patience
        return (
            patience is not None and state.step < self.total_steps and epochs_without_better(state.history) >= patience
        )

    def run(self, state: TrainingState) -> None:
        """Train from `state` to the end, in place.

        Raises:
            Stopped: `stop_asked`; a checkpoint was saved.
            DataError: a loss or gradient is not finite; names the images. Nothing of that step is kept.
        """
        with self.arithmetic.in_force():
            self._run(state)

    def _run(self, state: TrainingState) -> None:
        while not self.is_over(state):
            with self.reporter.bar(f"epoch {state.epoch + 1}/{self.options.epochs}", self.steps_per_epoch) as bar:
                bar.advance(state.step_in_epoch)
                self._epoch(state, bar.advance)
            self.on_epoch(state)
            self.save(state)
            if self.ended_early(state):
                patience = self.options.patience
                self.reporter.say(f"training ends early: no better epoch in the last {patience} (train.patience)")
            if self._agree_to_stop():
                raise Stopped

    def _agree_to_stop(self) -> bool:
        """Whether any process was asked to stop: one may get a signal that the others don't."""
        if self.accelerator.num_processes == 1:
            return self.stop_asked()
        asked = torch.tensor(float(self.stop_asked()), device=self.accelerator.device)
        return bool(self.accelerator.reduce(asked, reduction="sum"))

    def _save_and_stop(self, state: TrainingState) -> NoReturn:
        self.save(state)
        raise Stopped

    def _epoch(self, state: TrainingState, advance: Callable[[int, str], None]) -> None:
        schema = self.train_table.schema
        counts = np.zeros(self._counter.size, dtype=np.int64)
        if state.matrices:
            counts += np.concatenate([matrix.ravel() for matrix in state.matrices])
        started = time.monotonic() - state.seconds
        order = self.order(state.epoch)
        remaining = range(
            state.step_in_epoch, min(self.steps_per_epoch, self.total_steps - state.step + state.step_in_epoch)
        )
        batches = [batch_indices(order, step, self.options.batch_size) for step in remaining]
        parts = [
            (state.step + number, batch, part) for number, batch in enumerate(batches) for part in self._share(batch)
        ]
        epoch = state.epoch
        loaded = prefetch(
            parts, lambda part: self._load(epoch, *part), workers=self._workers, depth=2 * self.options.workers
        )
        self.module.train()
        best = best_epoch(state.history) if self.options.choose == "best" else None
        note = f"best {best.val_mean_class_accuracy:.4f}" if best else ""
        for batch in batches:
            done = self._step(state, batch, [next(loaded) for _ in range(self.options.accumulation)])
            state.step += 1
            state.step_in_epoch += 1
            state.loss_sum += done.loss
            counts += done.counts
            state.seconds = time.monotonic() - started
            advance(1, f"loss {done.loss:.3f} {note}")
            if done.stop:
                loaded.close()
                state.matrices = self._counter.matrices(counts)
                self._save_and_stop(state)
        state.matrices = self._counter.matrices(counts)
        train = Metrics.from_confusions(state.matrices, schema, n=len(order))
        with self.average.in_force() if self.average else nullcontext():
            validated = self.validate(state.epoch)
        if validated is None:
            self._save_and_stop(state)
        val_loss, val_logits = validated
        if not np.isfinite(val_loss):
            names = _named(self.val_table, np.arange(len(val_logits)), _not_finite(val_logits))
            raise DataError(f"epoch {state.epoch + 1}: loss {val_loss} on the validation split {names}: {_WAY_OUT}")
        confusions = confusion_matrices(self.val_table.targets, self._counter.best(val_logits), schema)
        val = Metrics.from_confusions(confusions, schema, n=len(self.val_table))
        state.history.append(
            Epoch(
                epoch=state.epoch + 1,
                step=state.step,
                learning_rate=self._rate(state.step - 1),
                train_loss=state.loss_sum / state.step_in_epoch,
                train_mean_class_accuracy=train.mean_class_accuracy,
                train_overall_accuracy=train.overall_accuracy,
                val_loss=val_loss,
                val_mean_class_accuracy=val.mean_class_accuracy,
                val_overall_accuracy=val.overall_accuracy,
                seconds=round(time.monotonic() - started, 3),
            )
        )
        state.next_epoch()

    def _rate(self, step: int) -> float:
        return learning_rate_at(step, self.total_steps, self.options)

    @property
    def _workers(self) -> int:
        return 0 if self.inputs.at_hand else self.options.workers

    @cached_property
    def _counter(self) -> Counter:
        return Counter(self.train_table.schema)

    @cached_property
    def _labels(self) -> tuple[Tensor, Tensor]:
        """Soft targets and mask of the whole training table: checked once, not in every step."""
        targets = torch.from_numpy(self.train_table.targets).to(self.accelerator.device)
        return soft_targets(targets, self.train_table.schema)

    def _summed(self, numbers: Tensor) -> Tensor:
        """Their sum over the processes."""
        if self.accelerator.num_processes == 1:
            return numbers
        summed: Tensor = self.accelerator.reduce(numbers, reduction="sum")
        return summed

    @cached_property
    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def _share(self, batch: Indices) -> list[Indices]:
        """This process's micro-batches, as positions in the global batch."""
        accelerator, positions = self.accelerator, np.arange(len(batch))
        return share(positions, accelerator.process_index, accelerator.num_processes, self.options.accumulation)

    def _mixing(self, step: int, batch: Indices) -> Mixing | None:
        return draw_mixing(self.mix, self.options.seed, step, len(batch), self.inputs.grid)

    def _load(self, epoch: int, step: int, batch: Indices, part: Indices) -> tuple[Indices, Tensor]:
        # A process whose part of a small batch is empty still takes part in the gradient exchange: it sends
        # one image, without any weight.
        if not len(part):
            return part, self.inputs.train(epoch, np.zeros(1, dtype=np.int64))
        mixing = self._mixing(step, batch)
        return part, mixed_inputs(mixing, lambda rows: self.inputs.train(epoch, rows), batch, part, self.inputs.grid)

    def _step(self, state: TrainingState, batch: Indices, parts: list[tuple[Indices, Tensor]]) -> _Step:
        """One optimiser step on a global batch; what it returns is the same in all processes."""
        schema, device = self.train_table.schema, self.accelerator.device
        rows = batch % len(self.train_table)
        counted, places = self.train_table.targets[rows], torch.from_numpy(rows).to(device)
        # Every process knows the labels of the whole batch, so the global denominators need no communication.
        soft, mask = (labels[places] for labels in self._labels)
        if mixing := self._mixing(state.step, batch):
            soft, mask = mixed_targets(mixing, soft, mask, schema)
            counted = counted[mixing.dominant]
        denominators = self.loss.denominators(soft, mask, state.epoch)
        exact = torch.float32 if device.type == "mps" else torch.float64
        total = torch.zeros((), dtype=exact, device=device)
        hits = np.zeros(self._counter.size, dtype=np.int64)
        broken = np.zeros(len(batch))
        scale = state.loss_scale if self.arithmetic.scales else 1.0
        for number, (part, inputs) in enumerate(parts):
            labels = soft, mask
            if len(part) < len(batch):
                here = torch.from_numpy(part).to(device)
                labels = (soft[here], mask[here]) if len(part) else (soft[:1] * 0, mask[:1] * 0)
            last = number == len(parts) - 1
            # Gradients of the processes are exchanged once a step, with the last micro-batch.
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                with self.arithmetic.autocast():
                    logits = self.module(inputs.to(device, non_blocking=True)).float()
                loss = self.loss(logits, *labels, denominators, state.epoch).total
                # Gradients are averaged over processes; the loss is a sum over them.
                (loss * (self.accelerator.num_processes * scale)).backward()
            total += loss.detach().to(exact)
            if len(part):
                outputs = logits.detach().cpu().numpy()
                broken[part[_not_finite(outputs)]] = 1
                hits += self._counter.count(counted[part], self._counter.best(outputs))
        # One process may get a signal that the others don't: they all stop after the same step.
        flags = torch.from_numpy(np.concatenate([[self.stop_asked()], broken, hits])).to(device, exact)
        summed = self._summed(torch.cat([total[None], flags])).cpu().numpy()
        value, stop, broken, counts = summed[0], summed[1], summed[2 : 2 + len(batch)], summed[2 + len(batch) :]
        self._exchange_gradients_of_the_loss()
        unscale([*self._parameters, *self.loss.parameters()], scale)
        norm = self._gradient_norm()
        finite = bool(np.isfinite(norm))
        if self.arithmetic.scales:
            state.loss_scale, state.steady_steps = next_scale(scale, state.steady_steps, finite=finite)
        # A scaled gradient may be beyond fp16's range once in a while; without scale it is not.
        if not np.isfinite(value) or not (finite or (self.arithmetic.scales and state.loss_scale >= 1)):
            raise DataError(
                f"epoch {state.epoch + 1}, step {state.step + 1}: loss {value}, gradient norm {norm} in the batch "
                f"{_named(self.train_table, rows, broken > 0)}: stopped before the step; {_WAY_OUT}"
            )
        set_learning_rate(self.optimizer, self._rate(state.step))
        if finite:
            self.optimizer.step()
            if self.average:
                self.average.update(state.step)
        self.optimizer.zero_grad()
        return _Step(float(value), np.rint(counts).astype(np.int64), bool(stop))

    def _exchange_gradients_of_the_loss(self) -> None:
        """Average them over the processes, as is done for the module, of which the loss is no part."""
        for parameter in self.loss.parameters():
            parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")

    def _gradient_norm(self) -> float:
        """The norm of the whole gradient, which is then clipped if the recipe says so."""
        limit = self.options.clip_norm if self.options.clip_norm is not None else float("inf")
        return float(torch.nn.utils.clip_grad_norm_(self._parameters, limit, foreach=True))

    @torch.inference_mode()
    def validate(self, epoch: int) -> tuple[float, npt.NDArray[np.float32]] | None:
        """Loss and logits `[N, ΣC]` of the whole validation table, shared out over the processes; None: stop asked."""
        table, schema, device = self.val_table, self.val_table.schema, self.accelerator.device
        self.module.eval()
        mine = np.arange(self.accelerator.process_index, len(table), self.accelerator.num_processes)
        size = max(1, self.options.batch_size // (self.accelerator.num_processes * self.options.accumulation))
        # As many parts in each process, the last of them maybe empty, so that they can agree to stop after any.
        longest = -(-len(table) // self.accelerator.num_processes)
        parts = [mine[start : start + size] for start in range(0, longest, size)]
        logits = torch.zeros((len(table), schema.total), device=device)
        network = self.accelerator.unwrap_model(self.module)
        # Each process has running statistics of its own images; the first one's are saved, and so are measured.
        for buffer in network.buffers():
            broadcast(buffer)
        loaded = prefetch(
            parts,
            lambda part: (part, self.inputs.val(part) if len(part) else None),
            workers=self._workers,
            depth=2 * self.options.workers,
        )
        for part, inputs in loaded:
            if inputs is not None:
                with self.arithmetic.autocast():
                    logits[torch.from_numpy(part).to(device)] = network(inputs.to(device)).float()
            if self._agree_to_stop():
                loaded.close()
                return None
        # Each row was filled by one process and is zero in the others.
        logits = self._summed(logits)
        soft, mask = soft_targets(torch.from_numpy(table.targets).to(device), schema)
        loss = self.loss(logits, soft, mask, self.loss.denominators(soft, mask, epoch), epoch).total
        self.module.train()
        return float(loss), logits.cpu().numpy()


def _not_finite(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    return np.asarray(~np.isfinite(logits).all(axis=1), dtype=np.bool_)


def _named(table: LabelTable, rows: Indices, broken: npt.NDArray[np.bool_]) -> str:
    """`of 64 images (1 with outputs that are not finite: a.jpg; others: b.jpg, c.jpg and 61 more)`."""

    def names(some: Indices) -> str:
        more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
        return ", ".join(table.images[row] for row in some[:_NAMED].tolist()) + more

    groups = {f"{broken.sum()} with outputs that are not finite": rows[broken], "others": rows[~broken]}
    return (
        f"of {len(rows)} images ({'; '.join(f'{what}: {names(some)}' for what, some in groups.items() if len(some))})"
    )
