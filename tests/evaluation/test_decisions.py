"""Thresholds: by hand, against scipy.stats, and against taggers whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from gingham.evaluation.decisions import Decisions, Group, decide, find_threshold, fitting_part, needed
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL
from tests.evaluation.simulation import SCHEMA, simulate


def tolerated(runs: int, rate: float) -> int:
    """The most failures that fewer than one in a thousand such series exceeds."""
    return int(binom.ppf(0.999, runs, rate))


@pytest.mark.parametrize(("precision", "photos"), [(0.9, 29), (0.95, 59), (0.99, 299), (0.5, 5)])
def test_photos_that_a_promise_needs(precision: float, photos: int):
    assert needed(precision, 0.05) == photos
    assert precision**photos <= 0.05 < precision ** (photos - 1)


def test_a_whole_number_of_photos_is_not_one_more():
    assert needed(0.1, 0.01) == 2


def test_as_few_as_needed_pass_without_an_error_and_only_then():
    fitted, confidence = np.full(10, 0.9), np.full(29, 0.9)
    right = np.ones(29, dtype=bool)
    # All that was fitted is accepted by 0.9; 0 is below it, accepts the same, and passes too.
    assert find_threshold(fitted, confidence, right, precision=0.9, alpha=0.05) == 0
    assert find_threshold(fitted, confidence[1:], right[1:], precision=0.9, alpha=0.05) is None
    right[4] = False
    assert find_threshold(fitted, confidence, right, precision=0.9, alpha=0.05) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.8, 0.9, 0.95]))
def test_tests_go_down_from_their_start_until_one_fails(seed: int, precision: float):
    generator = np.random.default_rng(seed)
    fitted, confidence = generator.beta(4, 1, 60), generator.beta(4, 1, 300)
    right = generator.random(300) < confidence**0.3
    found = find_threshold(fitted, confidence, right, precision=precision, alpha=0.05)
    levels = [*sorted(set(fitted.tolist()), reverse=True), 0.0]
    counts = np.arange(301)
    most = binom.ppf(0.05, counts, 1 - precision)
    most -= binom.cdf(most, counts, 1 - precision) > 0.05

    def accepts(level: float) -> tuple[int, int]:
        return int((confidence >= level).sum()), int((~right[confidence >= level]).sum())

    def power(level: float) -> float:
        count = round((fitted >= level).mean() * 300)
        return float(binom.cdf(most[count], count, 1 - fitted[fitted >= level].mean())) if most[count] >= 0 else -1.0

    powers = [power(level) for level in levels]
    if max(powers) - sorted(powers)[-2] < 1e-9:
        return  # a tie, decided by rounding
    expected = None
    for level in levels[int(np.argmax(powers)) :]:
        count, errors = accepts(level)
        if count == 0 or binom.cdf(errors, count, 1 - precision) > 0.05:
            break
        expected = level
    assert found == expected


def test_nothing_to_test_or_to_fit():
    none, some = np.empty(0), np.linspace(0, 1, 40)
    assert find_threshold(some, none, none.astype(bool), precision=0.9, alpha=0.05) is None
    assert find_threshold(none, some, np.ones(40, dtype=bool), precision=0.9, alpha=0.05) == 0


def test_the_fitting_part_is_a_fifth_by_name_alone():
    names = [f"img/{number}.jpg" for number in range(503)]
    part = fitting_part(names)
    assert part.sum() == 100
    again = fitting_part(names[::-1])[::-1]
    assert (part == again).all()
    assert not fitting_part(["only"]).any()


def sample(seed: int, images: int) -> tuple[Predictions, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    tags = np.stack([generator.choice(3, images, p=[0.6, 0.37, 0.03]), generator.integers(2, size=images)], axis=1)
    confidence = generator.uniform(0.7, 1, (images, 2))
    right = generator.random((images, 2)) < confidence
    targets = np.where(right, tags, (tags + 1) % np.array([3, 2]))
    targets[: images // 10, 1] = -1
    ids = tuple(f"{number}" for number in range(images))
    predictions = Predictions(SMALL, ids, np.zeros((images, 5), dtype=np.float32), targets)
    return predictions, tags, confidence, fitting_part(ids)


def test_decisions_count_what_they_accept():
    predictions, tags, confidence, fitting = sample(0, 1000)
    found = decide(predictions, tags, confidence, fitting, precision=0.9)
    accepted = found.accepted(tags, confidence, SMALL)
    for column, name in enumerate(SMALL.names):
        (group,) = found.groups[name]
        assert predictions.targets is not None
        tested = ~fitting & (predictions.targets[:, column] >= 0)
        assert group.photos == tested.sum()
        assert group.accepted == (tested & accepted[:, column]).sum()
        assert group.right == (tested & accepted[:, column] & (predictions.targets == tags)[:, column]).sum()
        assert binom.cdf(group.accepted - group.right, group.accepted, 0.1) <= 0.05


def test_classes_with_few_photos_share_a_threshold_and_the_error_budget():
    predictions, tags, confidence, fitting = sample(1, 2000)
    found = decide(predictions, tags, confidence, fitting, precision=0.9, per_class=True, joint=True)
    assert [group.classes for group in found.groups["colour"]] == [("red",), ("green",), ("blue",)]
    assert [group.needed for group in found.groups["colour"]] == [needed(0.9, 0.05 / 6)] * 3
    few, tags, confidence, fitting = sample(1, 1000)
    found = decide(few, tags, confidence, fitting, precision=0.95, per_class=True)
    assert [group.classes for group in found.groups["colour"]] == [("red",), ("green",), ("blue",)]
    assert found.groups["colour"][2].threshold is None
    smaller = decide(*sample(1, 150), precision=0.95, per_class=True)
    assert [group.classes for group in smaller.groups["colour"]] == [("red", "green", "blue")]
    assert [group.needed for group in smaller.groups["colour"]] == [59]


def test_what_no_group_accepts_is_refused_and_what_meets_the_threshold_is_not():
    decisions = Decisions(
        0.9,
        0.95,
        False,
        True,
        {
            "colour": (Group(("red",), 0.8, 90, 29, 50, 48), Group(("green", "blue"), None, 12, 29)),
            "fit": (Group(("tight", "loose"), 0.0, 90, 29, 90, 90),),
        },
    )
    tags = np.array([[0, 0], [0, 1], [1, 0]])
    confidence = np.array([[0.8, 0.2], [0.79, 0.0], [1.0, 0.5]])
    assert decisions.accepted(tags, confidence, SMALL).tolist() == [[True, True], [False, True], [False, True]]


def test_promises_are_kept_and_the_tagger_is_used():
    """The same with 1,000 calibrations is `python -m tests.evaluation.simulation`, printed in docs/decisions.md."""
    first, second = simulate(80, 500, (0.90, 0.95), pool=10_000)
    for outcome in (first, second):
        assert outcome.short.sum(axis=0).max() <= tolerated(80, 0.05)
    assert first.coverage.mean() >= 0.8 * first.oracle.mean()


@pytest.mark.parametrize("per_class", [False, True])
def test_joint_promises_are_kept_by_all_attributes_at_once(per_class: bool):
    (outcome,) = simulate(25, 500, (0.90,), joint=True, per_class=per_class, pool=10_000)
    assert outcome.short.any(axis=1).sum() <= tolerated(25, 0.05)
    assert outcome.coverage.shape == (25, len(SCHEMA))


@pytest.mark.long
def test_a_thousand_calibrations():
    for outcome in simulate(1000, 500, (0.90, 0.95)):
        assert outcome.short.mean(axis=0).max() <= 0.064
        if outcome.promise == 0.90:
            assert outcome.coverage.mean() >= 0.8 * outcome.oracle.mean()
