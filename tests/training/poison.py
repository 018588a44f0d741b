"""Run by `torchrun`: trains on cached features of which one becomes NaN in the third step, in the last process only.

torchrun ... poison.py DATA RECIPE OUT
"""

import sys
from pathlib import Path

import torch

from gingham.cli.main import run
from gingham.training.loop import Fit

_load = Fit._load
_steps = 0


def _poisoned(self, epoch, step, batch, part):  # type: ignore[no-untyped-def]
    global _steps
    _steps += 1
    part, inputs = _load(self, epoch, step, batch, part)
    if _steps == 3 and self.accelerator.process_index == self.accelerator.num_processes - 1:
        inputs[0, 0, 0] = float("nan")
    return part, inputs


if __name__ == "__main__":
    torch.set_num_threads(1)
    Fit._load = _poisoned  # type: ignore[method-assign]
    data, recipe, out = sys.argv[1:]
    sys.exit(run(["train", "--data", data, "--recipe", recipe, "--out", str(Path(out)), "--device", "cpu"]))
