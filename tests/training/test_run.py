import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gingham import Predictions, Tagger
from gingham.data.formats import read_labels
from gingham.errors import BundleError, DataError, RecipeError, UserError
from gingham.evaluation.metrics import evaluate
from gingham.storage import verify_manifest
from gingham.tensors import load_tensors
from gingham.training.interrupt import Stop, Stopped
from gingham.training.loop import Fit
from gingham.training.recipe import Recipe
from gingham.training.run import resume, train
from tests.ears import Ears

Tiny = Callable[..., Recipe]


class _StopAt(Stop):
    """Asks to stop when it is looked at for the n-th time: after each step, batch of the validation, and epoch."""

    def __init__(self, look: int) -> None:
        self._looks = look

    def asked(self) -> bool:
        self._looks -= 1
        return self._looks <= 0


def _history(run: Path) -> list[list[str]]:
    # Without the wall-clock column.
    return [line.split(",")[:-1] for line in (run / "history.csv").read_text().splitlines()]


@pytest.mark.usefixtures("curves")
def test_a_run_holds_all_that_it_promises(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = tiny("train.epochs=12", "train.learning_rate=3e-3", "train.warmup_steps=5")
    metrics = train(photos, recipe, out)
    assert metrics.mean_class_accuracy is not None
    assert metrics.mean_class_accuracy > 0.8, "hue and tone are easy"
    assert json.loads((out / "metrics.json").read_text()) == metrics.to_json()
    page = (out / "report.html").read_text()
    assert f'<p class="value">{100 * (metrics.mean_class_accuracy or 0):.1f}<' in page
    assert 'id="training"' in page
    assert '<img src="data:image/webp;base64,' in page
    predictions = Predictions.from_parquet(out / "predictions-val.parquet")
    assert evaluate(predictions).to_json() == metrics.to_json()
    assert len(_history(out)) == 13
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((out / "tensorboard").iterdir())
    verify_manifest(out / "best")
    card = (out / "best" / "README.md").read_text()
    assert f"{metrics.mean_class_accuracy:.4f}" in card
    # The best epoch is the one with the highest validation mean class accuracy.
    rows = [dict(zip(_history(out)[0], row, strict=True)) for row in _history(out)[1:]]
    rates = [float(row["val_mean_class_accuracy"]) for row in rows]
    trained = json.loads((out / "best" / "config.json").read_text())["trained"]
    assert trained["epoch"] == int(rows[int(np.argmax(rates))]["epoch"])
    assert max(rates) == pytest.approx(metrics.mean_class_accuracy)
    # The bundle gives the run's own predictions.
    again = Tagger.load(out).predict(read_labels(photos).split("val"))
    np.testing.assert_allclose(again.logits, predictions.logits, atol=1e-5)


def test_two_runs_are_bit_identical(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(photos, tiny(), tmp_path / name)
    assert _history(tmp_path / "a") == _history(tmp_path / "b")
    sums = [json.loads((tmp_path / name / "best/manifest.json").read_text())["sha256"] for name in ("a", "b")]
    assert sums[0]["model.safetensors"] == sums[1]["model.safetensors"]


@pytest.mark.parametrize("stop_after", [1, 3, 4])
@pytest.mark.parametrize(
    "changes",
    [
        ["loss.attribute_weights=learned", "loss.deferred_from=2"],
        ["model.frozen=true", "features.cache=true", "features.views=2"],
    ],
)
def test_a_stopped_run_goes_on_to_the_same_bits(
    photos: Path, tiny: Tiny, tmp_path: Path, stop_after: int, changes: list[str]
) -> None:
    """Three steps an epoch: stopped in the first epoch, at the end of it, and in the second one."""
    recipe = tiny("train.epochs=3", *changes)
    train(photos, recipe, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        train(photos, recipe, tmp_path / "stopped", stop=_StopAt(stop_after))
    # Nothing that happens in between may matter.
    torch.manual_seed(99)
    ears = Ears()
    resume(tmp_path / "stopped", reporter=ears)
    assert any(line.startswith("going on from step-") for line in ears.lines)
    assert _history(tmp_path / "stopped") == _history(tmp_path / "undisturbed")
    mine, theirs = (load_tensors(tmp_path / name / "best/model.safetensors") for name in ("stopped", "undisturbed"))
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_finished_run_resumes_to_what_it_is(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    first = train(photos, tiny(), tmp_path / "run")
    before = (tmp_path / "run/history.csv").read_text()
    assert resume(tmp_path / "run") == first
    assert (tmp_path / "run/history.csv").read_text() == before


def test_resume_refuses_another_recipe_and_other_data(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(photos, tiny("train.epochs=1"), tmp_path / "run")
    with pytest.raises(UserError, match=r"train\.epochs is 2 here and 1 there"):
        resume(tmp_path / "run", recipe=tiny("train.epochs=2"))
    labels = (photos / "labels.csv").read_text().splitlines()
    other = tmp_path / "other.csv"
    other.write_text("\n".join(f"{photos}/{line}" if line[0].isdigit() else line for line in labels[:-1]))
    with pytest.raises(BundleError, match="its data is"):
        resume(tmp_path / "run", data=other)
    with pytest.raises(BundleError, match="not a run that can go on"):
        resume(tmp_path / "nothing")


def test_an_output_folder_in_use_is_left_alone(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="choose another --out"):
        train(photos, tiny(), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_the_cached_head_learns_what_the_uncached_one_learns(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    """With one view that cannot vary, both see the same inputs, but for the cache's rounding to float16."""
    plain = ("model.frozen=true", "augment.resize=null", "augment.horizontal_flip=0", "train.epochs=3")
    dropout = "model.query2label.dropout=0"
    train(photos, tiny(*plain, dropout), tmp_path / "uncached")
    train(photos, tiny(*plain, dropout, "features.cache=true"), tmp_path / "cached")
    losses = [[float(row[3]) for row in _history(tmp_path / name)[1:]] for name in ("uncached", "cached")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)


def test_accumulation_and_batch_parts_do_not_change_the_step(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    plain = ("model.query2label.dropout=0", "train.epochs=2")
    train(photos, tiny(*plain), tmp_path / "whole")
    train(photos, tiny(*plain, "train.accumulation=3"), tmp_path / "parts")
    losses = [[float(row[3]) for row in _history(tmp_path / name)[1:]] for name in ("whole", "parts")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_init_keeps_what_is_shared_when_a_class_is_added(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(photos, tiny("train.epochs=1"), tmp_path / "first")
    (tmp_path / "schema.yaml").write_text("hue: [blue, green, red, violet]\ntone: [dark, light]\n")
    change = f"data.schema_file={tmp_path / 'schema.yaml'}"
    ears = Ears()
    # A rate of almost nothing: what comes out is what was taken over.
    recipe = tiny("train.epochs=1", "train.learning_rate=1e-30", "train.weight_decay=0", change)
    train(photos, recipe, tmp_path / "second", init=tmp_path / "first", reporter=ears)
    assert any("new here: hue/violet" in line for line in ears.lines)
    table = read_labels(photos).split("val")
    before, after = (Tagger.load(tmp_path / name).predict(table).logits for name in ("first", "second"))
    np.testing.assert_allclose(after[:, [0, 1, 2, 4, 5]], before, atol=1e-5)


def test_a_schema_without_examples_of_a_class_is_said(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "schema.yaml").write_text("hue: [blue, green, red, violet]\ntone: [dark, light]\n")
    ears = Ears()
    recipe = tiny("train.epochs=1", f"data.schema_file={tmp_path / 'schema.yaml'}")
    train(photos, recipe, tmp_path / "run", reporter=ears)
    assert any("'train' has no example of hue/violet" in line for line in ears.lines)


def test_max_steps_ends_the_run_and_the_schedule(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    train(photos, tiny("train.max_steps=4", "train.epochs=9"), tmp_path / "run")
    rows = _history(tmp_path / "run")
    assert [row[:2] for row in rows[1:]] == [["1", "3"], ["2", "4"]]


def test_a_cache_without_a_frozen_backbone_is_refused(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.frozen=true"):
        train(photos, tiny("features.cache=true"), tmp_path / "run")
    with pytest.raises(RecipeError, match=r"augment\.resize"):
        train(photos, tiny("augment.resize=60"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_before_the_step(
    photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fit, "_gradient_norm", lambda self: float("nan"))
    with pytest.raises(DataError, match=r"\d\d\.png"):
        train(photos, tiny(), tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_missing_labels_and_splits_are_found_before_training(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    text = (photos / "labels.csv").read_text()
    (tmp_path / "no-val.csv").write_text(text.replace(",val", ",train"))
    with pytest.raises(DataError, match="no split 'val'"):
        train(tmp_path / "no-val.csv", tiny(f"data.image_root={photos}"), tmp_path / "run")
    lines = [line.replace(",dark,train", ",,train").replace(",light,train", ",,train") for line in text.splitlines()]
    (tmp_path / "no-tone.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="'tone' has no label in split 'train'"):
        train(tmp_path / "no-tone.csv", tiny(f"data.image_root={photos}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
