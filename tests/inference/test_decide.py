"""Tags of many images at once, against tags that are made for one attribute of one image by plain Python."""

from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gingham.inference.bundle import open_bundle
from gingham.inference.calibration import StoredCalibration
from gingham.inference.decide import Decider, Tag
from tests import tiny
from tests.inference.calibrations import calibrated_bundle, labelled


@pytest.fixture(scope="module", params=[False, True], ids=["calibrated", "prior corrected"])
def stored(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredCalibration:
    place = tmp_path_factory.mktemp("decide") / "m"
    return open_bundle(calibrated_bundle(model, place, prior_correction=request.param)).calibration


def expected(stored: StoredCalibration, logits: np.ndarray, attribute: int) -> dict[str, Any]:
    """Softmax of z / T + b; the best of z with its offsets; threshold, set and ranks by their definitions."""
    chosen, one = tiny.SCHEMA.attributes[attribute], stored.calibration.attributes[attribute]
    own = [float(value) for value in logits[tiny.SCHEMA.slices[attribute]]]
    scaled = [value / one.temperature + bias for value, bias in zip(own, one.bias, strict=True)]
    shares = [exp(value - max(scaled)) for value in scaled]
    probabilities = [share / sum(shares) for share in shares]
    best = max(range(len(own)), key=lambda c: (own[c] + one.offsets[c], -c))
    ranked = sorted(range(len(own)), key=lambda c: (-probabilities[c], c))
    groups, sets = stored.decisions[0].groups[chosen.name], stored.sets[0]
    threshold = next(group.threshold for group in groups if chosen.classes[best] in group.classes)
    return {
        "label": chosen.classes[best],
        "confidence": probabilities[best],
        "accepted": threshold is not None and probabilities[best] >= threshold,
        "among": [chosen.classes[c] for c in ranked if probabilities[c] >= sets.least[chosen.name] or c == best],
        "top": [(chosen.classes[c], probabilities[c]) for c in ranked[:2]],
    }


def test_all_that_is_asked_for_is_right(stored: StoredCalibration) -> None:
    decider = Decider(tiny.SCHEMA, stored, precision=0.7, coverage=0.9, top_k=2)
    logits = labelled(60, seed=3).logits
    for row, tags in zip(logits, decider.many(logits), strict=True):
        assert tuple(tags) == tiny.SCHEMA.names
        for number, tag in enumerate(tags.values()):
            right = expected(stored, row, number)
            assert (tag.label, tag.accepted) == (right["label"], right["accepted"])
            assert tag.confidence == pytest.approx(right["confidence"], rel=1e-12)
            assert tag.among == tuple(right["among"])
            assert tag.top is not None
            assert [label for label, _ in tag.top] == [label for label, _ in right["top"]]
            assert [share for _, share in tag.top] == pytest.approx([share for _, share in right["top"]], rel=1e-12)


@pytest.mark.parametrize(
    "asked",
    [{}, {"precision": 0.7}, {"coverage": 0.9}, {"top_k": 3}, {"precision": 0.99, "coverage": 0.9, "top_k": 99}],
)
def test_many_images_have_the_bits_of_each_alone(stored: StoredCalibration, asked: dict[str, Any]) -> None:
    decider = Decider(tiny.SCHEMA, stored, **asked)
    logits = labelled(67, seed=1).logits
    alone = [decider(row) for row in logits]
    for size in (2, 8, 64, 67):
        together: list[dict[str, Tag]] = []
        for start in range(0, len(logits), size):
            together += decider.many(logits[start : start + size])
        assert together == alone
    plain = alone[0][tiny.SCHEMA.names[0]]
    given = {name for name, value in plain._asdict().items() if value is not None} - {"label", "confidence"}
    assert given == {{"precision": "accepted", "coverage": "among", "top_k": "top"}[name] for name in asked}
    assert isinstance(plain.confidence, float)


def test_no_images_have_no_tags(stored: StoredCalibration) -> None:
    assert Decider(tiny.SCHEMA, stored).many(np.empty((0, tiny.SCHEMA.total), np.float32)) == []
