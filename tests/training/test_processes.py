"""One process against two, over gloo."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gingham import Predictions
from gingham.data.formats import read_labels
from gingham.losses import AttributeLoss, soft_targets
from gingham.training.recipe import Recipe

_RECORD = Path(__file__).with_name("record.py")


def _launch(processes: int, *arguments: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]


def _record(data: Path, recipe: Recipe, folder: Path, processes: int) -> dict[str, Any]:
    recipe.write(folder / "recipe.yaml")
    out, target = folder / f"run-{processes}", folder / f"{processes}.npz"
    _launch(processes, str(_RECORD), str(data), str(folder / "recipe.yaml"), str(out), str(target))
    with np.load(target) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(
    ("backbone", "changes"),
    [
        ("test_resnet", ["loss.attribute_weights=learned"]),
        ("test_vit", ["mix.mixup=1", "mix.cutmix=1", "mix.mode=element"]),
        pytest.param(
            "test_vit",
            ["train.layer_decay=0.8", "train.decayed=weights", "train.repeat_rare=0.9", "train.max_steps=50"],
            marks=pytest.mark.long,
        ),
        pytest.param(
            "test_resnet",
            ["model.frozen=true", "model.unfrozen_stages=2", "features.cache=true"],
            marks=pytest.mark.long,
        ),
    ],
)
def test_two_processes_take_the_steps_of_one(
    photos: Path, tiny: Callable[..., Recipe], tmp_path: Path, backbone: str, changes: list[str]
) -> None:
    """Dropout 0 and BatchNorm in eval mode: 50 steps of loss and gradient to 1e-5 relative, in the same order.

    Every sixth image lacks a label, and a partner may be in the other process's share.

    24 images in batches of 5 leave a last batch of 4; a share of two images in three parts leaves one part empty.

    With ReLU and mixed images two of the 50 gradients would differ by more, up to 1e-4: an input that is 0 but for
    rounding has another sign. In float64 all of them agree to 2e-15.
    """
    recipe = tiny(
        f"model.backbone={backbone}",
        "model.batchnorm=eval",
        "model.query2label.dropout=0",
        "train.batch_size=5",
        "train.epochs=10",
        "train.accumulation=3",
        *changes,
    )
    one, two = (_record(photos, recipe, tmp_path, processes) for processes in (1, 2))
    assert len(one["losses"]) == 50
    assert one["orders"].tolist() == two["orders"].tolist()
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-5)
    difference = np.linalg.norm(two["gradients"] - one["gradients"], axis=1)
    assert (difference <= 1e-5 * np.linalg.norm(one["gradients"], axis=1)).all()


def test_processes_measure_what_is_saved(photos: Path, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    """Averages, also of the running statistics, of which each process has its own: validated are those of the model."""
    recipe = tiny("model.backbone=test_resnet", "train.ema=0.5", "train.choose=last", "train.learning_rate=1e-2")
    recipe.write(tmp_path / "recipe.yaml")
    out = tmp_path / "run"
    arguments = ["train", "--data", str(photos), "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out)]
    _launch(2, "-m", "gingham", *arguments, "--device", "cpu")
    predictions = Predictions.from_parquet(out / "predictions-val.parquet")
    assert predictions.targets is not None
    loss = AttributeLoss(recipe.loss, predictions.schema, read_labels(photos).split("train").counts())
    soft, mask = soft_targets(torch.from_numpy(predictions.targets), predictions.schema)
    expected = loss(torch.from_numpy(predictions.logits), soft, mask, loss.denominators(soft, mask, 1), 1).total.item()
    validated = float((out / "history.csv").read_text().splitlines()[-1].split(",")[6])
    assert validated == pytest.approx(expected, rel=1e-5)


def test_with_dropout_the_result_is_close(photos: Path, tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny("train.epochs=12", "train.learning_rate=3e-3", "train.warmup_steps=5")
    recipe.write(tmp_path / "recipe.yaml")
    rates = []
    for processes in (1, 2):
        out = tmp_path / f"run-{processes}"
        arguments = ["train", "--data", str(photos), "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out)]
        _launch(processes, "-m", "gingham", *arguments, "--device", "cpu")
        rates.append(json.loads((out / "metrics.json").read_text())["mean_class_accuracy"])
    assert abs(rates[0] - rates[1]) <= 0.02
