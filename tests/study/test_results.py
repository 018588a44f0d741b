"""A study's figures: against independent computations, and what seeds and pairs mean."""

from dataclasses import replace

import numpy as np
import pytest

from gingham.errors import DataError
from gingham.evaluation.bootstrap import paired_bootstrap
from gingham.evaluation.metrics import evaluate
from gingham.predictions import Predictions
from gingham.study.results import Repeat, rarest_class, summarise
from tests.evaluation.samples import SMALL, drawn_predictions, predictions_of


def repeat(seed: int, right: float = 0.6, seconds: float = 1.0) -> Repeat:
    """Other predictions of the same images with the same labels."""
    base = drawn_predictions(0, 120, schema=SMALL)
    assert base.targets is not None
    rng = np.random.default_rng(seed)
    guesses = np.stack([rng.integers(size, size=120) for size in SMALL.sizes], axis=1)
    predicted = np.where(rng.random(base.targets.shape) < right, np.maximum(base.targets, 0), guesses)
    folds = {"fold": np.arange(120) % 3}
    return Repeat.measured(replace(predictions_of(base.targets, predicted), columns=folds), seconds)


def metric(predictions: Predictions) -> float:
    value = evaluate(predictions, bootstrap=0).mean_class_accuracy
    assert value is not None
    return value


def test_with_one_seed_it_is_what_evaluate_and_compare_say() -> None:
    a, b = repeat(1, 0.5), repeat(2, 0.7)
    rows = summarise({"base": {0: a}, "other": {0: b}}, "base")
    single, pair = evaluate(b.predictions), paired_bootstrap(a.predictions, b.predictions)
    row = rows["other"]
    assert row.mean_class_accuracy.value == pytest.approx(single.mean_class_accuracy)
    assert row.mean_class_accuracy.ci95 == pytest.approx(single.mean_class_accuracy_ci95)
    assert row.mean_class_accuracy.sd is None
    assert row.difference == pair.mean_class_accuracy
    for name in SMALL.names:
        assert row.differences[name] == pair.per_attribute[name].mean_class_accuracy
        assert row.per_attribute[name].value == pytest.approx(single.per_attribute[name].mean_class_accuracy)
    for attribute, classes in single.per_class.items():
        for label, one in classes.items():
            assert row.recalls[f"{attribute}/{label}"] == pytest.approx(one.recall)
    assert rows["base"].difference is None


def test_seeds_are_averaged_and_their_spread_is_beside_them() -> None:
    repeats = {seed: repeat(seed, seconds=seed) for seed in (4, 5, 6)}
    row = summarise({"base": repeats}, "base")["base"]
    values = [metric(one.predictions) for one in repeats.values()]
    assert row.seeds == (4, 5, 6)
    assert row.mean_class_accuracy.value == pytest.approx(np.mean(values))
    assert row.mean_class_accuracy.sd == pytest.approx(np.std(values, ddof=1))
    assert row.seconds == 5


def test_the_interval_of_a_difference_against_a_bootstrap_written_anew() -> None:
    base, other = {0: repeat(1, 0.5), 1: repeat(2, 0.5)}, {0: repeat(3, 0.6), 1: repeat(4, 0.6)}
    row = summarise({"base": base, "other": other}, "base")["other"]
    assert row.difference is not None
    assert row.difference.ci95 is not None
    rng = np.random.default_rng(9)
    labels = [[(one.predictions.targets, one.predictions.predicted) for one in run.values()] for run in (base, other)]
    gains = []
    for _ in range(1500):
        drawn = rng.integers(120, size=120)
        seeds = [[_recall(truth[drawn], guess[drawn]) for truth, guess in run] for run in labels]
        gains.append(np.mean(seeds[1]) - np.mean(seeds[0]))
    assert row.difference.ci95 == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.012)
    assert row.difference.difference == pytest.approx(np.mean(gains), abs=0.005)


def _recall(truth: np.ndarray, guess: np.ndarray) -> float:
    rates = [
        (guess[truth[:, k] == c, k] == c).mean()
        for k, size in enumerate(SMALL.sizes)
        for c in range(size)
        if (truth[:, k] == c).any()
    ]
    return float(np.mean(rates))


def test_differences_are_over_the_seeds_that_both_have() -> None:
    base, other = {0: repeat(1), 1: repeat(2)}, {1: repeat(3), 2: repeat(4)}
    row = summarise({"base": base, "other": other}, "base")["other"]
    alone = summarise({"base": {1: base[1]}, "other": {1: other[1]}}, "base")["other"]
    assert row.difference == alone.difference
    assert row.seeds == (1, 2)
    assert summarise({"base": {0: base[0]}, "other": other}, "base")["other"].difference is None


def test_runs_that_are_not_done_have_no_row() -> None:
    rows = summarise({"base": {}, "other": {0: repeat(1)}}, "base")
    assert list(rows) == ["other"]
    assert rows["other"].difference is None


def test_without_the_rarest_class() -> None:
    one = repeat(1)
    recalls = summarise({"base": {0: one}}, "base")["base"].recalls
    assert one.predictions.targets is not None
    counts = {
        f"{attribute.name}/{label}": int((one.predictions.targets[:, k] == c).sum())
        for k, attribute in enumerate(SMALL.attributes)
        for c, label in enumerate(attribute.classes)
    }
    rarest = min(counts, key=lambda name: counts[name] or 1000)
    assert SMALL.columns[rarest_class(one)] == rarest
    rest = [value for name, value in recalls.items() if name != rarest and value is not None]
    assert summarise({"base": {0: one}}, "base")["base"].without_rarest.value == pytest.approx(np.mean(rest))


def test_other_labels_are_refused() -> None:
    one, two = repeat(1), repeat(2)
    with pytest.raises(DataError, match="different photos or labels"):
        summarise({"base": {0: one}, "other": {0: replace(two, ids=tuple(reversed(two.ids)))}}, "base")
