"""Epochs see one view of a validation image; the final measurement sees all, as users will."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham import Predictions, Tagger
from gingham.data.formats import read_labels
from gingham.errors import RecipeError
from gingham.evaluation.metrics import evaluate
from gingham.inference.bundle import open_bundle
from gingham.training.recipe import Recipe
from gingham.training.run import train

Tiny = Callable[..., Recipe]


def test_the_final_measurement_has_all_views_and_the_epochs_one(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    changes = ["train.learning_rate=3e-3", "train.epochs=3"]
    views = ["test_time.flip=true", "test_time.scales=[1, 1.5]"]
    train(photos, tiny(*changes), tmp_path / "plain")
    metrics = train(photos, tiny(*changes, *views), tmp_path / "views")
    # Nothing of the training knows of the views.
    histories = [
        [line.split(",")[:-1] for line in (tmp_path / name / "history.csv").read_text().splitlines()]
        for name in ("plain", "views")
    ]
    assert histories[0] == histories[1]
    weights = [
        json.loads((tmp_path / name / "best" / "manifest.json").read_text())["sha256"]["model.safetensors"]
        for name in ("plain", "views")
    ]
    assert weights[0] == weights[1]
    # But what is measured and kept does.
    bundle = open_bundle(tmp_path / "views")
    assert (bundle.only.test_time.flip, bundle.only.test_time.scales) == (True, (1.0, 1.5))
    first, second = (
        Predictions.from_parquet(tmp_path / name / "predictions-val.parquet") for name in ("plain", "views")
    )
    assert np.abs(first.probabilities - second.probabilities).max() > 1e-3
    again = Tagger.load(tmp_path / "views", device="cpu").predict(read_labels(photos).split("val"))
    np.testing.assert_allclose(again.logits, second.logits, atol=1e-5)
    assert metrics.to_json() == evaluate(second).to_json() == bundle.trained["metrics"]
    assert "4 views: whole image, zoomed 1, 1.5 times, plain and mirrored" in (bundle.path / "README.md").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("test_time.scales=[1, 0.8]", "test_time.scales: 0.8 would show more around the region"),
        ("test_time={whole_image: true}", "test_time.whole_image: with preprocess.region=image"),
    ],
)
def test_views_of_boxes_are_refused_before_the_run_begins(
    photos: Path, tiny: Tiny, tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(photos, tiny(change), tmp_path / "run")
    assert not (tmp_path / "run").exists()
