"""A run that is to be finished: begun, gone on with, or read."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.errors import UserError
from gingham.predictions import Predictions
from gingham.storage import write_manifest
from gingham.training import subrun
from gingham.training.intake import Rules
from gingham.training.interrupt import Stopped
from gingham.training.recipe import Recipe
from gingham.training.run import train
from gingham.training.subrun import finish_run
from tests import tiny as small
from tests.ears import Ears

Tiny = Callable[..., Recipe]

_QUICK = ("train.epochs=1", "model.head=linear")


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a complete run is only read")


def test_a_complete_run_is_read(photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, recipe = tmp_path / "run", tiny(*_QUICK)
    first = finish_run(out, photos, recipe)
    monkeypatch.setattr(subrun, "train", _never)
    monkeypatch.setattr(subrun, "resume", _never)
    ears = Ears()
    assert finish_run(out, photos, recipe, reporter=ears) == first
    assert finish_run(out, photos, recipe, from_features=True) == first
    assert ears.lines == [f"{out}: complete"]


def test_a_stopped_run_goes_on_to_what_it_would_have_been(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny(*_QUICK)
    undisturbed = train(photos, recipe, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        finish_run(tmp_path / "run", photos, recipe, stop=small.StopAtOnce())
    assert finish_run(tmp_path / "run", photos, recipe) == undisturbed


@pytest.mark.parametrize("damage", ["best/model.safetensors", "predictions-val.parquet", "metrics"])
def test_a_run_that_is_not_whole_is_measured_again(photos: Path, tiny: Tiny, tmp_path: Path, damage: str) -> None:
    out, recipe = tmp_path / "run", tiny(*_QUICK)
    first = finish_run(out, photos, recipe)
    if damage == "metrics":
        # As a run leaves it that is killed after its last epoch.
        config = json.loads((out / "best" / "config.json").read_text())
        config["trained"]["metrics"] = None
        (out / "best" / "config.json").write_text(json.dumps(config))
        write_manifest(out / "best")
    else:
        (out / damage).write_bytes(b"spoilt")
    ears = Ears()
    assert finish_run(out, photos, recipe, reporter=ears) == first
    assert any("measured again" in line for line in ears.lines)
    assert json.loads((out / "metrics.json").read_text()) == first.to_json()


def test_a_result_from_features_does_not_stand_for_one_from_images(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    out, recipe = tmp_path / "run", tiny(*_QUICK, "model.frozen=true", "features.cache=true")
    finish_run(out, photos, recipe, from_features=True)
    assert "computed_from" in Predictions.from_parquet(out / "predictions-val.parquet").source
    finish_run(out, photos, recipe)
    assert "computed_from" not in Predictions.from_parquet(out / "predictions-val.parquet").source


def test_what_differs_is_refused(photos: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, recipe = tmp_path / "run", tiny(*_QUICK)
    finish_run(out, photos, recipe)
    with pytest.raises(UserError, match=r"train\.seed is 1 here and 0 there"):
        finish_run(out, photos, tiny(*_QUICK, "train.seed=1"))
    with pytest.raises(UserError, match="it began with --leaks drop, not --leaks keep"):
        finish_run(out, photos, recipe, rules=Rules(leaks="keep"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        finish_run(tmp_path / "other", photos, recipe)
