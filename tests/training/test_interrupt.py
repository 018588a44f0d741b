import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from gingham.tensors import load_tensors
from gingham.training.interrupt import stop_on_sigterm
from gingham.training.recipe import Recipe


def test_sigterm_is_noticed_and_the_handler_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_sigterm() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_gets_sigterm_saves_leaves_with_143_and_goes_on(
    photos: Path, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    tiny("train.epochs=12", "train.batch_size=2").write(tmp_path / "recipe.yaml")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    train = [sys.executable, "-m", "gingham", "train", "--device", "cpu"]
    fresh = ["--data", str(photos), "--recipe", str(tmp_path / "recipe.yaml"), "--out"]
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    process = subprocess.Popen([*train, *fresh, str(run)], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 143, messages
    assert f"gingham train --resume --out {run}" in messages
    epochs = len((run / "history.csv").read_text().splitlines()) - 1
    assert 1 <= epochs < 12
    subprocess.run([*train, "--resume", "--out", str(run)], env=environment, check=True, capture_output=True)
    subprocess.run([*train, *fresh, str(undisturbed)], env=environment, check=True, capture_output=True)
    histories = [
        [line.rsplit(",", 1)[0] for line in (folder / "history.csv").read_text().splitlines()]
        for folder in (run, undisturbed)
    ]
    assert histories[0] == histories[1]
    mine, theirs = (load_tensors(folder / "best/model.safetensors") for folder in (run, undisturbed))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert json.loads((run / "metrics.json").read_text()) == json.loads((undisturbed / "metrics.json").read_text())
