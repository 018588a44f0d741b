"""Two systems on the same images."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gingham.errors import DataError, SchemaError
from gingham.evaluation.bootstrap import Comparison, Difference, mcnemar_p_value, paired_bootstrap
from gingham.evaluation.metrics import evaluate
from gingham.predictions import Predictions
from gingham.schema import AttributeSchema
from tests.evaluation.samples import any_predictions, drawn_predictions, logits_of, predictions_of


def _differences(comparison: Comparison) -> list[Difference]:
    attributes = comparison.per_attribute.values()
    return [
        comparison.mean_class_accuracy,
        comparison.overall_accuracy,
        *(one.mean_class_accuracy for one in attributes),
        *(one.accuracy for one in attributes),
    ]


def _second(a: Predictions, seed: int = 1, share: float = 0.3) -> Predictions:
    """The same images, some of them predicted otherwise."""
    generator = np.random.default_rng(seed)
    guesses = np.stack([generator.integers(size, size=len(a)) for size in a.schema.sizes], axis=1)
    predicted = np.where(generator.random(guesses.shape) < share, guesses, a.predicted)
    return replace(a, logits=logits_of(predicted, a.schema))


def test_by_hand():
    targets = [[0, 0], [0, 1], [1, -1], [2, 1], [-1, -1]]
    a = predictions_of(targets, [[0, 0], [1, 0], [1, 0], [2, 1], [0, 0]])
    b = predictions_of(targets, [[0, 1], [0, 1], [1, 1], [0, 1], [1, 1]])
    comparison = paired_bootstrap(a, b, bootstrap=100)
    # a: red 1/2, green 1, blue 1, tight 1, loose 1/2; b: red 1, green 1, blue 0, tight 0, loose 1.
    overall = comparison.mean_class_accuracy
    assert (overall.a, overall.b, overall.difference) == (pytest.approx(0.8), pytest.approx(0.6), pytest.approx(-0.2))
    assert (comparison.overall_accuracy.a, comparison.overall_accuracy.b) == (
        pytest.approx(5 / 7),
        pytest.approx(5 / 7),
    )
    colour, fit = comparison.per_attribute["colour"], comparison.per_attribute["fit"]
    assert (colour.n, colour.only_a_right, colour.only_b_right) == (4, 1, 1)
    assert (fit.n, fit.only_a_right, fit.only_b_right) == (3, 1, 1)
    assert fit.accuracy.difference == 0
    # The third image differs only where it has no label, the fifth has none at all.
    assert (comparison.n, comparison.differing, comparison.bootstrap) == (4, 3, 100)


def test_points_are_those_of_evaluate():
    a = drawn_predictions(0, 200)
    b = _second(a)
    comparison, left, right = paired_bootstrap(a, b, bootstrap=10), evaluate(a, bootstrap=0), evaluate(b, bootstrap=0)
    assert (comparison.mean_class_accuracy.a, comparison.mean_class_accuracy.b) == (
        left.mean_class_accuracy,
        right.mean_class_accuracy,
    )
    for name, one in comparison.per_attribute.items():
        assert one.accuracy.b == right.per_attribute[name].accuracy
        assert one.n == left.per_attribute[name].n


@settings(max_examples=50)
@given(any_predictions())
def test_a_system_does_not_differ_from_itself(a: Predictions):
    comparison = paired_bootstrap(a, a, bootstrap=20)
    assert comparison.differing == 0
    for one in _differences(comparison):
        assert one.difference in (0.0, None)
        assert one.ci95 in ((0.0, 0.0), None)
        assert one.p_value in (1.0, None)
        assert one.probability_b_better in (0.5, None)


@settings(max_examples=50)
@given(any_predictions(), st.integers(0, 100))
def test_swapping_the_systems_turns_the_signs(a: Predictions, seed: int):
    b = _second(a, seed)
    forth, back = paired_bootstrap(a, b, bootstrap=40), paired_bootstrap(b, a, bootstrap=40)
    assert forth.differing == back.differing
    for one, other in zip(_differences(forth), _differences(back), strict=True):
        if one.difference is None or other.difference is None or one.ci95 is None or other.ci95 is None:
            assert one == other
            continue
        assert one.difference == -other.difference
        assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-12)
        assert one.p_value == other.p_value
        assert one.probability_b_better is not None
        assert one.probability_b_better == pytest.approx(1 - (other.probability_b_better or 0))
    for name, attribute in forth.per_attribute.items():
        assert attribute.only_a_right == back.per_attribute[name].only_b_right


def test_order_of_images_may_differ():
    a = drawn_predictions(0, 80)
    b = _second(a)
    assert b.targets is not None
    turned = replace(b, ids=b.ids[::-1], logits=b.logits[::-1], targets=b.targets[::-1])
    assert paired_bootstrap(a, turned, bootstrap=100) == paired_bootstrap(a, b, bootstrap=100)


def test_a_clear_gain_is_seen_and_pairing_makes_its_interval_narrow():
    a = drawn_predictions(0, 600, right=0.5)
    assert a.targets is not None
    mended = np.where((np.arange(600) % 10 == 0)[:, None] & (a.targets >= 0), a.targets, a.predicted)
    gain = paired_bootstrap(a, replace(a, logits=logits_of(mended, a.schema)), bootstrap=1000).overall_accuracy
    alone = evaluate(a, bootstrap=1000).overall_accuracy_ci95
    assert gain.ci95 is not None
    assert alone is not None
    assert gain.ci95[0] > 0
    assert gain.probability_b_better == 1.0
    assert gain.p_value == pytest.approx(2 / 1001)
    assert gain.ci95[1] - gain.ci95[0] < 0.8 * (alone[1] - alone[0])


def test_p_value_of_equally_good_systems_is_rarely_small():
    generator = np.random.default_rng(0)
    schema = AttributeSchema.of({"fit": ["tight", "loose"]})
    small = 0
    for seed in range(200):
        targets = generator.integers(2, size=(120, 1))
        one, other = (np.where(generator.random((120, 1)) < 0.7, targets, 1 - targets) for _ in range(2))
        pair = (predictions_of(targets, predicted, schema) for predicted in (one, other))
        p_value = paired_bootstrap(*pair, bootstrap=200, seed=seed).overall_accuracy.p_value
        assert p_value is not None
        small += p_value < 0.05
    assert small / 200 <= 0.11


def test_no_resamples_gives_no_intervals():
    a = drawn_predictions(0, 30)
    overall = paired_bootstrap(a, _second(a), bootstrap=0).mean_class_accuracy
    assert overall.difference is not None
    assert (overall.ci95, overall.p_value, overall.probability_b_better) == (None, None, None)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (3, 9), (9, 3), (5, 5), (40, 70), (900, 1100)])
def test_mcnemar_agrees_with_the_binomial_test(only_a: int, only_b: int):
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert mcnemar_p_value(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_json_has_no_nan_and_reads_back():
    a = predictions_of([[0, -1], [1, -1]], [[0, 0], [0, 0]])
    value = paired_bootstrap(a, _second(a), bootstrap=30).to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert value["per_attribute"]["fit"]["accuracy"]["difference"] is None
    assert set(value["mean_class_accuracy"]) == {"a", "b", "difference", "ci95", "probability_b_better", "p_value"}


def test_other_schema_is_refused():
    a = drawn_predictions(0, 10)
    b = predictions_of([[0, 0]], [[0, 0]])
    with pytest.raises(SchemaError, match="the first predictions"):
        paired_bootstrap(a, b)


def test_first_difference_of_images_or_labels_is_named():
    a = predictions_of([[0, 0], [1, 1]], [[0, 0], [1, 1]], ids=["a.jpg", "b.jpg"])
    other = replace(a, ids=("a.jpg", "c.jpg"))
    with pytest.raises(DataError, match=r"'b\.jpg' is labelled in the first predictions and not in the second"):
        paired_bootstrap(a, other)
    with pytest.raises(DataError, match=r"'c\.jpg' is labelled in the second predictions and not in the first"):
        paired_bootstrap(replace(a, ids=("a.jpg", "d.jpg")), other)
    with pytest.raises(DataError, match=r"'b\.jpg', attribute 'fit': the label is loose in .* missing in the second"):
        paired_bootstrap(a, replace(a, targets=np.array([[0, 0], [1, -1]])))
    with pytest.raises(DataError, match="the second predictions: there are no targets"):
        paired_bootstrap(a, replace(a, targets=None))
