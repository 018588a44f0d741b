from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gingham.data.split import photo_groups, stratified_folds, stratified_split
from gingham.errors import DataError
from gingham.schema import AttributeSchema
from tests.data.builders import photo

ONE = AttributeSchema.of({"colour": ["red", "green", "blue"]})
TWO = AttributeSchema.of({"colour": ["red", "green", "blue"], "sleeve": ["long", "short"]})


@st.composite
def labelled(draw: st.DrawFn, schema: AttributeSchema) -> tuple[np.ndarray, list[int]]:
    count = draw(st.integers(2, 60))
    rows = st.tuples(*(st.integers(-1, size - 1) for size in schema.sizes))
    targets = draw(st.lists(rows, min_size=count, max_size=count))
    groups = draw(st.lists(st.integers(0, 40), min_size=count, max_size=count))
    groups[0], groups[1] = 100, 101  # at least two
    return np.array(targets, dtype=np.int64), groups


@settings(deadline=None, max_examples=40)
@given(labelled(TWO), st.floats(0.05, 0.95), st.integers(0, 1000))
def test_groups_stay_whole_and_both_parts_have_images(
    data: tuple[np.ndarray, list[int]], fraction: float, seed: int
) -> None:
    targets, groups = data
    splits = stratified_split(targets, TWO, groups, fraction, seed)
    assert set(splits) == {"train", "val"}
    assert len({(group, split) for group, split in zip(groups, splits, strict=True)}) == len(set(groups))


@settings(deadline=None, max_examples=40)
@given(labelled(TWO), st.floats(0.05, 0.95), st.integers(0, 1000), st.randoms())
def test_the_order_of_rows_does_not_matter(
    data: tuple[np.ndarray, list[int]], fraction: float, seed: int, random: object
) -> None:
    targets, groups = data
    splits = stratified_split(targets, TWO, groups, fraction, seed)
    order = list(range(len(groups)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = stratified_split(targets[order], TWO, [groups[row] for row in order], fraction, seed)
    assert shuffled == tuple(splits[row] for row in order)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-1, 2), min_size=2, max_size=80), st.floats(0.05, 0.95), st.integers(0, 99))
def test_every_class_with_two_photos_is_in_both_parts(labels: list[int], fraction: float, seed: int) -> None:
    targets = np.array(labels, dtype=np.int64)[:, None]
    splits = np.array(stratified_split(targets, ONE, range(len(labels)), fraction, seed))
    for label in range(3):
        rows = splits[targets[:, 0] == label]
        if len(rows) >= 2:
            assert set(rows) == {"train", "val"}
            assert abs((rows == "val").sum() - fraction * len(rows)) <= 1


@settings(deadline=None, max_examples=40)
@given(labelled(TWO), st.integers(0, 99))
def test_with_several_attributes_too(data: tuple[np.ndarray, list[int]], seed: int) -> None:
    targets, _ = data
    splits = np.array(stratified_split(targets, TWO, range(len(targets)), 0.2, seed))
    for column, size in enumerate(TWO.sizes):
        for label in range(size):
            rows = splits[targets[:, column] == label]
            # A class may go without only if giving it a photo would rob another: never with three photos or more here.
            if len(rows) >= 3:
                assert set(rows) == {"train", "val"}


def test_shares_are_kept_in_a_large_set() -> None:
    generator = np.random.default_rng(0)
    colours = generator.choice(3, 2000, p=[0.01, 0.19, 0.8])
    sleeves = np.where(generator.random(2000) < 0.1, -1, generator.integers(0, 2, 2000))
    targets = np.stack([colours, sleeves], axis=1)
    val = np.array(stratified_split(targets, TWO, range(2000), 0.2, 0)) == "val"
    assert abs(val.sum() - 400) <= 4
    for column, size in enumerate(TWO.sizes):
        for label in range(size):
            rows = targets[:, column] == label
            assert abs(val[rows].sum() - 0.2 * rows.sum()) <= 2


def test_seeds_differ_and_repeat() -> None:
    targets = np.zeros((100, 1), dtype=np.int64)
    first = stratified_split(targets, ONE, range(100), 0.2, 0)
    assert first == stratified_split(targets, ONE, range(100), 0.2, 0)
    assert first != stratified_split(targets, ONE, range(100), 0.2, 1)
    assert first.count("val") == 20


def test_the_split_of_a_seed_never_changes() -> None:
    # People compare runs over years and versions: this very assignment is part of the contract.
    targets = np.array([[0], [0], [0], [1], [1], [1], [2], [2], [-1], [-1]])
    names = [f"{number}.jpg" for number in range(10)]
    splits = stratified_split(targets, ONE, names, 0.3, 0)
    assert [name for name, split in zip(names, splits, strict=True) if split == "val"] == ["1.jpg", "5.jpg", "6.jpg"]


def test_a_class_in_one_group_alone_goes_whole_to_one_part() -> None:
    targets = np.array([[0], [0], [1], [1], [1], [1]])
    splits = stratified_split(targets, ONE, [0, 0, 1, 2, 3, 4], 0.2, 0)
    assert splits[0] == splits[1]


@settings(deadline=None, max_examples=40)
@given(labelled(TWO), st.integers(2, 5), st.integers(0, 1000), st.randoms())
def test_folds_keep_groups_whole_whatever_the_order(
    data: tuple[np.ndarray, list[int]], folds: int, seed: int, random: object
) -> None:
    targets, groups = data
    try:
        dealt = stratified_folds(targets, TWO, groups, folds, seed)
    except DataError:
        holders = [
            len({group for group, label in zip(groups, targets[:, column].tolist(), strict=True) if label == value})
            for column, size in enumerate(TWO.sizes)
            for value in range(size)
        ]
        assert len(set(groups)) < folds or any(0 < count < folds for count in holders)
        return
    assert set(dealt.tolist()) == set(range(folds))
    assert len(set(zip(groups, dealt.tolist(), strict=True))) == len(set(groups))
    order = list(range(len(groups)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = stratified_folds(targets[order], TWO, [groups[row] for row in order], folds, seed)
    assert shuffled.tolist() == dealt[order].tolist()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-1, 2), min_size=40, max_size=90), st.integers(2, 6), st.integers(0, 99))
def test_every_fold_has_an_equal_share_of_a_class(labels: list[int], folds: int, seed: int) -> None:
    # A class has enough examples for all folds, or none at all.
    kept = [label if labels.count(label) >= folds else -1 for label in labels]
    targets = np.array(kept, dtype=np.int64)[:, None]
    dealt = stratified_folds(targets, ONE, range(len(kept)), folds, seed)
    for label in (0, 1, 2):
        shares = np.bincount(dealt[targets[:, 0] == label], minlength=folds)
        assert np.ptp(shares) <= 1
    assert np.ptp(np.bincount(dealt, minlength=folds)) <= 3


def test_shares_of_several_attributes_are_equal_in_a_large_set() -> None:
    generator = np.random.default_rng(0)
    targets = np.stack([generator.choice(3, 2000, p=[0.01, 0.19, 0.8]), generator.integers(0, 2, 2000)], axis=1)
    dealt = stratified_folds(targets, TWO, range(2000), 5, 0)
    for column, size in enumerate(TWO.sizes):
        for label in range(size):
            assert np.ptp(np.bincount(dealt[targets[:, column] == label], minlength=5)) <= 2


def test_a_fold_without_a_class_is_given_one_where_that_robs_nobody() -> None:
    # One group has five of the seven reds; the other two reds must not end up in one fold.
    targets = np.array([[0]] * 7 + [[1]] * 9)
    groups = [0] * 5 + [1, 2] + list(range(3, 12))
    for seed in range(20):
        dealt = stratified_folds(targets, ONE, groups, 3, seed)
        assert set(dealt[:7].tolist()) == {0, 1, 2}


def test_nothing_to_split() -> None:
    targets = np.zeros((3, 1), dtype=np.int64)
    with pytest.raises(DataError, match="cannot split 3 images of 1 different photos"):
        stratified_split(targets, ONE, ["a", "a", "a"], 0.2, 0)


def test_photo_groups(tmp_path: Path) -> None:
    names = ["b.png", "a.png", "c.png", "d.png", "e.png"]
    paths = [photo(tmp_path / name, shade) for name, shade in zip(names, [1, 1, 2, 1, 3], strict=True)]
    (tmp_path / "longer.png").write_bytes(b"of another size")
    groups = photo_groups([*paths, tmp_path / "longer.png"], [*names, "longer.png"])
    assert groups == ["a.png", "a.png", "c.png", "a.png", "e.png", "longer.png"]
    with pytest.raises(DataError, match=r"nowhere\.png: no such file"):
        photo_groups([tmp_path / "nowhere.png"], ["nowhere.png"])
