"""Repeated sampling of rare classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.errors import RecipeError
from gingham.losses import AttributeLoss
from gingham.schema import AttributeSchema
from gingham.tensors import load_tensors
from gingham.training.interrupt import Stopped
from gingham.training.order import steps_per_epoch
from gingham.training.recipe import Recipe
from gingham.training.repeats import appearances, epoch_size, repeat_factors
from gingham.training.run import resume, train
from tests.ears import Ears
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]


def _table(targets: list[list[int]]) -> LabelTable:
    return LabelTable(
        schema=AttributeSchema.of({"hue": ["red", "blue", "green"], "tone": ["dark", "light"]}),
        root=Path(),
        images=tuple(f"{number}.jpg" for number in range(len(targets))),
        targets=np.array(targets, dtype=np.int64),
        splits=("train",) * len(targets),
        boxes=None,
        source="labels.csv",
    )


_TARGETS = [[0, 0], [0, 0], [0, 0], [0, 1], [0, 1], [0, -1], [0, -1], [1, 1], [1, 1], [-1, 0]]
"""Of 10 images: red 7, blue 2, green none; dark 4, light 4."""


def test_factors_by_hand() -> None:
    """Threshold 0.5: blue sqrt(0.5 / 0.2), dark and light sqrt(0.5 / 0.4), red 1; of an image, the largest."""
    tone, blue = 1.25**0.5, 2.5**0.5
    expected = [tone] * 5 + [1.0, 1.0, blue, blue, tone]
    np.testing.assert_allclose(repeat_factors(_table(_TARGETS), 0.5), expected, rtol=1e-15)
    assert repeat_factors(_table(_TARGETS), None).tolist() == [1.0] * 10
    assert repeat_factors(_table(_TARGETS), 0.3).tolist() == [1.0] * 7 + [1.5**0.5] * 2 + [1.0]


def test_a_threshold_that_repeats_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no class is rarer than 0\.2: the rarest, hue/blue, has a share of 0\.2"):
        repeat_factors(_table(_TARGETS), 0.2)


def test_without_repeats_each_image_comes_once() -> None:
    assert appearances(np.ones(7), 3, 4).tolist() == list(range(7))
    assert epoch_size(np.ones(7)) == 7


def test_whole_factors_leave_nothing_to_chance() -> None:
    assert appearances(np.array([1.0, 3.0, 2.0]), 0, 0).tolist() == [0, 1, 4, 7, 2, 5]


@given(factors=st.lists(st.floats(1, 6), min_size=1, max_size=60), seed=st.integers(0, 9), epoch=st.integers(0, 99))
def test_each_comes_as_often_as_its_factor_rounded_down_or_up(factors: list[float], seed: int, epoch: int) -> None:
    array = np.array(factors)
    drawn = appearances(array, seed, epoch)
    assert len(drawn) == epoch_size(array)
    assert len(set(drawn.tolist())) == len(drawn), "each appearance has a number of its own"
    times = np.bincount(drawn % len(array), minlength=len(array))
    assert (times >= np.floor(array)).all()
    assert (times <= np.ceil(array)).all()
    assert abs(len(drawn) - array.sum()) < 1 + 1e-5
    np.testing.assert_array_equal(drawn, appearances(array, seed, epoch))


def test_on_average_it_is_the_factor() -> None:
    """Over 4000 epochs, within 5 standard deviations; the fractions sum to 4, so that nothing is cut off."""
    factors = np.array([1.0, 1.25, 2.5, 1.75, 3.1, 1.4, 1.5, 1.5, 1.7, 1.3])
    assert epoch_size(factors) == 17
    total = np.zeros(10)
    for epoch in range(4000):
        total += np.bincount(appearances(factors, 0, epoch) % 10, minlength=10)
    deviation = 0.5 / 4000**0.5
    np.testing.assert_allclose(total / 4000, factors, atol=5 * deviation)
    assert total[0] == 4000
    draws = {tuple(appearances(factors, seed, 0).tolist()) for seed in range(9)}
    assert len(draws) > 1


@pytest.mark.parametrize("changes", [(), ("model.frozen=true", "features.cache=true", "features.views=2")])
def test_a_resumed_run_repeats_the_same_images(
    photos: Path, tiny: Tiny, tmp_path: Path, changes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With class weights, mixing and micro-batches; counts are those of the data, and every epoch has as many steps."""
    counts: list[list[float]] = []
    init = AttributeLoss.__init__

    def spy(self, options, schema, given, **rest):  # type: ignore[no-untyped-def]
        counts.append(given.tolist())
        init(self, options, schema, given, **rest)

    monkeypatch.setattr(AttributeLoss, "__init__", spy)
    mixing = ("mix.mixup=1", "mix.mode=element", f"mix.level={'tokens' if changes else 'pixels'}")
    recipe = tiny("train.repeat_rare=0.9", "train.accumulation=2", *mixing, *changes)
    table = read_labels(photos).split("train")
    size = epoch_size(repeat_factors(table, 0.9))
    steps = steps_per_epoch(size, 10)
    assert size > len(table) + 10
    ears = Ears()
    train(photos, recipe, tmp_path / "whole", device="cpu", reporter=ears)
    assert f"train.repeat_rare: {size} images an epoch instead of {len(table)}" in "\n".join(ears.lines)
    assert counts == [table.counts().tolist()]
    rows = (tmp_path / "whole/history.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[1]) for row in rows] == [steps, 2 * steps]
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "cut", device="cpu", stop=StopAt(2))
    resume(tmp_path / "cut", device="cpu")
    again = (tmp_path / "cut/history.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[0] for row in again] == [row.rpartition(",")[0] for row in rows]
    whole, cut = (load_tensors(tmp_path / name / "best/model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
