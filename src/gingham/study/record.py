"""What a study's folder says it is, so that it goes on as it began."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from gingham.errors import BundleError, UserError
from gingham.options import load_yaml
from gingham.storage import is_in_work, write_text
from gingham.study.plan import Plan
from gingham.training.checks import require_same_recipe
from gingham.training.intake import Rules
from gingham.training.joint import pinned_recipe, require_same_rules
from gingham.training.recipe import Recipe

__all__ = ["Record", "read_record", "require_goes_on", "write_record"]

_FILE = "study.yaml"


@dataclass(frozen=True)
class Record:
    """A study as it was when it was last called: data, the study file's own seeds, what is left out, and recipes."""

    data: str
    baseline: str
    folds: int
    seeds: tuple[int, ...]
    rules: Rules
    recipes: Mapping[str, Recipe]


def write_record(out: Path, data: Path, plan: Plan, rules: Rules, record: Record | None) -> Plan:
    """Write `study.yaml`, and return the plan as it stands there.

    What `model.weights: hub` stands for is settled once, so that all seeds and folds start from the same weights.

    Args:
        out: the study's folder.
        data: its data.
        plan: what shall be done.
        rules: which images are left out.
        record: what stood there before.

    Raises:
        RecipeError, WeightsError: there are no such weights on the Hub.
        MachineError: the disk refuses.
    """
    before = {} if record is None else record.recipes
    recipes = {run: before.get(run) or pinned_recipe(recipe) for run, recipe in plan.recipes.items()}
    plain = {
        "data": str(data.resolve()),
        "baseline": plan.baseline,
        "folds": plan.folds,
        "seeds": list(plan.file_seeds),
        "images": asdict(rules),
        "recipes": {run: recipe.model_dump(mode="json", by_alias=True) for run, recipe in recipes.items()},
    }
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    write_text(out / _FILE, f"# The whole {plan.source}, as resolved.\n{text}")
    return replace(plan, recipes=recipes)


def read_record(out: Path) -> Record | None:
    """What `study.yaml` says; None if the study has not begun.

    Raises:
        UserError: the folder holds something else.
        BundleError: the file is damaged.
    """
    file = out / _FILE
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(not _ours(path) for path in out.iterdir())):
            raise UserError(f"{out}: exists and is neither empty nor a study; choose another --out")
        return None
    plain = load_yaml(file, error=BundleError)
    try:
        recipes = {
            str(run): Recipe.parse(values, source=f"{file}, run '{run}'", error=BundleError)
            for run, values in plain["recipes"].items()
        }
        rules = Rules.from_json(plain["images"])
        seeds = tuple(int(seed) for seed in plain["seeds"])
        return Record(str(plain["data"]), str(plain["baseline"]), int(plain["folds"]), seeds, rules, recipes)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BundleError(f"{file}: damaged; start the study again with a new --out") from None


def _ours(path: Path) -> bool:
    """What is there before the record: the lock, and what a killed write left."""
    return path.name == ".lock" or is_in_work(path)


def require_goes_on(record: Record, out: Path, data: Path, plan: Plan, rules: Rules) -> None:
    """Check that a plan only adds runs and seeds to a study that has begun.

    Raises:
        UserError: it does not; says what differs.
    """
    way_out = "only runs and seeds may be added; put it back, or choose a new --out"
    if record.data != str(data.resolve()):
        raise UserError(f"{out}: began with --data {record.data}; give that, or choose a new --out")
    for what, then, now in (("baseline", record.baseline, plan.baseline), ("folds", record.folds, plan.folds)):
        if then != now:
            raise UserError(f"{out}: {what} is {now} now and was {then} when the study began: {way_out}")
    if gone := sorted(set(record.seeds) - set(plan.file_seeds)):
        raise UserError(f"{out}: seed {gone[0]} is no longer in {plan.source}: {way_out}")
    require_same_rules(out, record.rules, rules)
    for run, recipe in record.recipes.items():
        if run not in plan.recipes:
            raise UserError(f"{out}: run '{run}' is no longer in {plan.source}: {way_out}")
        try:
            require_same_recipe(out, recipe, plan.recipes[run])
        except UserError as failure:
            raise UserError(f"{plan.source}, run '{run}': {failure}; {way_out}") from None
