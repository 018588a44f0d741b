"""Final predictions: from the images, and the same from cached features."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gingham.predictions import Predictions
from gingham.training import inputs
from gingham.training.measure import FROM_FEATURES
from gingham.training.recipe import Recipe
from gingham.training.run import train

Tiny = Callable[..., Recipe]

_CACHED = ("model.frozen=true", "features.cache=true", "train.epochs=1", "train.learning_rate=1e-2")

_RESNET = ("model.backbone=test_resnet", "test_time.flip=true", "test_time.scales=[1, 1.5]")


@pytest.fixture(scope="module")
def boxed(photos: Path) -> Path:
    """The photos with boxes, of which each third one is missing."""
    header, *lines = (photos / "labels.csv").read_text().splitlines()
    boxes = ["20,10,50,60" if number % 3 else ",,," for number in range(len(lines))]
    table = photos / "measured.csv"
    table.write_text("\n".join([f"{header},x1,y1,x2,y2", *map(",".join, zip(lines, boxes, strict=True))]))
    return table


@pytest.mark.filterwarnings("ignore::gingham.inference.tagger.MissingBoxWarning")
@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("test_time.flip=true",),
        ("preprocess.region=box", "test_time.whole_image=true", "test_time.flip=true", "test_time.scales=[1, 0.5]"),
        ("model.maps=2", *_RESNET),
        ("model.unfrozen_stages=1", "train.ema=0.8", *_RESNET),
    ],
)
def test_cached_features_give_the_tagger_s_predictions(
    boxed: Path, tiny: Tiny, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    """All cases share one cache, of one backbone each two or three: each finds its own features there."""
    recipe = tiny(*_CACHED, *changes)
    train(boxed, recipe, tmp_path / "images")
    train(boxed, recipe, tmp_path / "features", from_features=True)
    images, features = (
        Predictions.from_parquet(tmp_path / name / "predictions-val.parquet") for name in ("images", "features")
    )
    assert features.ids == images.ids
    np.testing.assert_array_equal(features.targets, images.targets)
    np.testing.assert_allclose(features.logits, images.logits, atol=0.02)
    assert np.ptp(images.logits, axis=0).max() > 0.2, "so that the comparison means something"
    assert features.source["computed_from"] == FROM_FEATURES
    assert "computed_from" not in images.source


def test_nothing_is_decoded_a_second_time(
    boxed: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (*_CACHED, "preprocess.region=box", "test_time.whole_image=true", "test_time.flip=true")
    train(boxed, tiny(*changes), tmp_path / "first", from_features=True)

    def never(path: Path, *, max_pixels: int) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(inputs, "decode", never)
    train(boxed, tiny(*changes, "loss.name=focal", "test_time.flip=false"), tmp_path / "second", from_features=True)


def test_without_a_cache_the_images_are_looked_at(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(photos, tiny("train.epochs=1", "train.max_steps=1"), tmp_path / "run", from_features=True)
    predictions = Predictions.from_parquet(tmp_path / "run" / "predictions-val.parquet")
    assert "computed_from" not in predictions.source
    assert "brightness" in predictions.columns
