"""Which images a run may use: those that can be read, and of photos that also judge the result no training copies."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gingham.data.decode import MAX_PIXELS
from gingham.data.facts import ImageFacts
from gingham.data.survey import survey
from gingham.data.table import LabelTable
from gingham.errors import BundleError, DataError, ImageError
from gingham.progress import Reporter

__all__ = ["DEFAULT_RULES", "LEAKS", "Intake", "Leaks", "Rules", "take_in"]

Leaks = Literal["drop", "keep", "error"]

LEAKS: tuple[Leaks, ...] = get_args(Leaks)
"""What may become of training copies of photos in `val` or `test`."""

_SHOWN = 20


@dataclass(frozen=True)
class Rules:
    """What is let into a run.

    Attributes:
        leaks: of training images whose pixels are those of a validation or test image: `drop` leaves the training copy
            out, `keep` keeps it, `error` refuses to train.
        skip_unreadable: the largest share of the training and validation images that may be left out as unreadable,
            0..1; None = none, a single one is an error.
    """

    leaks: Leaks = "drop"
    skip_unreadable: float | None = None

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Rules":
        """From plain values. Raises `KeyError`, `TypeError` or `ValueError` for what is none."""
        if plain["leaks"] not in LEAKS:
            raise ValueError(plain["leaks"])
        return cls(plain["leaks"], None if plain["skip_unreadable"] is None else float(plain["skip_unreadable"]))


DEFAULT_RULES = Rules()


@dataclass(frozen=True)
class Intake:
    """What was found and left out.

    Attributes:
        rules: by which.
        unreadable: image -> reason, of `train` and `val`, in order; left out.
        copies: training image -> the validation or test image with the same pixels, in order; left out unless
            `rules.leaks` is `keep`.
    """

    rules: Rules
    unreadable: Mapping[str, str]
    copies: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `run.json`."""
        return {
            **asdict(self.rules),
            "copies": dict(self.copies),
            "unreadable": dict(self.unreadable),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Intake":
        """What `to_json` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        return cls(Rules.from_json(plain), dict(plain["unreadable"]), dict(plain["copies"]))

    def require_same(self, recorded: "Intake", out: Path) -> None:
        """Check that a run that goes on uses the images that it began with.

        Raises:
            BundleError: an image has become unreadable or readable, or another photo, since.
        """
        for what, now, then in (
            ("unreadable images", self.unreadable, recorded.unreadable),
            ("copies in the validation or test split", self.copies, recorded.copies),
        ):
            if changed := sorted(now.keys() ^ then.keys()):
                raise BundleError(
                    f"{out}: cannot go on: there were {len(then)} {what} when it began, now there are {len(now)} "
                    f"({_listed(changed)} changed); put the images back as they were, or start a new --out"
                )

    def facts(self) -> dict[str, Any]:
        """One entry for each thing that a reader of the model card should know; none where there was nothing."""
        what = "kept" if self.rules.leaks == "keep" else "left out"
        found = {
            f"training_copies_of_validation_or_test_photos_{what.replace(' ', '_')}": len(self.copies),
            "unreadable_images_left_out": len(self.unreadable),
        }
        return {name: count for name, count in found.items() if count}


def take_in(
    table: LabelTable, rules: Rules, *, workers: int, max_pixels: int = MAX_PIXELS, reporter: Reporter
) -> tuple[LabelTable, Intake]:
    """Look at all images before training begins, and leave out what the rules say.

    Photos are the same if they decode to the same pixels, whatever their files are. The test split is looked at too, as
    a model that knew its photos would be flattered by it; its unreadable images concern no training and only get a
    warning. The same files and rules always give the same result.

    Args:
        table: all splits.
        rules: see `Rules`.
        workers: decoding threads.
        max_pixels: larger images count as unreadable.
        reporter: hears what is found.

    Returns:
        The table without what is left out, and the record of that.

    Raises:
        DataError: unreadable images that may not be skipped, or more than may be; or copies, if they are an error.
        MachineError: the cache folder cannot be written.
    """
    found = survey(table.paths(), workers=workers, max_pixels=max_pixels, reporter=reporter)
    failures = {row: entry for row, entry in enumerate(found) if isinstance(entry, ImageError)}
    unreadable = {row: failure for row, failure in failures.items() if table.splits[row] != "test"}
    if unreadable:
        _check_unreadable(table, unreadable, rules, reporter)
    if len(failures) > len(unreadable):
        reporter.warn(
            f"split 'test': {len(failures) - len(unreadable)} images cannot be read; gingham audit lists them"
        )
    copies = _training_copies(table, found)
    if copies:
        _check_copies(table, copies, rules, reporter)
    out = set(unreadable) | (set() if rules.leaks == "keep" else set(copies))
    intake = Intake(
        rules,
        {table.images[row]: failure.reason for row, failure in unreadable.items()},
        {table.images[row]: table.images[twin] for row, twin in copies.items()},
    )
    return table.take([row for row in range(len(table)) if row not in out]) if out else table, intake


def _check_unreadable(
    table: LabelTable, unreadable: Mapping[int, ImageError], rules: Rules, reporter: Reporter
) -> None:
    used = sum(split != "test" for split in table.splits)
    named = _listed([f"{table.images[row]} ({failure.reason})" for row, failure in unreadable.items()])
    text = f"{len(unreadable)} of {used} training and validation images cannot be read"
    if rules.skip_unreadable is None:
        raise DataError(f"{table.source}: {text}: {named}; put them right, or leave them out with --skip-unreadable")
    if len(unreadable) > rules.skip_unreadable * used:
        raise DataError(
            f"{table.source}: {text}, more than the {rules.skip_unreadable:.4g} of them that --skip-unreadable allows: "
            f"{named}; put them right, or allow more"
        )
    reporter.warn(f"{text} and are left out: {named}")


def _training_copies(table: LabelTable, found: Sequence[ImageFacts | ImageError]) -> dict[int, int]:
    """Training row -> the first validation row, else test row, with the same pixels."""
    held_out: dict[str, int] = {}
    for split in ("val", "test"):
        for row, entry in enumerate(found):
            if table.splits[row] == split and isinstance(entry, ImageFacts):
                held_out.setdefault(entry.pixels, row)
    return {
        row: held_out[entry.pixels]
        for row, entry in enumerate(found)
        if table.splits[row] == "train" and isinstance(entry, ImageFacts) and entry.pixels in held_out
    }


def _check_copies(table: LabelTable, copies: Mapping[int, int], rules: Rules, reporter: Reporter) -> None:
    pairs = [f"{table.images[row]} = {table.images[twin]} ({table.splits[twin]})" for row, twin in copies.items()]
    text = f"{len(copies)} training images are also in the validation or test split"
    if rules.leaks == "error":
        raise DataError(f"{table.source}: {text}: {_listed(pairs)}; remove one of each, or set --leaks drop")
    fate = "the training copies are left out" if rules.leaks == "drop" else "they are kept, and flatter the result"
    reporter.warn(f"{text}; {fate}: {_listed(pairs)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
