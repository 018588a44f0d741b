import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data.augment import rng_for
from gingham.data.decode import decode
from gingham.data.formats import read_labels
from gingham.errors import UserError
from gingham.training import preview
from gingham.training.preview import augment_preview
from gingham.training.recipe import Recipe
from gingham.training.views import view

Tiny = Callable[..., Recipe]


def _cells(
    photos: Path, recipe: Recipe, out: Path, monkeypatch: pytest.MonkeyPatch, *, images: int, views: int
) -> list[list[tuple[str, np.ndarray] | None]]:
    """What is put on the sheet."""
    kept: list[list[list[tuple[str, np.ndarray] | None]]] = []
    draw = preview._png

    def spy(sheet: list[list[tuple[str, np.ndarray] | None]], columns: int) -> bytes:
        kept.append([list(line) for line in sheet])
        return draw(sheet, columns)

    monkeypatch.setattr(preview, "_png", spy)
    assert augment_preview(photos, recipe, out, images=images, views=views) == images
    assert Image.open(io.BytesIO(out.read_bytes())).format == "PNG"
    return kept[0]


def test_it_shows_what_training_sees(photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny("augment.rotation=10")
    cells = _cells(photos, recipe, tmp_path / "sheet.png", monkeypatch, images=3, views=4)
    assert [len(line) for line in cells] == [5, 5, 5]
    table = read_labels(photos).split("train")
    first = cells[0][0]
    assert first is not None
    assert first[0] == table.images[0]
    np.testing.assert_array_equal(first[1], recipe.preprocess.apply(decode(table.path(0))))
    inputs = preview.PixelInputs(table, table, recipe.preprocess, recipe.augment, seed=0)
    for epoch in range(4):
        cell = cells[0][1 + epoch]
        assert cell is not None
        np.testing.assert_array_equal(cell[1], inputs.train(epoch, np.array([0]))[0].numpy())


def test_mixtures_stand_below_and_say_what_they_consist_of(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("mix.mixup=1", "mix.cutmix=1", "mix.mode=element")
    cells = _cells(photos, recipe, tmp_path / "sheet.png", monkeypatch, images=3, views=5)
    assert [line[0] is None for line in cells] == [False, True] * 3
    names = {line[0][0] for line in cells[::2] if line[0] is not None}
    captions = [cell[0] for line in cells[1::2] for cell in line if cell is not None]
    assert len(captions) == 15
    assert {caption.split(":")[0] for caption in captions} - {"not mixed"} == {"MixUp", "CutMix"}
    assert {caption.split()[-1] for caption in captions if caption != "not mixed"} <= names


def test_cached_views_are_those_that_are_kept(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("model.frozen=true", "features.cache=true", "features.views=2", "mix.level=tokens", "mix.mixup=1")
    cells = _cells(photos, recipe, tmp_path / "sheet.png", monkeypatch, images=2, views=4)
    assert [len(line) for line in cells] == [3, 5, 3, 5]
    table = read_labels(photos).split("train")
    content = int(hashlib.sha256(table.path(0).read_bytes()).hexdigest()[:16], 16)
    shown = cells[0][2]
    assert shown is not None
    kept = view(decode(table.path(0)), None, recipe.preprocess, recipe.augment, rng_for(0, 1, content))
    np.testing.assert_array_equal(shown[1], kept)


def test_what_cannot_be_trained_is_not_shown(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mix\.level"):
        augment_preview(photos, tiny("mix.mixup=1", "mix.level=tokens"), tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_each_member_has_rows_of_its_own(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("members=[{name: plain}, {name: turned, set: {augment.rotation: 90}}]")
    cells = _cells(photos, recipe, tmp_path / "sheet.png", monkeypatch, images=2, views=1)
    captions = [line[0][0].partition(":")[0] for line in cells if line[0] is not None]
    assert captions == ["plain", "plain", "turned", "turned"]
    assert not np.array_equal(cells[0][1][1], cells[2][1][1])  # type: ignore[index]
