"""Recipes with members: what they may be, and that they become one model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gingham.data.formats import read_labels
from gingham.errors import RecipeError, UserError
from gingham.inference.bundle import open_bundle
from gingham.inference.tagger import Tagger
from gingham.options import Options
from gingham.predictions import Predictions, log_mean_probability
from gingham.training.interrupt import Stopped
from gingham.training.jobs import go_on, start
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import train
from tests.tiny import StopAt

Tiny = Callable[..., Recipe]

_MEMBERS = "members=[{name: vit}, {name: small, set: {model.backbone: test_resnet, train.seed: 3}}]"
_QUICK = ("train.epochs=2", "model.head=linear", _MEMBERS)


def _with(members: Any, *changes: str) -> Recipe:
    text = yaml.safe_dump(members, default_flow_style=True, width=10_000).strip()
    return load_recipe("report", [f"members={text}", *changes])


def test_each_member_is_the_whole_recipe_with_changes() -> None:
    recipe = _with([{"name": "a"}, {"name": "b", "set": {"model.head": "linear", "train.seed": 4}}], "train.epochs=7")
    a, b = recipe.member_recipes().values()
    assert a == recipe.model_copy(update={"members": ()})
    assert (b.model.head, b.train.seed, b.train.epochs, b.members) == ("linear", 4, 7, ())
    assert isinstance(b, Options)


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    recipe = _with([{"name": "a", "set": {"loss.class_weights": {"fabric": {"leather": 3}}, "train.clip_norm": None}}])
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([{"name": "a"}, {"name": "A"}], "each member needs a name of its own"),
        ([{"name": "a"}, {"name": "b"}], "member 'b': the same as 'a', which would count twice"),
        ([{"name": "../a"}], "members.0.name: a name has 1 to 64 letters"),
        ([{"name": ""}], "members.0.name"),
        ([{"name": "a", "set": {"train.epoch": 3}}], "member 'a': unknown field 'train.epoch'; did you mean"),
        ([{"name": "a", "set": {"train.epochs": 0}}], "member 'a': train.epochs: "),
        ([{"name": "a", "set": {"loss.gamma": 1}}], "member 'a', loss.gamma: without effect unless loss.name is focal"),
        ([{"name": "a", "set": {"mix.mode": "element"}}], "member 'a', mix.mode: without effect unless mix.mixup"),
        ([{"name": "a", "set": {"data.split_seed": 1}}], "all members of a run tag the same data"),
        ([{"name": "a", "set": {"members": []}}], "a member has no members"),
        ([{"name": "a", "set": {"train.epochs.x": 1}}], "member 'a', train.epochs.x: 'epochs' is a field"),
        ([{"name": "a", "sets": {}}], "unknown field 'members.0.sets'"),
        ([{"set": {}}], "members.0.name: Field required"),
        (["a"], "members.0: expected a block"),
    ],
)
def test_a_wrong_member_is_one_line_that_names_it(members: Any, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        _with(members)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_members_are_trained_one_by_one_and_averaged(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    recipe, out = tiny(*_QUICK), tmp_path / "run"
    metrics = start(photos, recipe, out)
    own = [Predictions.from_parquet(out / "members" / name / "predictions-val.parquet") for name in ("vit", "small")]
    joint = Predictions.from_parquet(out / "predictions-val.parquet")
    # Each is what the run would be that its recipe names.
    train(photos, recipe.member_recipes()["small"], tmp_path / "alone")
    alone = Predictions.from_parquet(tmp_path / "alone" / "predictions-val.parquet")
    np.testing.assert_array_equal(own[1].logits, alone.logits)
    expected = log_mean_probability([part.logits for part in own], joint.schema)
    np.testing.assert_array_equal(joint.logits, expected)
    assert json.loads((out / "metrics.json").read_text()) == metrics.to_json()
    assert f'<p class="value">{100 * (metrics.mean_class_accuracy or 0):.1f}<' in (out / "report.html").read_text()
    assert load_recipe(str(out / "recipe.yaml")) == recipe
    bundle = open_bundle(out)
    assert [member.model.backbone for member in bundle.members] == ["test_vit", "test_resnet"]
    again = Tagger.load(out).predict(read_labels(photos).split("val"))
    np.testing.assert_allclose(again.logits, joint.logits, atol=1e-5)


def test_a_stopped_one_goes_on_to_the_same(photos: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Stopped in the first member, and when it goes on, in the second."""
    recipe, out = tiny(*_QUICK, "train.epochs=1"), tmp_path / "run"
    undisturbed = start(photos, recipe, tmp_path / "undisturbed")
    with pytest.raises(Stopped):
        start(photos, recipe, out, stop=StopAt(2))
    assert not (out / "members" / "small").exists()
    with pytest.raises(Stopped):
        go_on(out, stop=StopAt(8))
    assert (out / "members" / "small").exists()
    assert go_on(out) == undisturbed
    assert go_on(out, recipe=recipe) == undisturbed
    with pytest.raises(UserError, match=r"train\.seed is 5 here"):
        go_on(out, recipe=tiny(*_QUICK, "train.epochs=1", "train.seed=5"))


def test_what_is_wrong_with_the_last_member_shows_before_the_first_trains(
    photos: Path, tiny: Tiny, tmp_path: Path
) -> None:
    wrong = "members=[{name: a}, {name: b, set: {features.cache: true}}]"
    with pytest.raises(UserError, match=r"model\.frozen=true"):
        start(photos, tiny(wrong), tmp_path / "run")
    with pytest.raises(UserError, match=r"members: a recipe with members is several runs"):
        train(photos, tiny(*_QUICK), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # What only its own start can find leaves nothing behind either.
    with pytest.raises(UserError, match="no such file"):
        start(photos, tiny("model.weights=/nowhere.safetensors", *_QUICK), tmp_path / "run")
    assert not (tmp_path / "run").exists()
