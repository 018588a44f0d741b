"""A number that is not finite stops the run before the step, in all processes, and names the images."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gingham.errors import DataError
from gingham.training.checkpoint import newest_checkpoint
from gingham.training.loop import Fit
from gingham.training.order import Indices
from gingham.training.recipe import Recipe
from gingham.training.run import train

Tiny = Callable[..., Recipe]

_CACHED = ("model.frozen=true", "features.cache=true")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_image_is_named_and_the_step_not_taken(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, accumulation: int
) -> None:
    """In the second epoch, of three steps each."""
    load, poisoned, weights = Fit._load, list[int](), list[torch.Tensor]()

    def broken(self: Fit, epoch: int, step: int, batch: Indices, part: Indices) -> tuple[Indices, torch.Tensor]:
        part, inputs = load(self, epoch, step, batch, part)
        if epoch == 1 and not poisoned:
            inputs[1, 0, 0] = value
            poisoned.append(int(batch[part[1]]))
        return part, inputs

    def norm(self: Fit) -> float:
        weights[:] = [item.detach().clone() for item in self.module.parameters()]
        return 1.0

    monkeypatch.setattr(Fit, "_load", broken)
    monkeypatch.setattr(Fit, "_gradient_norm", norm)
    recipe = tiny("train.epochs=3", f"train.accumulation={accumulation}", *_CACHED)
    with pytest.raises(DataError) as caught:
        train(photos, recipe, tmp_path / "run")
    message = str(caught.value)
    assert message.startswith("epoch 2, step 4: loss nan, gradient norm 1.0 in the batch of 10 images (1 with outputs")
    named = re.findall(r"\d\d\.png", message)
    images = [line.split(",")[0] for line in (photos / "labels.csv").read_text().splitlines() if line.endswith("train")]
    assert named[0] == images[poisoned[0]]
    assert len(set(named)) == 9, "the broken one and eight of the nine others"
    assert "and 1 more" in message
    assert "stopped before the step; the last checkpoint stands; start again" in message
    path, damaged = newest_checkpoint(tmp_path / "run/checkpoints")
    assert path is not None
    assert (path.name, damaged) == ("step-000000003", [])


def test_a_gradient_alone_stops_too(photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fit, "_gradient_norm", lambda self: float("inf"))
    with pytest.raises(DataError, match=r"gradient norm inf in the batch of 10 images \(others: \d\d\.png"):
        train(photos, tiny(), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_weights_that_a_step_made_infinite_are_kept_nowhere(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of the second epoch: only its validation, or the check before the save, can tell."""
    step = torch.optim.AdamW.step
    steps = 0

    def overflow(self: torch.optim.AdamW, closure: None = None) -> None:
        nonlocal steps
        steps += 1
        step(self, closure)
        if steps == 6:
            self.param_groups[0]["params"][0].data[..., 0] = float("inf")

    monkeypatch.setattr(torch.optim.AdamW, "step", overflow)
    with pytest.raises(DataError, match="not finite"):
        train(photos, tiny("train.epochs=3"), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-000000003"]
    assert '"epoch": 1,' in (tmp_path / "run/best/config.json").read_text()


def test_where_one_of_two_processes_meets_it_both_stop(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    tiny(*_CACHED, "features.views=1", "train.batch_size=8").write(tmp_path / "recipe.yaml")
    script = Path(__file__).with_name("poison.py")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launcher, str(script), str(photos), str(tmp_path / "recipe.yaml"), str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(said) == 2, done.stderr[-3000:]
    assert said[0] == said[1]
    assert re.search(
        r"epoch 1, step 3: loss nan, .* of 8 images \(1 with outputs that are not finite: \d\d\.png;", said[0]
    )
    assert not (tmp_path / "run/checkpoints").exists()
