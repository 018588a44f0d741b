"""A linear head that is trained alone sees means of tokens: the same training, an eighth of the memory and less."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gingham.inference.features import FeatureStore
from gingham.training import measure, parts
from gingham.training.inputs import CachedInputs
from gingham.training.recipe import Recipe, looks_at_means
from gingham.training.run import train

Build = Callable[..., Recipe]

CACHED = ("model.frozen=true", "features.cache=true", "model.head=linear", "train.epochs=2", "train.learning_rate=1e-2")


def columns(out: Path) -> list[list[float]]:
    lines = (out / "history.csv").read_text().splitlines()[1:]
    # All but the time.
    return [[float(cell) for cell in line.split(",")[:-1]] for line in lines]


@pytest.mark.parametrize("changes", [(), ("mix.mixup=1", "mix.level=tokens", "features.views=2")])
def test_training_is_that_on_the_tokens(
    photos: Path, tiny: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Sequence[str]
) -> None:
    recipe = tiny(*CACHED, *changes)
    seen: list[tuple[int, ...]] = []
    gather = CachedInputs._gather

    def spy(self: CachedInputs, rows: Any) -> torch.Tensor:
        tensor = gather(self, rows)
        seen.append(tuple(tensor.shape[1:]))
        return tensor

    monkeypatch.setattr(CachedInputs, "_gather", spy)
    train(photos, recipe, tmp_path / "means", device="cpu", from_features=True)
    assert {shape[0] for shape in seen} == {1}
    seen.clear()
    for module in (parts, measure):
        monkeypatch.setattr(module, "looks_at_means", lambda recipe: False)
    train(photos, recipe, tmp_path / "tokens", device="cpu", from_features=True)
    assert {shape[0] for shape in seen} == {16}
    for ours, theirs in zip(columns(tmp_path / "means"), columns(tmp_path / "tokens"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), True),
        (("mix.mixup=1", "mix.level=tokens"), True),
        (("mix.cutmix=1", "mix.level=tokens"), False),
        (("model.unfrozen_stages=1",), False),
    ],
)
def test_when_means_are_enough(tiny: Build, changes: Sequence[str], expected: bool) -> None:
    assert looks_at_means(tiny(*CACHED, *changes)) is expected


def test_other_heads_and_whole_backbones_see_tokens(tiny: Build) -> None:
    assert not looks_at_means(tiny("model.frozen=true", "features.cache=true"))
    assert not looks_at_means(tiny("model.frozen=true", "features.cache=true", "model.head=attention_pool"))
    assert not looks_at_means(tiny("model.head=linear"))


def store(rows: int, shards: int) -> FeatureStore:
    data = np.arange(rows * 6, dtype=np.float16).reshape(rows, 2, 3)
    parts = np.array_split(data, shards)
    where = [(number, place) for number, part in enumerate(parts) for place in range(len(part))]
    return FeatureStore(tuple(parts), np.array(where, dtype=np.int64))


def test_rows_are_gathered_in_the_order_asked_for() -> None:
    rows = np.array([7, 0, 7, 3, 9, 8, 1])
    for shards in (1, 4):
        kept = store(10, shards)
        assert np.array_equal(kept.gather(rows), store(10, 1).shards[0][rows])
        assert np.array_equal(kept.in_memory().gather(rows), kept.gather(rows))
        assert kept.gather(np.empty(0, dtype=np.int64)).shape == (0, 2, 3)


def test_the_view_of_an_image_is_a_function_of_seed_epoch_and_index() -> None:
    def chosen(seed: int, epoch: int, indices: Sequence[int]) -> list[int]:
        inputs = CachedInputs(store(12, 2), 4, views=3, seed=seed, grid=(1, 2))
        return inputs._chosen(epoch, np.array(indices)).tolist()

    # Whatever is asked for before, beside it, or beyond the table (images that come several times).
    everything = chosen(0, 1, range(40))
    assert chosen(0, 1, [30, 2]) == [everything[30], everything[2]]
    assert set(everything) == {0, 1, 2}
    assert chosen(0, 2, range(40)) != everything
    assert chosen(1, 1, range(40)) != everything
