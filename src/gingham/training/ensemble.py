"""A recipe with members: one run each, and their probabilities averaged."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from gingham.data.formats import read_labels
from gingham.errors import BundleError
from gingham.evaluation.metrics import Metrics
from gingham.predictions import Predictions, log_mean_probability
from gingham.progress import Reporter
from gingham.training.checks import check_composition
from gingham.training.folder import Origin
from gingham.training.joint import check_count, joint_folder, pinned_recipe, write_joint
from gingham.training.recipe import Recipe
from gingham.training.run import PREDICTIONS

__all__ = ["train_members"]


def train_members(
    out: Path,
    recipe: Recipe,
    origin: Origin,
    finish: Callable[[Path, Recipe, Callable[[], None]], Metrics],
    *,
    before: Callable[[], None],
    reporter: Reporter,
) -> Metrics:
    """Train each member in `out/members/NAME`, or go on where that stopped, and make one model of them.

    Args:
        out: the folder of all of them.
        recipe: has members.
        origin: what they are started with.
        finish: trains one: its folder, its recipe, and what it calls before it begins.
        before: called before the first of them begins.
        reporter: hears of progress.

    Returns:
        The metrics of the averaged predictions on the validation split.

    Raises:
        UserError: a member's recipe, or the data, are wrong: of all members before the first one trains.
        MachineError, Stopped: as `train`.
    """
    check_count(len(recipe.members))
    for member in recipe.member_recipes().values():
        check_composition(member)
    recipe = pinned_recipe(recipe)
    folders = {name: out / "members" / name for name in recipe.member_recipes()}
    with joint_folder(out, recipe, origin, before) as start:
        for number, (name, member) in enumerate(recipe.member_recipes().items(), start=1):
            reporter.say(f"{out}: member {number} of {len(folders)}, {name}")
            finish(folders[name], member, start)
        start()
        predictions = _averaged([Predictions.from_parquet(folder / PREDICTIONS) for folder in folders.values()])
        table = read_labels(origin.data, recipe.data, reporter=reporter)
        return write_joint(
            out, list(folders.values()), predictions, PREDICTIONS, table=table, data=recipe.data, trained=None
        )


def _averaged(members: Sequence[Predictions]) -> Predictions:
    first = members[0]
    if any(member.ids != first.ids for member in members):
        raise BundleError("the members' predictions are of different images; train them anew in another --out")
    logits = log_mean_probability([member.logits for member in members], first.schema)
    return replace(first, logits=logits, source={**first.source, "model": "", "members": len(members)})
