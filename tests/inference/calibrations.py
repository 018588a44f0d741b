"""Calibrated bundles of a tagger that nobody trained."""

from pathlib import Path

import numpy as np

from gingham.evaluation.calibrated import Calibrated, calibrate
from gingham.inference.bundle import open_bundle
from gingham.inference.calibrate import write_calibrated
from gingham.predictions import Predictions
from tests import tiny

FACTS = {"data": "a wardrobe", "split": "test"}


def labelled(images: int = 200, seed: int = 0) -> Predictions:
    """Logits of any kind with labels that they mostly tell, of the tiny tagger's schema."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 3, (images, tiny.SCHEMA.total)).astype(np.float32)
    columns = [
        np.where(
            generator.random(images) < 0.97,
            (logits[:, part] + generator.normal(0, 0.3, (images, part.stop - part.start))).argmax(axis=1),
            generator.integers(part.stop - part.start, size=images),
        )
        for part in tiny.SCHEMA.slices
    ]
    ids = tuple(f"{number:04}.jpg" for number in range(images))
    return Predictions(tiny.SCHEMA, ids, logits, np.stack(columns, axis=1))


def found(images: int = 200, *, prior_correction: bool = False) -> Calibrated:
    return calibrate(
        labelled(images),
        precisions=(0.7, 0.99),
        coverages=(0.9,),
        prior_correction=prior_correction,
        bootstrap=20,
    )


def calibrated_bundle(model: Path, out: Path, *, prior_correction: bool = False) -> Path:
    write_calibrated(open_bundle(model), found(prior_correction=prior_correction), out, facts=FACTS)
    return out
