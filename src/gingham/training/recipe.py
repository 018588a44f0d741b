"""A recipe: every choice of a training run, complete and typed, in one YAML file."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import field_validator

from gingham.data.augment import Augment
from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.documents import parse_yaml
from gingham.errors import RecipeError
from gingham.inference.features import FeatureOptions
from gingham.losses import LossOptions
from gingham.models.hub import is_hub
from gingham.models.options import ModelOptions
from gingham.options import Options, load_yaml
from gingham.storage import write_text
from gingham.training.builtin import recipe_text
from gingham.training.members import MemberOptions
from gingham.training.mix import MixOptions
from gingham.training.options import TrainOptions

__all__ = ["Recipe", "load_recipe", "looks_at_means"]


_IN_FORCE_WITH: Mapping[str, tuple[str, Any]] = {
    "preprocess.box_margin": ("preprocess.region", "box"),
    "augment.whole_image": ("preprocess.region", "box"),
    "test_time.whole_image": ("preprocess.region", "box"),
    "model.unfrozen_stages": ("model.frozen", True),
    "model.query2label": ("model.head", "query2label"),
    "model.attention_pool": ("model.head", "attention_pool"),
    "model.linear": ("model.head", "linear"),
    "features.runtime": ("features.cache", True),
    "features.views": ("features.cache", True),
    "features.view_seed": ("features.cache", True),
    "features.limit_gb": ("features.cache", True),
    "loss.gamma": ("loss.name", "focal"),
    "loss.alpha": ("loss.name", "focal"),
    "loss.tau": ("loss.name", "balanced_softmax"),
    "loss.margin": ("loss.name", "ldam"),
    "loss.q": ("loss.name", "generalised_cross_entropy"),
    "loss.beta": ("loss.class_weights", "effective_number"),
}
"""Field or block -> the field that must have this value for it to matter. In a file, which is complete, it may stand
idle; somebody who sets it expects an effect."""

_MIXES = "mix.mixup or mix.cutmix is more than 0"


AUTOMATIC = (("train", "precision"), ("features", "runtime"))
"""Block and field of what may be `auto`; see `training.auto`."""


class Recipe(Options):
    """All blocks of a recipe; each is defined beside the code that it configures."""

    data: DataOptions = DataOptions()
    preprocess: Preprocess = Preprocess()
    test_time: TestTime = TestTime()
    augment: Augment = Augment()
    mix: MixOptions = MixOptions()
    model: ModelOptions = ModelOptions()
    features: FeatureOptions = FeatureOptions()
    loss: LossOptions = LossOptions()
    train: TrainOptions = TrainOptions()
    members: tuple[MemberOptions, ...] = ()

    @field_validator("members")
    @classmethod
    def _different(cls, members: tuple[MemberOptions, ...]) -> tuple[MemberOptions, ...]:
        # Folders of two names may be one where the file system does not tell capitals.
        if len({member.name.casefold() for member in members}) < len(members):
            raise ValueError("each member needs a name of its own, different in more than capital letters")
        return members

    def member_recipes(self, source: str = "recipe") -> dict[str, "Recipe"]:
        """Name -> the complete recipe of each member, in order.

        Raises:
            RecipeError: a change is wrong or has no effect; names the member and the field.
        """
        base = {**self.model_dump(mode="json", by_alias=True), "members": []}
        recipes = {}
        for member in self.members:
            said, values = f"{source}, member '{member.name}'", base
            for field, value in member.changes.items():
                values = _with(values, field.strip().split("."), value, f"{said}, {field}")
            recipes[member.name] = Recipe.parse(values, source=said)
            for field in member.changes:
                _check_in_force(recipes[member.name], field.strip(), f"{said}, {field}")
            twin = next(name for name, recipe in recipes.items() if recipe == recipes[member.name])
            if twin != member.name:
                raise RecipeError(f"{said}: the same as '{twin}', which would count twice; change it or leave it out")
        return recipes

    def to_yaml(self) -> str:
        """All fields with their values, in the order of the classes; `load_recipe` reads it back to an equal recipe."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)

    def with_weights(self, weights: str) -> "Recipe":
        """The same, with other `model.weights`."""
        return self.model_copy(update={"model": self.model.model_copy(update={"weights": weights})})

    def with_choices_of(self, other: "Recipe") -> "Recipe":
        """The same, with what another recipe has where this one leaves it to the machine (`hub`, `auto`)."""
        recipe = self
        if recipe.model.weights == "hub" and is_hub(other.model.weights):
            recipe = recipe.with_weights(other.model.weights)
        changes = {
            block: getattr(recipe, block).model_copy(update={field: getattr(getattr(other, block), field)})
            for block, field in AUTOMATIC
            if getattr(getattr(recipe, block), field) == "auto"
        }
        return recipe.model_copy(update=changes)

    def write(self, path: Path) -> None:
        """Write the resolved recipe of a run. Raises `MachineError` when the disk refuses."""
        write_text(path, "# The complete recipe of this run, as resolved.\n" + self.to_yaml())


_IN_FORCE_IF: Mapping[str, tuple[str, Callable[[Recipe], bool]]] = {
    "data.fold": ("data.folds is set", lambda recipe: recipe.data.folds is not None),
    "model.batchnorm": (
        "model.frozen is false or model.unfrozen_stages is more than 0",
        lambda recipe: not recipe.model.frozen or recipe.model.unfrozen_stages > 0,
    ),
    "augment.crop_ratio": ("augment.crop_area is set", lambda recipe: recipe.augment.crop_area is not None),
    "augment.erasing_area": ("augment.erasing is more than 0", lambda recipe: recipe.augment.erasing > 0),
    "augment.erasing_ratio": ("augment.erasing is more than 0", lambda recipe: recipe.augment.erasing > 0),
    "mix.switch": (
        "mix.mixup and mix.cutmix are more than 0",
        lambda recipe: min(recipe.mix.mixup, recipe.mix.cutmix) > 0,
    ),
    "mix.probability": (_MIXES, lambda recipe: recipe.mix.used),
    "mix.mode": (_MIXES, lambda recipe: recipe.mix.used),
    "mix.level": (_MIXES, lambda recipe: recipe.mix.used),
    "train.decayed": ("train.weight_decay is more than 0", lambda recipe: recipe.train.weight_decay > 0),
    "train.patience": (
        "train.epochs is at least two more",
        lambda recipe: recipe.train.patience is None or recipe.train.patience + 2 <= recipe.train.epochs,
    ),
}
"""Likewise, field -> what else must be so, in words and as a test."""


def looks_at_means(recipe: Recipe) -> bool:
    """Whether the trained part of the network sees nothing of an image but the mean of its cached tokens.

    So does a linear head that is trained alone. MixUp of tokens is MixUp of their means; CutMix is not.
    """
    model = recipe.model
    alone = recipe.features.cache and model.frozen and not model.unfrozen_stages
    return alone and model.head == "linear" and recipe.mix.cutmix == 0


def load_recipe(name_or_path: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a built-in recipe or a file, and apply changes.

    Args:
        name_or_path: a file if it exists or looks like a path, else the name of a built-in recipe.
        changes: `dotted.field=value` each, the value in YAML; later ones win.

    Raises:
        RecipeError: unknown recipe, field or value, with a suggestion; or a change that has no effect.
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml", ".json"} or path.is_file():
        values = load_yaml(path, error=RecipeError)
    else:
        values = yaml.safe_load(recipe_text(name_or_path))
    if not isinstance(values, dict):
        raise RecipeError(
            f"{name_or_path}: expected blocks of fields (data, model, train, ...), got {type(values).__name__}"
        )
    for change in changes:
        values = _changed(values, change)
    source = f"recipe {name_or_path}" + " with --set" * bool(changes)
    recipe = Recipe.parse(values, source=source)
    for change in changes:
        _check_in_force(recipe, change.partition("=")[0].strip(), f"--set {change}")
    recipe.member_recipes(source)
    return recipe


def _check_in_force(recipe: Recipe, field: str, said: str) -> None:
    for name, (other, needed) in _IN_FORCE_WITH.items():
        block, _, leaf = other.partition(".")
        value = getattr(getattr(recipe, block), leaf)
        if (field == name or field.startswith(f"{name}.")) and value != needed:
            needs = yaml.safe_dump(needed).split()[0]
            raise RecipeError(f"{said}: without effect unless {other} is {needs}; set that too, or neither")
    condition = _IN_FORCE_IF.get(field)
    if condition is not None and not condition[1](recipe):
        raise RecipeError(f"{said}: without effect unless {condition[0]}; set that too, or neither")


def _changed(values: Mapping[str, Any], change: str) -> dict[str, Any]:
    name, separator, text = change.partition("=")
    if not separator:
        raise RecipeError(f"--set {change}: expected field=value, as in --set train.epochs=3")
    try:
        value = parse_yaml(text)
    except (yaml.YAMLError, ValueError):
        raise RecipeError(f"--set {change}: the value is not valid YAML; quote it") from None
    return _with(values, name.strip().split("."), value, f"--set {change}")


def _with(values: Mapping[str, Any], keys: Sequence[str], value: Any, said: str) -> dict[str, Any]:
    first, *rest = keys
    if not rest:
        return {**values, first: value}
    inner = values.get(first)
    if inner is not None and not isinstance(inner, dict):
        raise RecipeError(f"{said}: '{first}' is a field, not a block")
    return {**values, first: _with(inner or {}, rest, value, said)}
