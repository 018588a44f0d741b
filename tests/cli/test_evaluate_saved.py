"""Saved predictions are measured without their model; the prior correction is measured beside them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gingham.evaluation.metrics import evaluate
from gingham.evaluation.prior import cross_fitted
from gingham.predictions import Predictions
from tests import tiny
from tests.evaluation.samples import drawn_predictions

Call = Callable[..., "tuple[int, str, str]"]
Refused = Callable[..., str]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Predictions]:
    drawn = drawn_predictions(0, 300, schema=tiny.SCHEMA)
    noise = np.random.default_rng(0).normal(size=drawn.logits.shape)
    logits = (2 * drawn.logits + noise).astype(np.float32)
    predictions = replace(drawn, logits=logits, columns={"fold": np.arange(300) % 3})
    predictions.to_parquet(tmp_path / "saved.parquet")
    return tmp_path / "saved.parquet", predictions


def test_a_file_is_measured(gingham: Call, saved: tuple[Path, Predictions], tmp_path: Path) -> None:
    file, predictions = saved
    code, stdout, _ = gingham("evaluate", file, "--json", tmp_path / "m.json")
    assert code == 0
    assert stdout.count("mean class accuracy") == 1
    assert json.loads((tmp_path / "m.json").read_text()) == evaluate(predictions).to_json()


def test_the_correction_is_fitted_on_other_folds(
    gingham: Call, saved: tuple[Path, Predictions], tmp_path: Path
) -> None:
    file, predictions = saved
    code, stdout, _ = gingham("evaluate", file, "--prior-correction", "--json", tmp_path / "m.json")
    assert code == 0
    metrics = json.loads((tmp_path / "m.json").read_text())
    before, after = evaluate(predictions), evaluate(cross_fitted(predictions, np.arange(300) % 3))
    correction = metrics.pop("prior_correction")
    assert metrics == before.to_json()
    assert correction["metrics"] == after.to_json()
    assert correction["folds"] == "the 3 folds of the predictions"
    compared = correction["comparison"]["mean_class_accuracy"]
    assert (compared["a"], compared["b"]) == (before.mean_class_accuracy, after.mean_class_accuracy)
    for metric in (before, after):
        assert f"mean class accuracy {metric.mean_class_accuracy:.1%}" in stdout
    assert "fitted on the others of the 3 folds of the predictions" in stdout


def test_a_models_predictions_are_corrected_over_random_folds(gingham: Call, model: Path, wardrobe: Path) -> None:
    code, stdout, _ = gingham("evaluate", model, "--data", wardrobe, "--split", "train", "--prior-correction")
    assert code == 0
    assert "fitted on the others of 5 random folds" in stdout


def test_options_of_models_are_refused(
    refused: Refused, saved: tuple[Path, Predictions], model: Path, wardrobe: Path, tmp_path: Path
) -> None:
    file, _ = saved
    assert f"--data: {file} holds predictions" in refused("evaluate", file, "--data", wardrobe)
    assert "--split: " in refused("evaluate", file, "--split", "val")
    assert "--deterministic: " in refused("evaluate", file, "--deterministic")
    assert "Missing option '--data'" in refused("evaluate", model)
    assert "no such file" in refused("evaluate", tmp_path / "none.parquet")
    assert "would replace what is read" in refused("evaluate", file, "--json", file)
