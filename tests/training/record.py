"""Run by `torchrun`: trains and keeps the loss and the whole gradient of every step.

torchrun ... record.py DATA RECIPE OUT GRADIENTS.npz
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from gingham.training.loop import Fit
from gingham.training.recipe import load_recipe
from gingham.training.run import is_main_process, train

_losses: list[float] = []
_gradients: list[npt.NDArray[np.float32]] = []
_orders: list[list[int]] = []


class _Recorder:
    norm = Fit._gradient_norm
    step = Fit._step


def _gradient_norm(self: Fit) -> float:
    parameters = [*self.accelerator.unwrap_model(self.module).parameters(), *self.loss.parameters()]
    _gradients.append(np.concatenate([item.grad.numpy().ravel() for item in parameters if item.grad is not None]))
    return _Recorder.norm(self)


def _step(self, state, batch, parts):  # type: ignore[no-untyped-def]
    _orders.append(batch.tolist())
    done = _Recorder.step(self, state, batch, parts)
    _losses.append(done.loss)
    return done


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, recipe, out, target = sys.argv[1:]
    Fit._gradient_norm = _gradient_norm  # type: ignore[method-assign]
    Fit._step = _step  # type: ignore[method-assign]
    train(Path(data), load_recipe(recipe), Path(out), device="cpu")
    if is_main_process():
        np.savez(target, losses=_losses, gradients=np.stack(_gradients), orders=np.concatenate(_orders))
