"""Checkpoints: safetensors and JSON, whole or absent, enough to go on bit for bit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from gingham.errors import BundleError, DataError
from gingham.storage import (
    MANIFEST,
    atomic_directory,
    read_json,
    remove_directory,
    verify_manifest,
    write_json,
    write_manifest,
)
from gingham.tensors import load_tensors, save_tensors
from gingham.training.history import Epoch, chosen_epoch
from gingham.training.options import Choose

__all__ = [
    "TrainingState",
    "load_checkpoint",
    "load_chosen_weights",
    "newest_checkpoint",
    "optimizer_tensors",
    "require_finite",
    "restore_optimizer",
    "save_checkpoint",
]

_FORMAT = 1
_NAME = re.compile(r"step-(\d{9})")
_TENSORS = ("weights", "optimizer", "generators")
_FILES = frozenset({"state.json", *(f"{name}.safetensors" for name in _TENSORS)})

_Count = Annotated[int, Field(ge=0)]


@dataclass
class TrainingState:
    """Where a run is.

    Attributes:
        epoch: the epoch that is going on, from 0; equal to the number of finished ones.
        step: optimiser steps done since the start.
        step_in_epoch: optimiser steps done in this epoch.
        history: the finished epochs.
        loss_sum: sum of the losses of this epoch's steps so far.
        matrices: confusion matrices of this epoch's training images so far, one an attribute.
        seconds: time that this epoch took so far, in earlier processes.
        loss_scale: of fp16 training, and
        steady_steps: steps since it changed; see `arithmetic.LossScale`.
    """

    epoch: int = 0
    step: int = 0
    step_in_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)
    loss_sum: float = 0.0
    matrices: list[npt.NDArray[np.int64]] = field(default_factory=list)
    seconds: float = 0.0
    loss_scale: float = 2.0**16
    steady_steps: int = 0

    def next_epoch(self) -> None:
        """Begin the next epoch: its sums start at zero."""
        self.epoch += 1
        self.step_in_epoch = 0
        self.loss_sum = self.seconds = 0.0
        self.matrices = []


class _StateFile(BaseModel):
    """What `state.json` must hold."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    format: _Count
    identity: dict[str, str | int | None]
    epoch: _Count
    step: _Count
    step_in_epoch: _Count
    history: list[Epoch]
    loss_sum: float
    matrices: list[list[list[_Count]]]
    seconds: float
    # Absent before there was fp16.
    loss_scale: float = 2.0**16
    steady_steps: _Count = 0


def optimizer_tensors(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: `parameter name:state name`."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    tensors = {}
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            tensors[f"{names[id(parameter)]}:{key}"] = torch.as_tensor(value).detach().cpu()
    return tensors


@torch.no_grad()
def restore_optimizer(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put named tensors of `optimizer_tensors` back, on the device, in precision and layout of each parameter."""
    positions = {
        id(parameter): index
        for index, parameter in enumerate(item for group in optimizer.param_groups for item in group["params"])
    }
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(":")
        own = parameters[parameter]
        # A fused optimiser goes through memory, not through indices: what it keeps must lie as the weights do.
        if tensor.shape == own.shape:
            tensor = torch.empty_like(own, dtype=tensor.dtype, device=tensor.device).copy_(tensor)
        state.setdefault(positions[id(own)], {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def save_checkpoint(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    generators: Mapping[str, Tensor],
    state: TrainingState,
    identity: Mapping[str, Any],
    keep: int,
    choose: Choose = "best",
) -> Path:
    """Write `folder/step-…` and remove what is older than the `keep` newest, but for the chosen epoch's.

    Args:
        folder: the run's `checkpoints` folder.
        weights: what is trained, by name.
        optimizer: from `optimizer_tensors`.
        generators: states of the random generators, `rank:device` -> uint8 tensor.
        state: where the run is.
        identity: what a resumed run must agree with (recipe, data, number of processes).
        keep: how many checkpoints stay.
        choose: which epoch becomes the model.

    Raises:
        DataError: a number is not finite; nothing was written.
        MachineError: the disk refuses; the checkpoints that were there before stay.
    """
    require_finite({**weights, **optimizer}, step=state.step)
    target = folder / f"step-{state.step:09d}"
    plain = asdict(state)
    plain["matrices"] = [matrix.tolist() for matrix in state.matrices]
    with atomic_directory(target) as temporary:
        for name, tensors in zip(_TENSORS, (weights, optimizer, generators), strict=True):
            save_tensors(temporary / f"{name}.safetensors", tensors)
        write_json(temporary / "state.json", {"format": _FORMAT, "identity": dict(identity), **plain})
        write_manifest(temporary)
    _prune(folder, state.step, keep, chosen_step=_chosen_step(state.history, choose))
    return target


def require_finite(tensors: Mapping[str, Tensor], *, step: int) -> None:
    """Refuse tensors that hold NaN or infinity.

    Raises:
        DataError: names the first such tensor.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(
                f"step {step}: '{name}' holds numbers that are not finite: not saved, and the last checkpoint stands; "
                "start again with a lower train.learning_rate, with train.clip_norm or train.precision=fp32"
            )


def newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint of a run, and one line about each newer one that is damaged."""
    damaged = []
    for path in reversed(_checkpoints(folder)):
        try:
            _verify(path)
        except (BundleError, OSError) as failure:
            damaged.append(str(failure))
        else:
            return path, damaged
    return None, damaged


def load_checkpoint(
    path: Path, identity: Mapping[str, Any]
) -> tuple[TrainingState, dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Read state, weights, optimiser and generators of a checkpoint.

    Raises:
        BundleError: damaged, written by a later Gingham, or of a run with another recipe, data or process count.
    """
    plain = read_json(path / "state.json")
    if isinstance(plain, dict) and isinstance(plain.get("format"), int) and plain["format"] > _FORMAT:
        raise BundleError(f"{path}: written by a later Gingham (format {plain['format']}); upgrade Gingham")
    try:
        # From the text: only there is a mapping as good as an `Epoch` to a strict reader.
        read = _StateFile.model_validate_json((path / "state.json").read_bytes())
        matrices = [np.array(matrix, dtype=np.int64) for matrix in read.matrices]
    except ValidationError as failure:
        first = failure.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise BundleError(f"{path / 'state.json'}: {where}: {first['msg']}; remove this checkpoint") from None
    except (ValueError, OverflowError):
        raise BundleError(f"{path / 'state.json'}: matrices: not square; remove this checkpoint") from None
    for key, mine in identity.items():
        theirs = read.identity.get(key)
        if theirs != mine:
            raise BundleError(
                f"{path}: cannot go on: its {key} is {theirs}, here it is {mine}; use the same, or a new --out"
            )
    state = TrainingState(
        epoch=read.epoch,
        step=read.step,
        step_in_epoch=read.step_in_epoch,
        history=read.history,
        loss_sum=read.loss_sum,
        matrices=matrices,
        seconds=read.seconds,
        loss_scale=read.loss_scale,
        steady_steps=read.steady_steps,
    )
    weights, optimizer, generators = (load_tensors(path / f"{name}.safetensors") for name in _TENSORS)
    return state, weights, optimizer, generators


def load_chosen_weights(folder: Path, history: Sequence[Epoch], choose: Choose) -> dict[str, Tensor]:
    """The weights of the chosen epoch's checkpoint; of the newest one when no epoch could be rated.

    Raises:
        BundleError: that checkpoint is missing or damaged.
    """
    chosen = _chosen_step(history, choose)
    path = folder / f"step-{chosen:09d}" if chosen is not None else newest_checkpoint(folder)[0]
    if path is None:
        raise BundleError(f"{folder}: it holds no whole checkpoint")
    _verify(path)
    return load_tensors(path / "weights.safetensors")


def _chosen_step(history: Sequence[Epoch], choose: Choose) -> int | None:
    chosen = chosen_epoch(history, choose)
    return chosen.step if chosen else None


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and _NAME.fullmatch(path.name))


def _verify(path: Path) -> None:
    """Raise `BundleError` unless a checkpoint's manifest vouches for each of its files."""
    if verify_manifest(path).keys() != _FILES:
        raise BundleError(f"{path / MANIFEST}: it does not list the files of a checkpoint; damaged or changed")


def _prune(folder: Path, step: int, keep: int, chosen_step: int | None) -> None:
    # Later ones are damaged leftovers of an earlier attempt: they don't count, and are replaced in their turn.
    reached = [path for path in _checkpoints(folder) if path.name <= f"step-{step:09d}"]
    for path in reached[:-keep]:
        if path.name != f"step-{chosen_step or 0:09d}":
            remove_directory(path)
