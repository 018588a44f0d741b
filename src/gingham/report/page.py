"""A report as one HTML file that opens from disk, needs nothing else, and is fit to be looked at, printed and heard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

import gingham
from gingham.data.decode import MAX_PIXELS
from gingham.evaluation.bootstrap import Comparison, Difference
from gingham.evaluation.curves import best_epoch
from gingham.report.axes import Axis, axis_over, share_axis
from gingham.report.charts import Series, histogram, line_chart, reliability_chart
from gingham.report.content import GOAL, AttributeContent, Certainty, Content, confusions
from gingham.report.gallery import Gallery, Shown
from gingham.report.heat import heat_uri
from gingham.report.templates import render
from gingham.report.thumbnails import Thumbnail, Thumbnails

__all__ = ["Photos", "photos_beneath", "render_page"]

_MOST_CELLS = 40
"""Confusion matrices of more classes than that cannot be read; the most frequent confusions are listed all the same."""

_MOST_ROWS = 120
"""Classes of one attribute that are listed."""

_CONFUSIONS = 8
_LIMIT, _LIMIT_BYTES = 96, 8_000_000


@dataclass(frozen=True)
class Photos:
    """What there is to be seen of the photos.

    Attributes:
        paths: id -> file; of those that are not in it nothing is shown.
        attention: id -> float32 `[K, h, w]`, what each attribute looks at, over the whole photo.
        max_pixels: larger images are not shown.
    """

    paths: Mapping[str, Path] = field(default_factory=dict)
    attention: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    max_pixels: int = MAX_PIXELS


def photos_beneath(folder: Path, ids: Iterable[str]) -> dict[str, Path]:
    """Those ids that are files in a folder, as paths from there.

    What ids say, strangers may have written: none of them leads out of the folder.
    """
    root = folder.resolve()
    places = {name: (root / name).resolve() for name in ids if "\0" not in name}
    return {name: place for name, place in places.items() if place.is_relative_to(root) and place.is_file()}


def render_page(content: Content, gallery: Gallery, photos: Photos) -> str:
    """The page's HTML; equal arguments and photos give equal text.

    Args:
        content: the numbers.
        gallery: which photos to show.
        photos: where they are.
    """
    thumbnail = _Tiles(content, photos)
    tiles = {name: [thumbnail(entry) for entry in getattr(gallery, name)] for name in ("wrong", "unsure", "sure")}
    seen = [tile for group in tiles.values() for tile in group]
    return render(
        "report.html",
        content=content,
        metrics=content.metrics,
        version=gingham.__version__,
        goal=GOAL,
        tiles=tiles,
        wrong_in_all=gallery.wrong_in_all,
        without_photos=not any(tile["picture"] for tile in seen),
        attended=any(tile["heat"] for tile in seen),
        training=_training(content.history),
        axis=_axis(content),
        attributes=[_attribute(attribute) for attribute in content.attributes],
        slices=_slices(content),
        comparison=_comparison(content.comparison),
        source=_source(content.source),
    )


class _Tiles:
    """Makes the tiles of photos."""

    def __init__(self, content: Content, photos: Photos) -> None:
        self._names = [attribute.name for attribute in content.attributes]
        self._attention = photos.attention
        self._thumbnails = Thumbnails(
            photos.paths, limit=_LIMIT, limit_bytes=_LIMIT_BYTES, max_pixels=photos.max_pixels
        )
        self._known = photos.paths.keys()

    def __call__(self, entry: Shown) -> dict[str, Any]:
        picture = self._thumbnails(entry.id) if entry.id in self._known else None
        return {
            "entry": entry,
            "attribute": self._names[entry.attribute],
            "picture": picture,
            "heat": self._heat(entry, picture),
            "wrong": entry.truth is not None and entry.truth != entry.tag,
        }

    def _heat(self, entry: Shown, picture: Thumbnail | None) -> str | None:
        if picture is None or entry.id not in self._attention:
            return None
        return heat_uri(self._attention[entry.id][entry.attribute], picture.width, picture.height)


def _training(history: Mapping[str, Sequence[float | None]] | None) -> list[tuple[str, Markup, str]]:
    """Charts of the learning curves: heading, chart, and what the best epoch had."""
    if history is None or not len(history["epoch"]):
        return []
    columns = {
        name: np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for name, values in history.items()
        if name != "seconds"
    }
    epochs, best = columns["epoch"], best_epoch(history)
    charts = []
    for measure, heading, percent in (("loss", "Loss", False), ("mean_class_accuracy", "Mean class accuracy", True)):
        lines = [
            Series(label, style, epochs.tolist(), columns[f"{split}_{measure}"].tolist())
            for split, label, style in (("train", "training", "train"), ("val", "validation", "val"))
        ]
        values = [value for line in lines for value in line.y]
        y = axis_over(heading, values, percent=percent)
        first, last = float(epochs.min()), float(epochs.max())
        x = Axis("epoch", first, last) if last > first else Axis("epoch", first - 1, first + 1)
        mark, said = None, "no epoch has a validation value"
        if best is not None:
            mark = float(epochs[best])
            value = float(columns[f"val_{measure}"][best])
            written = "no value" if np.isnan(value) else f"{value:.1%}" if percent else f"{value:.3f}"
            said = f"best epoch {mark:g}: validation {written}"
        label = f"{heading} of {len(epochs)} epochs, training and validation; {said}"
        charts.append((heading, line_chart(lines, x, y, label=label, mark=mark), said))
    return charts


def _axis(content: Content) -> Axis:
    """One that holds the intervals of all attributes and of them together."""
    shown = [content.metrics, *(attribute.metrics for attribute in content.attributes)]
    ends = [
        end
        for one in shown
        if one is not None and one.mean_class_accuracy is not None
        for end in (one.mean_class_accuracy, *(one.mean_class_accuracy_ci95 or ()))
    ]
    return axis_over("mean class accuracy", ends, percent=True)


def _attribute(attribute: AttributeContent) -> dict[str, Any]:
    shown = attribute.classes
    if len(shown) > _MOST_ROWS:
        shown = tuple(sorted(shown, key=lambda row: -max(row.n, row.tagged))[:_MOST_ROWS])
    most = max((max(row.n, row.tagged) for row in attribute.classes), default=0) or 1
    main = attribute.calibrated or attribute.certainty
    return {
        "content": attribute,
        "rows": shown,
        "more": len(attribute.classes) - len(shown),
        "most": most,
        "matrix": _matrix(attribute),
        "confusions": confusions(attribute, _CONFUSIONS),
        "certainty": main,
        "reliability": None if main is None else _reliability(attribute, main),
        "coverage": None if main is None else _coverage(attribute, main),
        "histogram": histogram(attribute.confidence, label=f"{attribute.name}: photos by confidence of their tag"),
    }


def _matrix(attribute: AttributeContent) -> list[tuple[str, int, list[tuple[int, float, bool]]]] | None:
    """Rows of the confusion matrix: label, examples, and of each cell the count, its share and whether it is right."""
    if attribute.confusion is None or len(attribute.classes) > _MOST_CELLS:
        return None
    rows = []
    for number, (row, counts) in enumerate(zip(attribute.classes, attribute.confusion.tolist(), strict=True)):
        total = sum(counts) or 1
        rows.append((row.label, row.n, [(count, count / total, tag == number) for tag, count in enumerate(counts)]))
    return rows


def _reliability(attribute: AttributeContent, main: Certainty) -> Markup:
    assert attribute.certainty is not None
    label = (
        f"{attribute.name}: accuracy against confidence in {len(main.reliability.counts)} bins of equally many photos; "
        f"expected calibration error {main.scores.ece.value:.1%}"
    )
    return reliability_chart(attribute.certainty, attribute.calibrated, label=label)


def _coverage(attribute: AttributeContent, main: Certainty) -> Markup:
    label = (
        f"{attribute.name}: accuracy of the most confident share of photos, from {main.accuracy[0]:.1%} of the surest "
        f"to {main.accuracy[-1]:.1%} of all; {main.covered:.1%} of the photos are right at {GOAL:.0%}"
    )
    y = axis_over("accuracy", [*main.accuracy.tolist(), GOAL, 1.0], percent=True)
    line = Series("accuracy", "main", main.coverage.tolist(), main.accuracy.tolist())
    goal = Series("goal", "goal", [0.0, 1.0], [GOAL, GOAL])
    return line_chart([goal, line], share_axis("share of photos, the surest first"), y, label=label, narrow=True)


def _slices(content: Content) -> list[dict[str, Any]]:
    """The parts by group, with a scale that holds all their intervals."""
    groups: dict[str, list[Any]] = {}
    for part in content.slices:
        groups.setdefault(part.group, []).append(part)
    ends = [
        end
        for part in content.slices
        for end in (part.mean_class_accuracy, *(part.mean_class_accuracy_ci95 or ()))
        if np.isfinite(end)
    ]
    axis = axis_over("mean class accuracy", ends, percent=True)
    return [{"name": name, "parts": parts, "axis": axis} for name, parts in groups.items()]


def _comparison(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    rows: list[tuple[str, str, Difference]] = [
        ("", "mean class accuracy", comparison.mean_class_accuracy),
        ("", "overall accuracy", comparison.overall_accuracy),
    ]
    rows += [(name, "", one.mean_class_accuracy) for name, one in comparison.per_attribute.items()]
    reach = max(
        (abs(end) for _, _, one in rows for end in (one.difference, *(one.ci95 or ())) if end is not None), default=0
    )
    return {"rows": rows, "reach": max(reach, 0.005), "all": comparison}


def _source(source: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the predictions say of themselves; wall-clock times are left out, so that equal runs have equal pages."""
    return [
        (name.replace("_", " "), str(value))
        for name, value in source.items()
        if value not in ("", None) and name != "seconds"
    ]
