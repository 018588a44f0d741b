"""A run's folder: how it begins, what it says of itself, and that it belongs to one job at a time."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

import gingham
from gingham.errors import BundleError, UserError
from gingham.storage import is_in_work, machine_errors, read_json, recover, write_json
from gingham.training.intake import Intake, Rules
from gingham.training.recipe import Recipe

__all__ = ["CHECKPOINTS", "Origin", "begin", "claim", "has_begun", "read_origin", "require_unused"]

CHECKPOINTS = "checkpoints"
_LOCK = ".lock"
_ORIGIN = "run.json"
_RECIPE = "recipe.yaml"


@dataclass(frozen=True)
class Origin:
    """What a run was started with, besides its recipe.

    Attributes:
        data: folder or table of labelled photos.
        init: bundle or run whose weights it started from.
        intake: which images were left out; None for runs from before that was asked.
        folds: of a folder with so many folds, each a run of its own; None = it is no such folder.
    """

    data: Path
    init: Path | None
    intake: Intake | None
    folds: int | None = None

    @property
    def rules(self) -> Rules | None:
        """By which images were left out, if that was asked."""
        return None if self.intake is None else self.intake.rules


def has_begun(out: Path) -> bool:
    """Whether there is a run in a folder, or several that become one model."""
    return (out / _RECIPE).is_file()


def require_unused(out: Path) -> None:
    """Check that a run may begin in a folder.

    Raises:
        UserError: it is no folder, or something is in it; but for what a run leaves that was killed as it began.
    """
    if not out.exists():
        return
    if has_begun(out):
        raise UserError(f"{out}: exists and is not an empty folder; go on with --resume, or choose another --out")
    if not out.is_dir() or any(path.name not in (_LOCK, _ORIGIN) and not is_in_work(path) for path in out.iterdir()):
        raise UserError(f"{out}: exists and is not an empty folder; choose another --out")


def begin(out: Path, recipe: Recipe, origin: Origin) -> None:
    """Write what a run needs to be resumed; the recipe last: with it the run has begun.

    Raises:
        MachineError: the disk is full or refuses.
    """
    plain = {
        "gingham": gingham.__version__,
        "data": str(origin.data),
        "init": None if origin.init is None else str(origin.init),
        "images": None if origin.intake is None else origin.intake.to_json(),
        **({} if origin.folds is None else {"folds": origin.folds}),
    }
    write_json(out / _ORIGIN, plain)
    recipe.write(out / _RECIPE)


def read_origin(out: Path) -> tuple[Path, Origin]:
    """The recipe's file and the origin of a run that has begun.

    Raises:
        BundleError: it has not, or its files are damaged.
    """
    if not (out / _RECIPE).is_file() or not (out / _ORIGIN).is_file():
        raise BundleError(f"{out}: not a run that can go on (no {_RECIPE}); leave --resume out to start one")
    plain = read_json(out / _ORIGIN)
    try:
        data, init, images = Path(plain["data"]), plain["init"], plain.get("images")
        intake = None if images is None else Intake.from_json(images)
        folds = None if plain.get("folds") is None else int(plain["folds"])
        return out / _RECIPE, Origin(data, None if init is None else Path(init), intake, folds)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BundleError(
            f"{out / _ORIGIN}: damaged: it must name 'data', 'init' and 'images'; start again with a new --out"
        ) from None


@contextlib.contextmanager
def claim(out: Path) -> Iterator[None]:
    """Be the only job that writes a run's folder, and put right what a killed one left in it.

    The lock goes when the process goes, however that ends.

    Raises:
        UserError: another job is at work in it.
        MachineError: the folder cannot be written.
    """
    with machine_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(f"{out}: another process is training here; wait for it, or end it first") from None
        except NotImplementedError:
            pass  # A file system without locks: then it is for the user to start one job only.
    try:
        for folder in (out, out / CHECKPOINTS):
            recover(folder)
        yield
    finally:
        lock.release(force=True)
