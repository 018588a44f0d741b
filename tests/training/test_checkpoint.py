from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gingham.errors import BundleError
from gingham.training.checkpoint import (
    TrainingState,
    load_checkpoint,
    load_chosen_weights,
    newest_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from gingham.training.history import Epoch
from gingham.training.options import Choose


def _epoch(number: int, rate: float) -> Epoch:
    return Epoch(number, 10 * number, 1e-4, 1.0, 0.5, 0.5, 1.0, rate, 0.5, 1.0)


def _save(folder: Path, step: int, history: list[Epoch], keep: int = 2, choose: Choose = "best") -> Path:
    state = TrainingState(len(history), step, 3, history, loss_sum=0.1 + 0.2, matrices=[np.eye(2, dtype=np.int64)])
    return save_checkpoint(
        folder,
        weights={"weight": torch.full((3,), float(step))},
        optimizer={},
        generators={"0:cpu": torch.get_rng_state()},
        state=state,
        identity={"recipe": "abc", "processes": 1},
        keep=keep,
        choose=choose,
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = _save(tmp_path, 13, [_epoch(1, 0.5)])
    state, weights, _, generators = load_checkpoint(path, {"recipe": "abc", "processes": 1})
    assert (state.epoch, state.step, state.step_in_epoch, state.loss_sum) == (1, 13, 3, 0.1 + 0.2)
    assert state.history == [_epoch(1, 0.5)]
    np.testing.assert_array_equal(state.matrices[0], np.eye(2))
    assert weights["weight"].tolist() == [13.0] * 3
    assert torch.equal(generators["0:cpu"], torch.get_rng_state())


def test_another_recipe_or_number_of_processes_is_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, 10, [])
    with pytest.raises(BundleError, match="its processes is 1, here it is 2"):
        load_checkpoint(path, {"recipe": "abc", "processes": 2})


def test_the_newest_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    history: list[Epoch] = []
    for number, rate in enumerate([0.3, 0.6, 0.5, 0.4, 0.2], start=1):
        history.append(_epoch(number, rate))
        _save(tmp_path, 10 * number, history)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000020", "step-000000040", "step-000000050"]
    assert load_chosen_weights(tmp_path, history, "best")["weight"].tolist() == [20.0] * 3


def test_where_the_last_epoch_is_chosen_only_the_newest_ones_are_kept(tmp_path: Path) -> None:
    history = [_epoch(1, 0.9), _epoch(2, 0.1)]
    for number in (1, 2):
        _save(tmp_path, 10 * number, history[:number], keep=1, choose="last")
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000020"]
    _save(tmp_path, 25, history, keep=1, choose="last")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000020", "step-000000025"]
    assert load_chosen_weights(tmp_path, history, "last")["weight"].tolist() == [20.0] * 3


@pytest.mark.parametrize("file", ["weights.safetensors", "state.json", "manifest.json"])
def test_a_damaged_newest_one_is_named_and_the_one_before_used(tmp_path: Path, file: str) -> None:
    older, newer = _save(tmp_path, 10, []), _save(tmp_path, 20, [])
    data = bytearray((newer / file).read_bytes())
    data[len(data) // 2] ^= 1
    (newer / file).write_bytes(data)
    path, damaged = newest_checkpoint(tmp_path)
    assert path == older
    assert len(damaged) == 1
    assert "step-000000020" in damaged[0]


def test_a_cut_off_one_is_not_used(tmp_path: Path) -> None:
    _save(tmp_path, 10, [])
    newer = _save(tmp_path, 20, [])
    with (newer / "weights.safetensors").open("r+b") as stream:
        stream.truncate(20)
    path, damaged = newest_checkpoint(tmp_path)
    assert path is not None
    assert path.name == "step-000000010"
    assert damaged


def test_a_run_without_checkpoints_has_no_newest(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") == (None, [])


def test_the_optimiser_goes_on_as_if_it_had_not_stopped() -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(1)
        module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        module[0].bias.requires_grad = False
        return module, torch.optim.AdamW([item for item in module.parameters() if item.requires_grad], lr=0.1)

    def step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        module(torch.tensor([[1.0, 2.0, 3.0]])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    undisturbed, stopped = build(), build()
    for _ in range(3):
        step(*undisturbed)
        step(*stopped)
    resumed = build()
    resumed[0].load_state_dict(stopped[0].state_dict())
    saved = optimizer_tensors(dict(stopped[0].named_parameters()), stopped[1])
    restore_optimizer(dict(resumed[0].named_parameters()), resumed[1], saved)
    for _ in range(3):
        step(*undisturbed)
        step(*resumed)
    for mine, theirs in zip(resumed[0].parameters(), undisturbed[0].parameters(), strict=True):
        assert torch.equal(mine, theirs)
