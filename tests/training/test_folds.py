"""Cross-validation: each photo predicted by the model that has not seen it, and one model of all."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.errors import BundleError, DataError, UserError
from gingham.evaluation.metrics import evaluate
from gingham.inference.bundle import open_bundle
from gingham.inference.join import join_bundles
from gingham.inference.tagger import Tagger
from gingham.predictions import Predictions
from gingham.training.folds import train_folds
from gingham.training.intake import Rules
from gingham.training.interrupt import Stopped
from gingham.training.jobs import go_on, start
from gingham.training.recipe import Recipe
from tests.ears import Ears
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]

_QUICK = ("train.epochs=1", "model.head=linear", "train.choose=last")
_CACHED = (*_QUICK, "model.frozen=true", "features.cache=true", "features.views=2")


def test_every_photo_is_predicted_by_the_model_that_has_not_seen_it(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    metrics = start(photos, tiny(*_QUICK), out, folds=3)
    found = Predictions.from_parquet(out / "predictions-oof.parquet")
    table = read_labels(photos)
    assert found.ids == table.images
    np.testing.assert_array_equal(found.targets, table.targets)
    fold_of = found.columns["fold"]
    assert sorted(set(fold_of.tolist())) == [0, 1, 2]
    for fold in range(3):
        own = read_labels(photos, DataOptions(folds=3, fold=fold))
        rows = np.flatnonzero(fold_of == fold)
        held_out = own.split("val")
        assert {found.ids[row] for row in rows} == set(held_out.images)
        assert {path.name for path in (out / f"fold-{fold}").iterdir()} >= {"best", "history.csv", "recipe.yaml"}
        again = Tagger.load(out / f"fold-{fold}").predict(held_out)
        mine = {name: found.logits[found.ids.index(name)] for name in again.ids}
        np.testing.assert_allclose(again.logits, np.stack(list(mine.values())), atol=1e-5)
    assert metrics == evaluate(found)
    assert metrics.mean_class_accuracy_ci95 is not None
    assert json.loads((out / "metrics.json").read_text()) == metrics.to_json()
    page = (out / "report.html").read_text()
    assert f'<p class="value">{100 * (metrics.mean_class_accuracy or 0):.1f}<' in page
    assert "out of fold" in page
    assert "<img" in page
    bundle = open_bundle(out)
    assert len(bundle.members) == 3
    assert (bundle.data.folds, bundle.data.fold) == (None, 0)
    some = join_bundles([out / "fold-0", out / "fold-2"], tmp_path / "some")
    assert (some.data.folds, some.data.fold) == (None, 0)
    assert f"{metrics.mean_class_accuracy:.4f}" in (out / "best" / "README.md").read_text()


def test_folds_share_cached_features(photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 photos in two views each and the evaluation view, however many folds."""
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))
    ears = _Counting()
    train_folds(photos, tiny(*_CACHED), tmp_path / "run", 3, reporter=ears, from_features=True)
    assert ears.computed == 36 * 3
    found = Predictions.from_parquet(tmp_path / "run" / "predictions-oof.parquet")
    assert found.source["computed_from"] == "cached features"


class _Counting(Ears):
    computed = 0

    def bar(self, description: str, total: int):  # type: ignore[no-untyped-def]
        if description == "features":
            self.computed += total
        return super().bar(description, total)


def test_a_stopped_one_goes_on_to_the_same(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Stopped in the first fold, and when it goes on, in the second: each has steps, validation and the epoch's end."""
    recipe, out = tiny(*_CACHED), tmp_path / "run"
    undisturbed = start(photos, recipe, tmp_path / "undisturbed", folds=2)
    with pytest.raises(Stopped):
        start(photos, recipe, out, folds=2, stop=StopAt(1))
    assert not (out / "fold-1").exists()
    with pytest.raises(Stopped):
        go_on(out, stop=StopAt(8))
    assert (out / "fold-1").exists()
    assert not (out / "best").exists()
    assert go_on(out) == undisturbed
    ears = Ears()
    assert go_on(out, reporter=ears) == undisturbed
    assert sum(line.endswith(": complete") for line in ears.lines) == 2
    mine, theirs = (Predictions.from_parquet(tmp_path / n / "predictions-oof.parquet") for n in ("run", "undisturbed"))
    np.testing.assert_array_equal(mine.logits, theirs.logits)


def test_members_in_folds(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Each with views of its own."""
    recipe = tiny(*_CACHED, "test_time.flip=true", "members=[{name: a}, {name: b, set: {test_time.scales: [1, 1.5]}}]")
    start(photos, recipe, tmp_path / "run", folds=2)
    views = [(member.test_time.flip, member.test_time.scales) for member in open_bundle(tmp_path / "run").members]
    assert views == [(True, (1.0,)), (True, (1.0, 1.5))] * 2
    assert len(open_bundle(tmp_path / "run" / "fold-1").members) == 2
    joint = Predictions.from_parquet(tmp_path / "run" / "fold-1" / "predictions-val.parquet")
    found = Predictions.from_parquet(tmp_path / "run" / "predictions-oof.parquet")
    rows = [found.ids.index(name) for name in joint.ids]
    np.testing.assert_array_equal(found.logits[rows], joint.logits)
    held_out = read_labels(photos, DataOptions(folds=2, fold=1)).split("val")
    again = Tagger.load(tmp_path / "run" / "fold-1").predict(held_out)
    np.testing.assert_allclose(again.logits, joint.logits, atol=1e-5)


def test_what_would_flatter_or_contradict_is_refused(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def refused(*changes: str, folds: int = 3) -> str:
        with pytest.raises(UserError) as caught:
            start(photos, tiny(*changes), out, folds=folds)
        assert not out.exists()
        return str(caught.value)

    assert "set train.choose=last" in refused("train.epochs=1")
    assert "train.choose of member 'b' is best" in refused(
        *_QUICK, "members=[{name: a}, {name: b, set: {train.choose: best}}]"
    )
    assert "the recipe has data.folds=4" in refused(*_QUICK, "data.folds=4")
    assert "the recipe has data.fold=1" in refused(*_QUICK, "data.folds=3", "data.fold=1")
    assert "are too few for data.folds=40" in refused(*_QUICK, folds=40)
    assert "65 models: one bundle holds at most 64" in refused(*_QUICK, folds=65)
    assert "greater than or equal to 2" in refused(*_QUICK, folds=1)
    assert "--init" in str(_raised(lambda: start(photos, tiny(*_QUICK), out, folds=3, init=out)))


def _raised(call: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        call()
    return caught.value


def test_another_start_in_the_same_folder_is_refused(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out, recipe = tmp_path / "run", tiny(*_CACHED)
    data = Path(shutil.copytree(photos, tmp_path / "data"))
    start(data, recipe, out, folds=2)
    with pytest.raises(UserError, match="go on with --resume"):
        start(data, recipe, out, folds=2)
    with pytest.raises(UserError, match=r"data\.folds is 3 here and 2 there"):
        train_folds(data, recipe, out, 3)
    with pytest.raises(UserError, match="it began with --leaks drop, not --leaks keep"):
        train_folds(data, recipe, out, 2, rules=Rules(leaks="keep"))
    lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join([*lines[:-1], lines[-1].replace("blue", "red")]))
    with pytest.raises(BundleError, match="labels have changed"):
        go_on(out)


def test_copies_stay_together_and_are_kept_but_those_of_test_photos(tiny: Tiny, tmp_path: Path) -> None:
    """00 and 01 are one picture in train and val; 02 and 03 likewise, and 03 is in test: only 02 is a leak."""
    rng = np.random.default_rng(3)
    pictures = [rng.integers(0, 256, (40, 30, 3), dtype=np.uint8) for _ in range(20)]
    pictures[1], pictures[3] = pictures[0], pictures[2]
    rows = [["image", "hue", "split"]]
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.{'bmp' if number in (1, 3) else 'png'}")
        name = f"{number:02d}.{'bmp' if number in (1, 3) else 'png'}"
        rows.append([name, ("red", "green")[number // 4 % 2], "test" if number == 3 else ("train", "val")[number % 2]])
    with (tmp_path / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    ears = Ears()
    start(tmp_path, tiny(*_CACHED), tmp_path / "run", folds=2, reporter=ears)
    records = [json.loads((tmp_path / "run" / f"fold-{fold}" / "run.json").read_text())["images"] for fold in (0, 1)]
    assert [record["copies"] for record in records].count({"02.png": "03.bmp"}) == 1, "where 02 is in train"
    assert sum(len(record["copies"]) for record in records) == 1
    found = Predictions.from_parquet(tmp_path / "run" / "predictions-oof.parquet")
    assert len(found) == 19
    folds = dict(zip(found.ids, found.columns["fold"].tolist(), strict=True))
    assert folds["00.png"] == folds["01.bmp"]


def test_unreadable_photos_are_left_out_of_all_folds(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    data = Path(shutil.copytree(photos, tmp_path / "data"))
    (data / "07.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="--skip-unreadable"):
        start(data, tiny(*_CACHED), tmp_path / "run", folds=2)
    assert not (tmp_path / "run").exists()
    start(data, tiny(*_CACHED), tmp_path / "run", folds=2, rules=Rules(skip_unreadable=0.1))
    found = Predictions.from_parquet(tmp_path / "run" / "predictions-oof.parquet")
    assert len(found) == 35
    assert "07.png" not in found.ids
