"""An audit's report as one HTML file that opens from disk, needs nothing else, and is fit to be looked through."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePath
from typing import Any, TypeVar

import gingham
from gingham.audit.report import AttributeErrors, Report
from gingham.data.decode import MAX_PIXELS
from gingham.data.facts import ODDITIES
from gingham.data.table import SPLITS, LabelTable
from gingham.report.templates import render
from gingham.report.thumbnails import Thumbnails
from gingham.storage import write_text

__all__ = ["render_page", "write_page"]

_SHOWN = 48
"""Entries of a section; the JSON file has them all."""

_SHOWN_ODD = 16
"""Of each kind."""

_LIMIT, _LIMIT_BYTES = 700, 8_000_000
_RARE = 10
"""Classes with fewer training images are marked."""

T = TypeVar("T")


def write_page(report: Report, table: LabelTable, out: Path, *, max_pixels: int = MAX_PIXELS) -> None:
    """Write the page. Raises `MachineError` when the disk refuses."""
    write_text(out, render_page(report, table, max_pixels=max_pixels))


def render_page(report: Report, table: LabelTable, *, max_pixels: int = MAX_PIXELS) -> str:
    """The page's HTML.

    Args:
        report: what was found.
        table: where the images are.
        max_pixels: larger images are not shown.
    """
    paths = dict(zip(table.images, table.paths(), strict=True))
    thumbnail = Thumbnails(paths, limit=_LIMIT, limit_bytes=_LIMIT_BYTES, max_pixels=max_pixels)
    identical = [pair for pair in report.pairs if pair.kind == "identical"]
    return render(
        "audit.html",
        report=report,
        name=PurePath(report.data).name or report.data,
        version=gingham.__version__,
        counts=report.counts,
        thumbnail=thumbnail,
        sections=[
            ("across", "Across splits", report.straddling[:_SHOWN], len(report.straddling)),
            ("different", "Same picture, different labels", report.disagreeing[:_SHOWN], len(report.disagreeing)),
            ("identical", "Identical pictures", identical[:_SHOWN], len(identical)),
            ("near", "Near duplicates", report.near[:_SHOWN], len(report.near)),
        ],
        errors=_errors(report.label_errors),
        odd=_odd(report),
        odd_meanings=ODDITIES,
        shown=_SHOWN,
        splits=[split for split in SPLITS if split in report.splits],
        classes=[_bars(report, attribute) for attribute in report.classes],
        rare=_RARE,
    )


def _errors(errors: Mapping[str, AttributeErrors] | None) -> list[dict[str, Any]]:
    """The likely errors of each attribute, for the gallery."""
    return [
        {"attribute": name, "part": part, "shown": [error for error in part.candidates if error.likely][:_SHOWN]}
        for name, part in (errors or {}).items()
    ]


def _odd(report: Report) -> list[tuple[str, Sequence[Any], int]]:
    groups = [(kind, list(entries)) for kind, entries in groupby(report.odd, key=lambda entry: entry.kind)]
    return [(kind, entries[:_SHOWN_ODD], len(entries)) for kind, entries in groups]


def _bars(report: Report, attribute: str) -> dict[str, Any]:
    """One attribute's classes, each with its share of the most frequent one's training images."""
    classes = report.classes[attribute]
    most = max((counts.get("train", 0) for counts in classes.values()), default=0) or 1
    imbalance = report.imbalance(attribute)
    return {
        "name": attribute,
        "unlabelled": report.unlabelled[attribute],
        "imbalance": None if imbalance is None else f"{imbalance:.1f}",
        "rows": [
            {"label": label, "counts": counts, "width": f"{100 * counts.get('train', 0) / most:.1f}"}
            for label, counts in classes.items()
        ],
    }
