from pathlib import Path
from typing import Any

import pytest
import yaml

from gingham.errors import RecipeError
from gingham.options import field_names
from gingham.training.builtin import builtin_recipes, recipe_text
from gingham.training.recipe import Recipe, load_recipe


@pytest.mark.parametrize("name", ["clothing-cc0", "laptop", "laptop-report", "report", "wardrobe"])
def test_a_built_in_recipe_is_complete_and_commented(name: str) -> None:
    text = recipe_text(name)
    assert text.startswith("# ")
    assert sorted(_leaves(yaml.safe_load(text))) == sorted(field for field in field_names(Recipe)), (
        "each field stands in the file, so that a reader sees all there is"
    )


def _leaves(values: dict[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in values.items():
        names += _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return names


def test_the_list_names_every_file() -> None:
    assert set(builtin_recipes()) == {"clothing-cc0", "laptop", "laptop-report", "report", "wardrobe"}
    assert all(purpose.endswith(".") for purpose in builtin_recipes().values())


def test_the_report_recipe_is_the_report() -> None:
    """Section by section of the challenge report and what is known of it besides."""
    recipe = load_recipe("report")
    assert recipe.model.backbone.startswith("swin_large_patch4_window7_224")
    head = recipe.model.query2label
    assert (head.width, head.ffn, head.heads, head.encoder_layers, head.decoder_layers) == (768, 3072, 4, 1, 2)
    assert head.dropout == 0.3
    assert (recipe.loss.name, recipe.loss.class_weights, recipe.loss.label_smoothing) == ("cross_entropy", "inverse", 0)
    assert (recipe.augment.resize, recipe.augment.horizontal_flip) == (250, 0.5)
    assert (recipe.preprocess.size, recipe.preprocess.resize, recipe.preprocess.region) == (224, "squash", "image")
    train = recipe.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.betas) == (20, 64, 1e-4, (0.9, 0.999))
    assert (train.weight_decay, train.epsilon, train.schedule, train.warmup_steps) == (1e-3, 1e-8, "cosine", 0)
    assert (train.optimizer, train.clip_norm) == ("adamw", 1.0)


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(
        "laptop",
        [
            "train.learning_rate=1.234567890123e-5",
            "data.unlabelled=[Not sure, Skip]",
            "loss.class_weights={fabric: {leather: 3, 'no': 0.5}}",
            "loss.attribute_weights={fabric: 2.5}",
        ],
    )
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


def test_a_later_change_wins_and_values_are_yaml() -> None:
    changes = ["train.epochs=3", "train.epochs=4", "train.clip_norm=null", "train.betas=[0.8, 0.9]"]
    recipe = load_recipe("report", changes)
    assert recipe.train.epochs == 4
    assert recipe.train.clip_norm is None
    assert recipe.train.betas == (0.8, 0.9)
    assert load_recipe("report", ["loss.gamma=1", "loss.name=focal"]).loss.gamma == 1
    assert load_recipe("report", ["train.learning_rate=1e-3"]).train.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.epoch=3"], "unknown field 'train.epoch'; did you mean 'train.epochs'?"),
        (["train.epochs=zero"], "train.epochs"),
        (["train.epochs=0"], "train.epochs"),
        (["train.epochs"], "expected field=value"),
        (["trian.epochs=3"], "unknown field 'trian"),
        (["train.epochs.more=3"], "'epochs' is a field, not a block"),
        (["loss.name=cross_entropi"], "cross_entropy"),
        (["loss.gamma=1"], "--set loss.gamma=1: without effect unless loss.name is focal; set that too, or neither"),
        (["loss.alpha=1"], "unless loss.name is focal"),
        (["loss.tau=1"], "unless loss.name is balanced_softmax"),
        (["loss.margin=1"], "unless loss.name is ldam"),
        (["loss.q=1"], "unless loss.name is generalised_cross_entropy"),
        (["loss.beta=0"], "unless loss.class_weights is effective_number"),
        (["features.views=2"], "unless features.cache is true"),
        (["model.head=linear", "model.query2label.heads=2"], "unless model.head is query2label"),
        (["model.frozen=true", "model.batchnorm=eval"], "unless model.frozen is false"),
        (["preprocess.box_margin=0"], "unless preprocess.region is box"),
        (["augment.whole_image=0.5"], "unless preprocess.region is box"),
        (["test_time.whole_image=true"], "unless preprocess.region is box"),
        (["test_time.scales=[1, 1]"], "test_time.scales: name each scale once"),
        (["augment.crop_ratio=[1, 2]"], "unless augment.crop_area is set"),
        (["augment.erasing_area=[0.1, 0.2]"], "unless augment.erasing is more than 0"),
        (["train.weight_decay=0", "train.decayed=weights"], "unless train.weight_decay is more than 0"),
        (["train.ema=1"], "train.ema"),
        (["train.layer_decay=1.1"], "train.layer_decay"),
        (["model.stochastic_depth=1"], "model.stochastic_depth"),
        (["mix.mode=element"], "unless mix.mixup or mix.cutmix is more than 0"),
        (["mix.mixup=1", "mix.switch=0.2"], "unless mix.mixup and mix.cutmix are more than 0"),
        (["mix.mixup=-1"], "mix.mixup"),
        (["model.head=query2lable"], "model.head"),
    ],
)
def test_a_wrong_change_is_an_error_that_says_how(changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")) as caught:
        load_recipe("report", changes)
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'laptop'"):
        load_recipe("labtop")


def test_a_recipe_file_that_is_not_yaml_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train:\n  epochs: [3\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml:\d"):
        load_recipe(str(tmp_path / "mine.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(RecipeError, match="expected blocks of fields"):
        load_recipe(str(tmp_path / "list.yaml"))
