"""What `gingham train` begins and goes on with: one run, a recipe's members, or folds."""

from pathlib import Path

from gingham.errors import UserError
from gingham.evaluation.metrics import Metrics
from gingham.progress import Reporter
from gingham.training.checks import require_same_recipe
from gingham.training.folder import read_origin, require_unused
from gingham.training.folds import train_folds
from gingham.training.intake import DEFAULT_RULES, Rules
from gingham.training.interrupt import Stop
from gingham.training.recipe import Recipe, load_recipe
from gingham.training.run import resume, train
from gingham.training.subrun import finish_run

__all__ = ["go_on", "start"]


def start(
    data: Path,
    recipe: Recipe,
    out: Path,
    *,
    folds: int | None = None,
    init: Path | None = None,
    rules: Rules = DEFAULT_RULES,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> Metrics:
    """Begin in a new folder: a run, or with `folds` or a recipe that has members, several. See `train`, `train_folds`.

    Raises:
        UserError, BundleError, MachineError, Stopped: as these.
    """
    if folds is not None and init is not None:
        raise UserError("--init: it may know the photos that each fold is measured on; leave --init or --folds out")
    require_unused(out)
    if folds is not None:
        return train_folds(data, recipe, out, folds, rules=rules, device=device, reporter=reporter, stop=stop)
    if recipe.members:
        return finish_run(out, data, recipe, init=init, rules=rules, device=device, reporter=reporter, stop=stop)
    return train(data, recipe, out, init=init, rules=rules, device=device, reporter=reporter, stop=stop)


def go_on(
    out: Path,
    *,
    data: Path | None = None,
    recipe: Recipe | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
    stop: Stop | None = None,
) -> Metrics:
    """Go on with what is in a folder: a run, a recipe's members, or folds. The arguments are those of `resume`.

    Raises:
        UserError, BundleError, MachineError, Stopped: as `resume`.
    """
    file, origin = read_origin(out)
    own = load_recipe(str(file))
    if origin.folds is None and not own.members:
        return resume(out, data=data, recipe=recipe, device=device, reporter=reporter, stop=stop)
    require_same_recipe(out, own, recipe)
    rules = origin.rules or DEFAULT_RULES
    data = data or origin.data
    if origin.folds is not None:
        return train_folds(data, own, out, origin.folds, rules=rules, device=device, reporter=reporter, stop=stop)
    return finish_run(out, data, own, init=origin.init, rules=rules, device=device, reporter=reporter, stop=stop)
