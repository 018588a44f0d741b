"""The numbers of a report against the measures that they must agree with."""

import numpy as np
import pytest

from gingham.errors import DataError, SchemaError
from gingham.evaluation.bootstrap import paired_bootstrap
from gingham.evaluation.metrics import evaluate
from gingham.evaluation.reliability import reliability
from gingham.predictions import Predictions
from gingham.report.content import collect, confusions
from tests.evaluation.samples import SMALL, predictions_of
from tests.report.samples import sure_predictions


def test_classes_and_matrices_are_those_of_the_metrics() -> None:
    predictions = sure_predictions(0, 150, SMALL)
    content, metrics = collect(predictions, title="t"), evaluate(predictions)
    assert content.metrics == metrics
    for k, attribute in enumerate(content.attributes):
        assert attribute.metrics == metrics.per_attribute[attribute.name]
        assert attribute.confusion is not None
        assert attribute.confusion.sum() == attribute.metrics.n
        for number, row in enumerate(attribute.classes):
            own = metrics.per_class[attribute.name][row.label]
            assert (row.recall, row.precision, row.f1, row.n) == (own.recall, own.precision, own.f1, own.n)
            assert row.recall_ci95 is not None
            assert row.recall_ci95[0] <= (row.recall or 0) <= row.recall_ci95[1]
            assert row.tagged == (predictions.predicted[:, k] == number).sum()
        assert attribute.confidence.sum() == 150


def test_certainty_is_that_of_the_tags_before_and_after_calibration() -> None:
    predictions = sure_predictions(1, 120, SMALL)
    assert predictions.targets is not None
    calibrated = np.concatenate([np.full((120, 3), 1 / 3), np.full((120, 2), 1 / 2)], axis=1)
    content = collect(predictions, title="t", calibrated=calibrated)
    known = predictions.targets[:, 1] >= 0
    tags = predictions.predicted[known, 1]
    confidence = predictions.probabilities[known, 3 + tags]
    expected = reliability(confidence, tags == predictions.targets[known, 1])
    fit = content.attributes[1]
    assert fit.certainty is not None
    np.testing.assert_array_equal(fit.certainty.reliability.accuracy, expected.accuracy)
    assert fit.certainty.scores.ece.value == pytest.approx(expected.ece)
    assert fit.calibrated is not None
    # One bin: half a percent is confidence, and so is the accuracy's distance to it.
    rate = (tags == predictions.targets[known, 1]).mean()
    assert fit.calibrated.scores.ece.value == pytest.approx(abs(rate - 0.5))
    with pytest.raises(SchemaError, match="calibrated"):
        collect(predictions, title="t", calibrated=calibrated[:5])


def test_the_share_at_95_percent_is_the_largest_that_is_as_good() -> None:
    # 19 right ones, then a wrong one (95%), then wrong ones only.
    order = np.linspace(0.99, 0.6, 24)
    logits = np.zeros((24, SMALL.total), dtype=np.float32)
    logits[:, 3] = np.log(order / (1 - order))
    targets = np.full((24, 2), -1)
    targets[:, 1] = np.where(np.arange(24) < 19, 0, 1)
    predictions = Predictions(SMALL, tuple(f"{number}" for number in range(24)), logits, targets)
    certainty = collect(predictions, title="t").attributes[1].certainty
    assert certainty is not None
    assert certainty.covered == pytest.approx(20 / 24)


def test_confusions_come_by_their_number() -> None:
    found = confusions(
        collect(
            predictions_of([[0, 0]] * 4 + [[1, 0]] * 2, [[1, 0]] * 3 + [[0, 0]] + [[2, 0]] * 2), title="t"
        ).attributes[0],
        9,
    )
    assert [(one.truth, one.tag, one.n, one.share) for one in found] == [
        ("red", "green", 3, 0.75),
        ("green", "blue", 2, 1),
    ]


def test_without_labels_there_are_shares_and_confidence() -> None:
    predictions = predictions_of([[-1, -1]] * 3, [[0, 0], [0, 1], [2, 1]])
    content = collect(predictions, title="t")
    assert content.metrics is None
    assert content.slices == ()
    assert [row.tagged for row in content.attributes[0].classes] == [2, 0, 1]
    with pytest.raises(DataError, match="no labels to compare"):
        collect(predictions, title="t", other=predictions)


def test_the_comparison_is_this_one_minus_the_other() -> None:
    one, other = sure_predictions(3, 60, SMALL), sure_predictions(3, 60, SMALL)
    other = Predictions(SMALL, one.ids, other.logits[::-1].copy(), one.targets)
    assert collect(one, title="t", other=other).comparison == paired_bootstrap(other, one)


def test_what_cannot_be_shown_is_refused() -> None:
    nothing = Predictions(SMALL, (), np.empty((0, 5), dtype=np.float32))
    with pytest.raises(DataError, match="no predictions"):
        collect(nothing, title="t")
    diverged = Predictions(SMALL, ("a",), np.full((1, 5), np.nan, dtype=np.float32))
    with pytest.raises(DataError, match="NaN"):
        collect(diverged, title="t")


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    predictions = sure_predictions(4, 900, SMALL, labelled=1.0)
    certainty = collect(predictions, title="t").attributes[0].certainty
    assert certainty is not None
    assert len(certainty.coverage) <= 201
    assert certainty.coverage[-1] == 1
    assert certainty.accuracy[-1] == pytest.approx(evaluate(predictions).per_attribute["colour"].accuracy)
