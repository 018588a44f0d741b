"""Which epoch becomes the model."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gingham.errors import BundleError
from gingham.inference.bundle import open_bundle
from gingham.tensors import load_tensors
from gingham.training.interrupt import Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.ears import Ears
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]

_RECIPE = ("train.epochs=4", "train.learning_rate=3e-2", "train.keep_checkpoints=1")
"""Of which the best epoch is not the last one."""


def _rates(run: Path) -> list[float]:
    return [float(line.split(",")[7]) for line in (run / "history.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("choose", ["best", "last"])
def test_the_chosen_epoch_becomes_the_model(photos: Path, tiny: Tiny, tmp_path: Path, choose: str) -> None:
    out, ears = tmp_path / "run", Ears()
    metrics = train(photos, tiny(*_RECIPE, f"train.choose={choose}"), out, device="cpu", reporter=ears)
    rates = _rates(out)
    best = rates.index(max(rates)) + 1
    assert best < 4, "the two differ"
    epoch = best if choose == "best" else 4
    trained = json.loads((out / "best/config.json").read_text())["trained"]
    assert trained["epoch"] == epoch
    assert metrics.mean_class_accuracy == pytest.approx(rates[epoch - 1])
    assert json.loads((out / "metrics.json").read_text()) == metrics.to_json()
    steps = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert steps == sorted({f"step-{3 * epoch:09d}", "step-000000012"})
    saved = load_tensors(out / "checkpoints" / f"step-{3 * epoch:09d}" / "weights.safetensors")
    model = load_tensors(out / "best/model.safetensors")
    assert all(torch.equal(model[name], tensor) for name, tensor in saved.items())
    marks = [line for line in ears.lines if "(best so far)" in line]
    assert bool(marks) == (choose == "best"), "nothing is best where nothing is compared"


def test_a_run_that_takes_its_last_epoch_resumes_to_the_same_bits(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny(*_RECIPE, "train.choose=last")
    undisturbed = train(photos, recipe, tmp_path / "undisturbed", device="cpu")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "stopped", device="cpu", stop=StopAt(8))
    with pytest.raises(BundleError, match="a run that has no model yet"):
        open_bundle(tmp_path / "stopped")
    assert resume(tmp_path / "stopped", device="cpu") == undisturbed
    mine, theirs = (load_tensors(tmp_path / name / "best/model.safetensors") for name in ("stopped", "undisturbed"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert resume(tmp_path / "stopped", device="cpu") == undisturbed, "a run that is complete stays what it is"
