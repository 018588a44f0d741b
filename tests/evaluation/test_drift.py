"""Drift: against SciPy's tests, by hand, and that it neither cries wolf nor sleeps."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from gingham.evaluation.calibration import Calibration
from gingham.evaluation.decisions import Decisions, Group
from gingham.evaluation.drift import Batch, batch_of, compare_batches
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL
from tests.evaluation.simulation import SCHEMA, labelled


def batch(seed: int, count: int, shares: tuple[float, ...] = (0.5, 0.3, 0.2), spread: float = 4.0, **columns) -> Batch:
    generator = np.random.default_rng(seed)
    return Batch(
        count,
        {"colour": generator.choice(["red", "green", "blue"], count, p=shares)},
        {"colour": generator.beta(spread, 1, count)},
        columns={name: generator.normal(mean, 1, count) for name, mean in columns.items()},
    )


def test_p_values_are_those_of_scipy_times_holm():
    first, second = batch(0, 400), batch(1, 300, (0.4, 0.3, 0.3), 3.0)
    findings, _ = compare_batches(first, second)
    counts = [
        [int((one.tags["colour"] == label).sum()) for label in ("blue", "green", "red")] for one in (first, second)
    ]
    shares = chi2_contingency(counts, correction=False).pvalue
    confidence = ks_2samp(first.confidence["colour"], second.confidence["colour"], method="asymp").pvalue
    low, high = sorted([shares, confidence])
    expected = {low: 2 * low, high: max(2 * low, high)}
    found = {one.measure: one for one in findings}
    assert found["class shares"].p_value == pytest.approx(min(1, expected[shares]))
    assert found["confidence"].p_value == pytest.approx(min(1, expected[confidence]))
    moved = np.abs(np.array(counts[0]) / 400 - np.array(counts[1]) / 300).sum() / 2
    assert found["class shares"].effect == pytest.approx(moved)


def test_the_same_photos_do_not_alarm_and_others_do():
    reference = batch(0, 1000, brightness=0.0)
    alarms = sum(
        verdict.status != "stands"
        for seed in range(1, 101)
        for verdict in compare_batches(reference, batch(seed, 500, brightness=0.0))[1]
    )
    assert alarms <= 3
    _, (photos, colour) = compare_batches(reference, batch(1, 500, (0.2, 0.4, 0.4), brightness=0.0))
    assert (photos.subject, photos.status) == ("photos", "stands")
    assert colour.status == "no longer stands"
    assert "class shares moved by 0.27 (red 47% -> 20%)" in colour.reason
    _, (photos, colour) = compare_batches(reference, batch(1, 500, brightness=1.0))
    assert "brightness moved by" in photos.reason
    assert colour.status == "stands"
    _, (_, colour) = compare_batches(reference, batch(1, 500, spread=1.5, brightness=0.0))
    assert "confidence moved by" in colour.reason


def test_huge_batches_do_not_alarm_on_nothing():
    findings, (colour,) = compare_batches(batch(0, 300_000), batch(1, 300_000, (0.48, 0.31, 0.21)))
    assert next(one for one in findings if one.measure == "class shares").p_value < 1e-10
    assert colour.status == "stands"


def test_few_photos_cannot_tell():
    _, (colour,) = compare_batches(batch(0, 1000), batch(1, 20))
    assert colour.status == "cannot be told"
    _, (colour,) = compare_batches(batch(0, 1000), batch(1, 20, (0.0, 0.0, 1.0)))
    assert colour.status == "no longer stands"


def test_rare_classes_are_tested_together():
    tags = {"colour": np.array(["red"] * 98 + ["green", "blue"])}
    one = Batch(100, tags, {})
    other = Batch(100, {"colour": np.array(["red"] * 100)}, {})
    findings, _ = compare_batches(one, other)
    # One class is left beside the rare ones: 98 and 2 against 100 and 0.
    expected = chi2_contingency([[98, 2], [100, 0]], correction=False).pvalue
    assert findings[0].p_value == pytest.approx(expected)


def test_missing_values_are_left_out():
    first = Batch(3, {"colour": np.array(["red"] * 3)}, {}, columns={"box": np.array([np.nan] * 3)})
    findings, _ = compare_batches(first, first)
    assert [one.measure for one in findings] == ["class shares"]


def test_labels_of_accepted_tags_are_judged():
    predictions = labelled(400, 0)
    groups = {one.name: (Group(one.classes, 0.0, 400, 29, 400, 400),) for one in SCHEMA.attributes}
    decisions = Decisions(0.99, 0.95, False, False, groups)
    everything = batch_of(predictions, Calibration.identity(SCHEMA), decisions)
    assert predictions.targets is not None
    assert everything.right["many"].mean() == (predictions.predicted == predictions.targets)[:, 1].mean()
    _, verdicts = compare_batches(everything, everything, precision=0.99)
    many = next(one for one in verdicts if one.subject == "many")
    assert many.status == "no longer stands"
    assert "accepted tags with a label are right, 0.99 promised" in many.reason
    _, verdicts = compare_batches(everything, everything, precision=0.5)
    assert {one.status for one in verdicts} == {"stands"}


def test_what_predictions_say():
    logits = np.array([[2, 1, 0, 0, 1]], dtype=np.float32)
    columns = {"brightness": np.array([0.5]), "fold": np.array([1]), "path": np.array(["a"])}
    found = batch_of(Predictions(SMALL, ("a",), logits, None, columns), Calibration.identity(SMALL))
    assert (found.tags["colour"].tolist(), found.tags["fit"].tolist()) == (["red"], ["loose"])
    assert set(found.columns) == {"brightness"}
    assert (dict(found.accepted), dict(found.right)) == ({}, {})
