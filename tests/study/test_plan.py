"""Study files: what they ask for, and what is refused before anything starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gingham.errors import RecipeError
from gingham.study.plan import load_plan
from gingham.training.builtin import builtin_studies
from gingham.training.folds import in_folds
from gingham.training.recipe import Recipe, load_recipe

Write = Callable[..., Path]


@pytest.mark.parametrize("name", builtin_studies())
def test_studies_that_come_along_are_valid(name: str) -> None:
    plan = load_plan(name)
    assert len(plan.recipes) >= 3
    assert len({recipe.to_yaml() for recipe in plan.recipes.values()}) == len(plan.recipes), "two runs are the same"
    if name != "unfrozen":  # which asks about another recipe
        report, baseline = in_folds(load_recipe("laptop-report"), plan.folds), plan.recipes[plan.baseline]
        changed = {block for block in Recipe.model_fields if getattr(baseline, block) != getattr(report, block)}
        assert changed <= {"model", "train"}, "the baseline has the report's loss, augmentation and preprocessing"


def test_the_reports_questions_come_along() -> None:
    wanted = {"loss", "augmentation", "head", "dropout", "schedule", "region", "backbone", "recipes", "unfrozen"}
    assert wanted <= set(builtin_studies())


def test_a_run_may_start_from_another_recipe(study_file: Write, tmp_path: Path) -> None:
    other = load_recipe("laptop", ["train.epochs=2"])
    other.write(tmp_path / "other.yaml")
    file = study_file(runs={"plain": {}, "other": {"recipe": "other.yaml", "loss.tau": 0.5}})
    plan = load_plan(str(file))
    # The study's own `set` comes on top of it, and then the run's changes.
    assert plan.recipes["other"].loss == other.loss.model_copy(update={"tau": 0.5})
    assert plan.recipes["other"].model.maps == other.model.maps
    assert plan.recipes["other"].train.epochs == 2


def test_each_training_has_its_seed_and_fold(study_file: Write) -> None:
    plan = load_plan(str(study_file()))
    assert list(plan.recipes) == ["plain", "focal"]
    assert (plan.folds, plan.seeds) == (2, (0, 1))
    recipe = plan.recipe("focal", 1, 0)
    assert (recipe.loss.name, recipe.train.seed, recipe.data.folds, recipe.data.fold) == ("focal", 1, 2, 0)
    assert recipe.train.epochs == 2
    assert plan.recipe("plain", 0, 1).loss.name == "cross_entropy"


def test_options_come_on_top(study_file: Write) -> None:
    plan = load_plan(str(study_file()), changes=["train.epochs=7"], seeds=[5, 6], folds=4)
    assert (plan.folds, plan.seeds, plan.file_seeds) == (4, (5, 6), (0, 1))
    assert {recipe.train.epochs for recipe in plan.recipes.values()} == {7}


def test_a_grid_is_the_product_of_its_values(study_file: Write) -> None:
    grid = {"loss.gamma": [1.0, 2.0], "loss.label_smoothing": [0.0, 0.1]}
    shared = load_plan(str(study_file())).recipes["focal"]
    file = study_file(runs={"plain": {}}, grid={"loss.name": ["focal"], **grid})
    plan = load_plan(str(file))
    assert list(plan.recipes) == [
        "plain",
        *(f"name=focal,gamma={gamma},label_smoothing={share}" for gamma in (1.0, 2.0) for share in (0.0, 0.1)),
    ]
    assert plan.recipes["name=focal,gamma=2.0,label_smoothing=0.0"] == shared


def test_equal_last_names_in_a_grid_are_told_apart(study_file: Write) -> None:
    grid = {"augment.resize": [70, 72], "preprocess.resize": ["squash"], "augment.crop_area": [None]}
    plan = load_plan(str(study_file(runs={"plain": {}}, grid=grid)))
    assert list(plan.recipes)[1] == "augment.resize=70,preprocess.resize=squash,crop_area=null"


def test_lists_and_text_become_names(study_file: Write) -> None:
    grid = {"augment.resize": [None], "augment.crop_area": [[0.5, 1.0]], "loss.class_weights": ["none", "inverse"]}
    plan = load_plan(str(study_file(runs={"plain": {}}, grid=grid)))
    assert list(plan.recipes)[2] == "resize=null,crop_area=0.5-1.0,class_weights=inverse"
    assert plan.recipes[list(plan.recipes)[1]].augment.crop_area == (0.5, 1.0)


def test_a_recipe_file_is_found_beside_the_study(study_file: Write, tmp_path: Path) -> None:
    load_recipe("report").write(tmp_path / "mine.yaml")
    assert load_plan(str(study_file(recipe="mine.yaml"))) is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "plan"}, "baseline 'plan': no such run; there are focal, plain"),
        ({"folds": 1}, "folds: .* greater than or equal to 2"),
        ({"seeds": []}, "seeds: .* at least 1"),
        ({"seeds": [1, 1]}, "each once"),
        ({"repeats": 3}, "unknown field 'repeats'"),
        ({"recipe": "laptp"}, "run 'plain': recipe 'laptp': no such built-in recipe; did you mean 'laptop'"),
        (
            {"runs": {"plain": {"loss.nam": "focal"}}},
            "run 'plain': .*unknown field 'loss.nam'; did you mean 'loss.name'",
        ),
        ({"runs": {"plain": {"loss.gamma": 1}}}, "run 'plain': .*without effect unless loss.name is focal"),
        ({"runs": {"plain": {"model.frozen": False}}}, "run 'plain': features.cache: only a frozen backbone"),
        ({"runs": {"plain": {"train.seed": 3}}}, "train.seed: the study sets it itself; use seeds"),
        ({"set": {"data.folds": 3}}, "data.folds: the study sets it itself; use folds"),
        ({"runs": {"plain": {"data.split_seed": 3}}}, "all runs must see the same photos; use set"),
        ({"runs": {"plain": {"train.choose": "best"}}}, "train.choose is best: .* set train.choose=last"),
        ({"runs": {"plain": {}, "a/b": {}}}, "run 'a/b': a name becomes a folder"),
        ({"runs": {"plain": {}, "epochs=1": {}}, "grid": {"train.epochs": [1]}}, "two runs are called 'epochs=1'"),
    ],
)
def test_what_is_wrong_is_said(study_file: Write, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"study .*tiny.yaml.*{message}"):
        load_plan(str(study_file(**changes)))


def test_unknown_studies(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="study 'los': no such built-in study; did you mean 'loss'"):
        load_plan("los")
    with pytest.raises(RecipeError, match="no such file"):
        load_plan(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(RecipeError, match="expected fields"):
        load_plan(str(tmp_path / "list.yaml"))


@pytest.mark.parametrize("name", ["augmentation", "backbone", "region"])
def test_screens_can_be_done_with_the_reports_head(name: str) -> None:
    """As the files of these studies say."""
    plan = load_plan(name, changes=["model.head=query2label", "train.epochs=8", "train.learning_rate=3e-4"])
    assert plan.recipes[plan.baseline] == in_folds(load_recipe("laptop-report"), plan.folds)
