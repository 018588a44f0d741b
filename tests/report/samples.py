"""Predictions, photos and histories for reports: plain ones, and ones whose names are hostile."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from tests.evaluation.samples import drawn_predictions

EVIL = "<script>alert(1)</script>&amp;'\"{{7*7}}"
HOSTILE = AttributeSchema.of(
    {
        "<img src=x onerror=alert(1)>": [EVIL, "\u202ereversed عربى", "ordinary"],
        "long" + "g" * 150: ["w" * 190, "</table></style><svg onload=alert(2)>"],
    }
)
HISTORY = {
    "epoch": [1.0, 2.0, 3.0],
    "train_loss": [3.0, 2.0, 1.5],
    "val_loss": [2.5, 2.25, float("nan")],
    "train_mean_class_accuracy": [0.4, 0.6, 0.7],
    "val_mean_class_accuracy": [0.35, 0.55, 0.5],
    "seconds": [1.0, 2.0, 3.0],
}


def sure_predictions(seed: int, images: int, schema: AttributeSchema, *, labelled: float = 0.9) -> Predictions:
    """As `drawn_predictions`, with confidences that differ and columns that part the images."""
    drawn = drawn_predictions(seed, images, schema=schema, right=0.7, labelled=labelled)
    generator = np.random.default_rng(seed)
    logits = (
        drawn.logits * generator.uniform(1, 6, size=(images, 1)) + generator.normal(0, 1, drawn.logits.shape)
    ).astype(np.float32)
    columns = {
        "width": generator.integers(100, 600, size=images),
        "height": generator.integers(100, 600, size=images),
        "brightness": generator.uniform(0, 1, size=images),
        "box_share": np.where(generator.random(images) < 0.2, np.nan, generator.uniform(0, 1, size=images)),
    }
    source = {"model": "0123abcd", "data": "photos <b>", "split": "test", "seconds": 3.5}
    return replace(drawn, logits=logits, columns=columns, source=source)


def photos_of(predictions: Predictions, folder: Path, side: int = 64) -> dict[str, Path]:
    """A noisy picture of each image, which no codec makes small."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    paths = {}
    for number, name in enumerate(predictions.ids):
        paths[name] = folder / f"{number}.png"
        pixels = generator.integers(0, 256, size=(side, side * 3 // 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[name])
    return paths
