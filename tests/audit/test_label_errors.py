"""Doubtful labels, on features where the truth is known."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from gingham.audit.label_errors import label_errors
from gingham.data.table import LabelTable
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

_SCHEMA = AttributeSchema.of({"hue": ["red", "green", "blue"], "tone": ["dark", "light"]})


def _table(targets: npt.NDArray[np.int64], schema: AttributeSchema = _SCHEMA) -> LabelTable:
    count = len(targets)
    return LabelTable(schema, Path(), tuple(map(str, range(count))), targets, ("train",) * count, None, "made up")


def _clusters(targets: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """One direction a class, far apart, and noise."""
    directions = np.eye(5)[[0, 1, 2]][targets[:, 0]] + np.eye(5)[[3, 4]][targets[:, 1]]
    return (6 * directions + rng.normal(0, 1, (len(targets), 5))).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def truth(rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.stack([rng.integers(0, 3, 300), rng.integers(0, 2, 300)], axis=1)


def test_swapped_labels_are_the_worst(rng: np.random.Generator, truth: npt.NDArray[np.int64]) -> None:
    features = _clusters(truth, rng)
    given = truth.copy()
    given[:12, 0] = (truth[:12, 0] + 1) % 3
    given[12:20, 1] = 1 - truth[12:20, 1]
    found = label_errors(_table(given), features, range(300), reporter=Reporter())
    for name, rows in (("hue", range(12)), ("tone", range(12, 20))):
        part = found[name]
        likely = {error.image for error in part.candidates if error.likely}
        assert likely <= set(map(str, rows))
        assert len(likely) == part.likely >= 0.7 * len(rows), "confident learning estimates how many there are"
        assert {error.image for error in part.candidates[: len(rows)]} == set(map(str, rows)), "worst first"
        assert part.judged == 300
        assert part.agreement == 1 - len(rows) / 300
        for error in part.candidates[: len(rows)]:
            k = _SCHEMA.names.index(name)
            assert error.suggested == _SCHEMA[name].classes[truth[int(error.image), k]]
            assert error.given == _SCHEMA[name].classes[given[int(error.image), k]]


def test_a_duplicate_does_not_speak_for_its_own_wrong_label(
    rng: np.random.Generator, truth: npt.NDArray[np.int64]
) -> None:
    """Eight copies of one picture, far from all others, with the same wrong label: alone they confirm each other."""
    features = _clusters(truth, rng)
    features[:8] = features[0] * 4
    given = truth.copy()
    truth[:8] = truth[0]
    given[:8, 0] = (truth[0, 0] + 1) % 3
    given[:8, 1] = truth[0, 1]
    together = [0] * 8 + list(range(8, 300))
    scores = [
        max(error.score for error in found["hue"].candidates if int(error.image) < 8)
        for found in [label_errors(_table(given), features, together, reporter=Reporter())]
    ]
    assert scores[0] < 0.01
    apart = label_errors(_table(given), features, range(300), reporter=Reporter())["hue"]
    assert not any(error.score < 0.01 for error in apart.candidates if int(error.image) < 8)


def test_unlabelled_and_rare_ones_are_not_judged(rng: np.random.Generator, truth: npt.NDArray[np.int64]) -> None:
    features = _clusters(truth, rng)
    given = truth.copy()
    given[given[:, 0] == 2, 0] = -1
    given[:4, 0] = 2
    found = label_errors(_table(given), features, range(300), reporter=Reporter())
    assert found["hue"].too_rare == ("blue",)
    assert found["hue"].judged == int((given[:, 0] >= 0).sum()) - 4
    assert not found["hue"].candidates
    nothing = np.full_like(given, -1)
    nothing[0] = 0
    found = label_errors(_table(nothing), features, range(300), reporter=Reporter())
    assert found["hue"].agreement is None
    assert found["hue"].too_rare == ("red",)
