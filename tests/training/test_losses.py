"""Losses as runs use them: what is refused, what is learned, saved and shared between processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gingham.errors import RecipeError, UserError
from gingham.schema import AttributeSchema
from gingham.tensors import load_tensors
from gingham.training import run
from gingham.training.checks import check_composition, check_loss
from gingham.training.recipe import Recipe
from tests.ears import Ears

Build = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["loss.deferred_from=2", "loss.class_weights=none"],
            r"loss\.deferred_from: there are no class weights to defer",
        ),
        (["loss.deferred_from=3"], r"loss\.deferred_from: epoch 3 never comes, as train\.epochs is 2"),
    ],
)
def test_deferring_what_never_comes_is_refused(tiny: Build, changes: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_composition(tiny(*changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss.class_weights={hu: {red: 3}}", "unknown attribute 'hu'; did you mean 'hue'"),
        ("loss.class_weights={hue: {rod: 3}}", "unknown class 'rod'; did you mean 'red'"),
        ("loss.attribute_weights={tune: 3}", "unknown attribute 'tune'; did you mean 'tone'"),
    ],
)
def test_weights_of_what_is_not_there_are_refused_before_the_run(
    photos: Path, tiny: Build, tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        run.train(photos, tiny(change), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_making_up_for_rare_classes_twice_is_said(tiny: Build) -> None:
    schema, ears = AttributeSchema.of({"hue": ["red", "blue"]}), Ears()
    for changes in (["loss.class_weights=none"], ["loss.tau=0"], ["loss.class_weights={hue: {red: 2}}"]):
        check_loss(tiny("loss.name=balanced_softmax", *changes).loss, schema, ears)
    check_loss(tiny().loss, schema, ears)
    assert ears.lines == []
    check_loss(tiny("loss.name=balanced_softmax").loss, schema, ears)
    assert ["makes up for rare classes" in line for line in ears.lines] == [True]


def test_learned_weights_are_learned_and_saved_with_the_rest(photos: Path, tiny: Build, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run.train(photos, tiny("loss.attribute_weights=learned", "train.learning_rate=1e-3"), out, device="cpu")
    newest = sorted((out / "checkpoints").iterdir())[-1]
    weights, optimizer = (load_tensors(newest / f"{name}.safetensors") for name in ("weights", "optimizer"))
    learned = weights["loss.log_variances"]
    assert learned.shape == (2,)
    assert (learned.abs() > 0.01).all(), "they move within a few steps"
    assert "loss.log_variances:exp_avg" in optimizer
    assert not any(name.startswith("loss") for name in load_tensors(out / "best" / "model.safetensors"))
