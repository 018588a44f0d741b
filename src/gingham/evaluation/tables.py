"""Metrics and comparisons as tables for a terminal of 80 columns, or a pipe."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gingham.evaluation.agreement import Agreement
from gingham.evaluation.bootstrap import Comparison, Difference, Interval
from gingham.evaluation.faithfulness import Summary
from gingham.evaluation.metrics import Metrics
from gingham.evaluation.reliability import Score

if TYPE_CHECKING:
    # Tables of metrics need no SciPy.
    from gingham.evaluation.calibration import Measured
    from gingham.evaluation.decisions import Decisions, Group

__all__ = [
    "agreement_table",
    "calibration_table",
    "comparison_table",
    "decisions_table",
    "faithfulness_table",
    "headline",
    "kept_table",
    "metrics_table",
    "needed_lines",
]

_NONE = "-"
_CURVES = ("deletion", "insertion")


def headline(metrics: Metrics) -> str:
    """One line: mean class accuracy in percent, its 95% interval if there is one, and the number of images."""
    value = f"mean class accuracy {_percent(metrics.mean_class_accuracy)}"
    return f"{value}{_interval(metrics.mean_class_accuracy_ci95)} on {_count(metrics.n, 'image')}"


def metrics_table(metrics: Metrics) -> Lines:
    """Everything that `gingham evaluate` prints, ready for a `rich.console.Console`.

    The headline, the other overall numbers, one table of attributes, one of classes, and a line each that names the
    classes with few examples and with none.
    """
    lines = []
    if metrics.absent:
        value = _percent(metrics.mean_class_accuracy_challenge)
        lines.append(f"challenge formula {value} (classes without examples count as 0)")
    if metrics.rare:
        value = _percent(metrics.mean_class_accuracy_frequent) + _interval(metrics.mean_class_accuracy_frequent_ci95)
        lines.append(f"without classes of fewer than {metrics.min_count} examples {value}")
    lines.append(f"overall accuracy {_percent(metrics.overall_accuracy)}{_interval(metrics.overall_accuracy_ci95)}")
    lines.append(f"macro F1 {_percent(metrics.macro_f1)}")
    if metrics.bootstrap:
        lines.append(f"in brackets: 95% bootstrap intervals over images, {metrics.bootstrap} resamples")
    notes = []
    if metrics.rare:
        notes.append(f"fewer than {metrics.min_count} examples: {', '.join(metrics.rare)}")
    if metrics.absent:
        notes.append(f"no examples, left out of the mean: {', '.join(metrics.absent)}")
    parts: list[RenderableType] = [Text(headline(metrics), style="bold")]
    parts += [Text(line, overflow="fold") for line in lines]
    parts += [_attributes(metrics), _classes(metrics)]
    parts += [Text(note, overflow="fold") for note in notes]
    return Lines(*parts)


def comparison_table(comparison: Comparison) -> Lines:
    """The second system against the first: overall and per attribute (mean class accuracy), in points of percent.

    The second table counts the labelled images of each attribute that only one of the two has right.
    """
    table = _table("measure", values=("first", "second", "difference", "95% interval", "p"))
    _difference_row(table, "mean class accuracy", comparison.mean_class_accuracy)
    _difference_row(table, "overall accuracy", comparison.overall_accuracy)
    for name, attribute in comparison.per_attribute.items():
        _difference_row(table, name, attribute.mean_class_accuracy)
    counts = _table("attribute", values=("labelled", "only first right", "only second right", "McNemar p"))
    for name, attribute in comparison.per_attribute.items():
        p_value = _p_value(attribute.mcnemar_p_value if attribute.n else None)
        counts.add_row(Text(name), str(attribute.n), str(attribute.only_a_right), str(attribute.only_b_right), p_value)
    return Lines(Text(_verdict(comparison), style="bold"), table, counts)


def calibration_table(measured: "Mapping[str, Measured]") -> Lines:
    """Scores before and after calibration, by attribute, with their intervals."""
    errors = _table("attribute", values=("ECE before", "ECE after", "by chance", "n"))
    losses = _table("attribute", values=("NLL before", "NLL after", "Brier before", "Brier after"))
    for name, one in measured.items():
        chance = f"{one.after.ece_by_chance:.3f}"
        errors.add_row(Text(name), _score(one.before.ece), _score(one.after.ece), chance, str(one.after.n))
        brier = f"{one.before.brier.value:.3f}", f"{one.after.brier.value:.3f}"
        losses.add_row(Text(name), _score(one.before.nll), _score(one.after.nll), *brier)
    note = "ECE: of the tag, 15 bins of equal mass; by chance: of a perfectly calibrated tagger on as many photos"
    return Lines(errors, losses, Text(note, overflow="fold"))


def agreement_table(found: Agreement) -> Lines:
    """Which share of tags stays, by attribute and in all; then how far numbers moved, and the accuracy."""
    table = _table("attribute", values=("tags that stay",))
    for name, share in found.per_attribute.items():
        table.add_row(Text(name), f"{share:.2%}")
    table.add_row("all", f"{found.tags:.2%}", style="bold")
    lines = [
        f"checked on {_count(found.n, 'photo')}: largest difference of a logit {found.logit_difference:.2g} (their "
        f"standard deviation is {found.logit_deviation:.2g}), of a probability {found.probability_difference:.2g}"
    ]
    if found.accuracy_before is not None and found.accuracy_after is not None:
        lines.append(f"mean class accuracy {found.accuracy_before:.4f} before, {found.accuracy_after:.4f} after")
    return Lines(table, *(Text(line, overflow="fold") for line in lines))


def decisions_table(decisions: "Decisions") -> Lines:
    """The thresholds of one promise, and what they accept of the tested photos."""
    kept = "all attributes at once" if decisions.joint else "each attribute"
    table = _table("attribute", "classes", values=("accepted from", "accepted", "of tested", "right"))
    for name, groups in decisions.groups.items():
        for position, group in enumerate(groups):
            share = f"{group.accepted / group.photos:.1%}" if group.photos else _NONE
            right = f"{group.right} of {group.accepted}" if group.accepted else _NONE
            table.add_row(
                Text(name if position == 0 else ""),
                Text("all" if len(groups) == 1 else ", ".join(group.classes)),
                _NONE if group.threshold is None else f"{group.threshold:.4f}",
                share,
                str(group.photos),
                right,
            )
    promise = f"accepted tags right at least {decisions.precision:g} of the time, with {decisions.level:.0%} confidence"
    return Lines(Text(f"{promise} for {kept}", style="bold"), table, *(Text(line) for line in needed_lines(decisions)))


def kept_table(decisions: "Decisions", counts: Mapping[str, tuple[int, int, int]]) -> Lines:
    """What became of a promise on labelled photos: see `kept`."""
    table = _table("attribute", values=("labelled", "accepted", "right", "share right"))
    for name, (labelled, accepted, right) in counts.items():
        share = f"{accepted / labelled:.1%}" if labelled else _NONE
        table.add_row(Text(name), str(labelled), share, str(right), f"{right / accepted:.1%}" if accepted else _NONE)
    return Lines(Text(f"Accepted by --precision {decisions.precision:g} here:"), table)


def needed_lines(decisions: "Decisions") -> list[str]:
    """A line for each group of classes that accepts nothing: with too few photos, or tags not right often enough."""
    lines = []
    for name, groups in decisions.groups.items():
        for group in groups:
            if group.threshold is None:
                where = name if len(groups) == 1 else f"{name} ({', '.join(group.classes)})"
                lines.append(f"{where}: {_why(group)}; nothing is accepted")
    return lines


def _why(group: "Group") -> str:
    if group.photos < group.needed:
        return f"{group.photos} of {group.needed} needed photos"
    return f"{group.photos} photos ({group.needed} needed at least), with too many wrong tags among the surest"


def _score(one: Score) -> str:
    return f"{one.value:.3f}" + ("" if one.ci95 is None else f" [{one.ci95[0]:.3f}, {one.ci95[1]:.3f}]")


def faithfulness_table(summary: Summary) -> Lines:
    """Deletion and insertion of each kind of map, against baselines, overlap with the garment's box, and attributes."""
    lines = [
        f"{_count(summary.images, 'image')}, means over attributes; in brackets: 95% bootstrap intervals over images"
    ]
    if summary.box_area is not None:
        lines.append(
            f"{_count(summary.boxes, 'image')} with a box, which covers {_percent(summary.box_area)} on average"
        )
    curves = _table("map", values=("deletion", "insertion"))
    boxes = _table("map", values=("weight in the box", "peak in the box"))
    for kind, measures in summary.means.items():
        cells = [_NONE if one is None else _percent(one[0]) + _interval(one[1]) for one in measures.values()]
        curves.add_row(Text(kind), *cells[:2])
        boxes.add_row(Text(kind), *cells[2:])
    against = _table("difference", values=("deletion", "insertion"))
    for kind, others in summary.against.items():
        for other, gains in others.items():
            cells = [_points(gains[name].difference) + _point_interval(gains[name].ci95) for name in _CURVES]
            against.add_row(Text(f"{kind} - {other}"), *cells)
    parts: list[RenderableType] = [Text(line, style="bold", overflow="fold") for line in lines]
    parts += [curves, *([against] if against.row_count else []), *([boxes] if summary.boxes else [])]
    for measure in (*_CURVES, "in_box") if summary.boxes else _CURVES:
        kinds = {kind: measures[measure] for kind, measures in summary.per_attribute.items()}
        table = _table(measure.replace("_", " "), values=tuple(kinds))
        for name in next(iter(kinds.values())):
            table.add_row(Text(name), *(_percent(values[name]) for values in kinds.values()))
        parts.append(table)
    return Lines(*parts)


def _verdict(comparison: Comparison) -> str:
    images = f"on {_count(comparison.n, 'image')}, predicted differently on {comparison.differing}"
    overall = comparison.mean_class_accuracy
    if overall.difference is None:
        return f"no mean class accuracy to compare {images}"
    gain = f"mean class accuracy {_points(overall.difference)} points{_point_interval(overall.ci95)} {images}"
    if overall.probability_b_better is None:
        return gain
    return f"{gain}; the second is ahead in {overall.probability_b_better:.1%} of {comparison.bootstrap} resamples"


def _attributes(metrics: Metrics) -> Table:
    table = _table("attribute", values=("mean class acc.", "95% interval", "accuracy", "macro F1", "n"))
    for name, one in metrics.per_attribute.items():
        table.add_row(
            Text(name),
            _percent(one.mean_class_accuracy),
            _interval(one.mean_class_accuracy_ci95).strip() or _NONE,
            _percent(one.accuracy),
            _percent(one.macro_f1),
            str(one.n),
        )
    return table


def _classes(metrics: Metrics) -> Table:
    table = _table("attribute", "class", values=("recall", "precision", "F1", "n"))
    for attribute, classes in metrics.per_class.items():
        for position, (label, one) in enumerate(classes.items()):
            table.add_row(
                Text(attribute if position == 0 else ""),
                Text(label),
                _percent(one.recall),
                _percent(one.precision),
                _percent(one.f1),
                str(one.n),
                end_section=position == len(classes) - 1,
            )
    return table


def _difference_row(table: Table, name: str, one: Difference) -> None:
    interval = _point_interval(one.ci95).strip() or _NONE
    table.add_row(
        Text(name), _percent(one.a), _percent(one.b), _points(one.difference), interval, _p_value(one.p_value)
    )


def _table(*names: str, values: tuple[str, ...]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in names:
        # Folded where it is too long, never cut off: a class that cannot be told from another is no use.
        table.add_column(name, overflow="fold")
    for value in values:
        table.add_column(value, justify="right", no_wrap=True)
    return table


def _percent(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1%}"


def _p_value(value: float | None) -> str:
    if value is None:
        return _NONE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _points(value: float | None) -> str:
    return _NONE if value is None else f"{100 * value:+.1f}"


def _interval(interval: Interval | None) -> str:
    """With a blank before it, to stand behind a value; nothing where there is no interval."""
    return "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _point_interval(interval: Interval | None) -> str:
    return "" if interval is None else f" [{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
