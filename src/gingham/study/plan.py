"""What a study file asks for: named recipes, each trained with several seeds on several folds."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from gingham.documents import parse_yaml
from gingham.errors import RecipeError, UserError
from gingham.options import Options, load_yaml
from gingham.training.builtin import study_text
from gingham.training.checks import check_composition
from gingham.training.folds import in_folds
from gingham.training.recipe import Recipe, load_recipe

__all__ = ["Plan", "StudyFile", "load_plan"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]{0,79}")
_OF_THE_STUDY = {"train.seed": "seeds", "data.folds": "folds", "data.fold": "folds"}
_START = "recipe"
"""What names, among the changes of a run, the recipe that it starts from."""

_UNFIT = re.compile(r"[^A-Za-z0-9_.+-]+")


class StudyFile(Options):
    """A study as it stands in its file.

    Attributes:
        recipe: built-in recipe, or recipe file (relative to the study file), that all runs start from.
        baseline: name of the run that the others are compared with.
        folds: into how many the labelled photos are dealt; each photo is predicted by the model that has not seen it.
        seeds: each run is trained with each of them.
        set: changes for all runs, `dotted.field: value`.
        runs: name -> further changes of one run; `recipe: NAME|FILE` among them starts it from another recipe.
        grid: `dotted.field: [values]`; one more run for each combination, named after its values.
    """

    recipe: str
    baseline: str
    folds: int = Field(default=5, ge=2)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    changes: dict[str, Any] = Field(default_factory=dict, alias="set")
    runs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """A study that can be conducted.

    Attributes:
        source: name or file, for messages.
        baseline: the run that the others are compared with.
        folds: number of folds.
        file_seeds: those that the file names.
        seeds: those to train with.
        recipes: run -> its recipe, but for seed and fold; the baseline first.
        changes: run -> how it differs from the study's recipe, beyond what all runs share.
    """

    source: str
    baseline: str
    folds: int
    file_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    recipes: Mapping[str, Recipe]
    changes: Mapping[str, Mapping[str, Any]]

    def recipe(self, run: str, seed: int, fold: int) -> Recipe:
        """The recipe of one training."""
        recipe = self.recipes[run]
        data = recipe.data.model_copy(update={"fold": fold})
        return recipe.model_copy(update={"data": data, "train": recipe.train.model_copy(update={"seed": seed})})


def load_plan(
    name_or_path: str,
    *,
    changes: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    folds: int | None = None,
) -> Plan:
    """Read a built-in study or a study file, and check each of its recipes.

    Args:
        name_or_path: a file if it exists or looks like a path, else the name of a built-in study.
        changes: `dotted.field=value` each, for all runs, on top of the file's `set`.
        seeds: in place of the file's.
        folds: in place of the file's.

    Raises:
        RecipeError: unknown study, field or value; a recipe that is refused; a name twice; no such baseline.
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml", ".json"} or path.is_file():
        values, folder = load_yaml(path, error=RecipeError), path.parent
    else:
        values, folder = parse_yaml(study_text(name_or_path)), Path()
    source = f"study {name_or_path}"
    if not isinstance(values, dict):
        raise RecipeError(f"{source}: expected fields (recipe, baseline, runs, ...), got {type(values).__name__}")
    file = StudyFile.parse(values, source=source)
    seeds = tuple(file.seeds if seeds is None else seeds)
    if len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise RecipeError(f"{source}: seeds: whole numbers from 0 on, each once, are needed; got {list(seeds)}")
    folds = folds or file.folds
    runs = _runs(file, source)
    shared = [*map(_as_change, file.changes.items()), *changes]
    recipes = {}
    for run, own in runs.items():
        fields = dict(own)
        recipe = _place(fields.pop(_START, file.recipe), folder)
        what = f"{source}, run '{run}'"
        recipes[run] = _recipe(what, recipe, [*shared, *map(_as_change, fields.items())], folds)
    return Plan(source, file.baseline, folds, file.seeds, seeds, recipes, runs)


def _runs(file: StudyFile, source: str) -> dict[str, dict[str, Any]]:
    """The runs and the points of the grid by name, the baseline first."""
    runs = dict(file.runs)
    for name, changes in _points(file.grid).items():
        if name in runs:
            raise RecipeError(f"{source}: two runs are called '{name}'; write them out under runs, by other names")
        runs[name] = changes
    if wrong := [name for name in runs if not _NAME.fullmatch(name)]:
        raise RecipeError(
            f"{source}: run '{wrong[0]}': a name becomes a folder: at most 80 letters, digits and _ . , = + -"
        )
    for name, changes in runs.items():
        for field in changes:
            if field.startswith("data."):
                raise RecipeError(f"{source}, run '{name}': {field}: all runs must see the same photos; use set")
    if file.baseline not in runs:
        raise RecipeError(f"{source}: baseline '{file.baseline}': no such run; there are {', '.join(runs) or 'none'}")
    return {file.baseline: runs.pop(file.baseline), **runs}


def _points(grid: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    if not grid:
        return {}
    short = {field: field.rpartition(".")[2] for field in grid}
    labels = {field: name if list(short.values()).count(name) == 1 else field for field, name in short.items()}
    points: dict[str, dict[str, Any]] = {}
    for values in itertools.product(*grid.values()):
        point = dict(zip(grid, values, strict=True))
        name = ",".join(f"{labels[field]}={_UNFIT.sub('-', _text(value)).strip('-')}" for field, value in point.items())
        if name in points:
            raise RecipeError(f"grid: two combinations would be called '{name}'; write them out under runs")
        points[name] = point
    return points


def _place(recipe: Any, folder: Path) -> str:
    """A built-in recipe's name as it is, a file's relative to the study file."""
    name = str(recipe)
    return str(folder / name) if Path(name).suffix in {".yaml", ".yml", ".json"} else name


def _recipe(what: str, recipe: str, changes: Sequence[str], folds: int) -> Recipe:
    for change in changes:
        field = change.partition("=")[0].strip()
        if field in _OF_THE_STUDY:
            raise RecipeError(f"{what}: {field}: the study sets it itself; use {_OF_THE_STUDY[field]}")
    try:
        made = in_folds(load_recipe(recipe, changes), folds)
        for one in made.member_recipes().values() if made.members else [made]:
            check_composition(one)
    except UserError as failure:
        raise RecipeError(f"{what}: {failure}") from None
    return made


def _as_change(item: tuple[str, Any]) -> str:
    field, value = item
    return f"{field}={_text(value)}"


def _text(value: Any) -> str:
    """A value as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
