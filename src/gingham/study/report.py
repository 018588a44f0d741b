"""A study's table as CSV, Markdown and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gingham.evaluation.bootstrap import Difference, Interval
from gingham.study.plan import Plan
from gingham.study.results import BOOTSTRAP, Figure, Repeat, Row, rarest_class

__all__ = ["as_csv", "as_json", "as_markdown"]


def as_csv(rows: Mapping[str, Row]) -> str:
    """One line a run; fractions 0..1 with all their digits, empty where undefined."""
    lines = [{"run": run, **_cells(row)} for run, row in rows.items()]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in line.items()} for line in lines)
    return buffer.getvalue()


def _cells(row: Row) -> dict[str, Any]:
    difference = row.difference
    return {
        "seeds": " ".join(map(str, row.seeds)),
        "mean_class_accuracy": row.mean_class_accuracy.value,
        "mean_class_accuracy_sd": row.mean_class_accuracy.sd,
        **_ends("mean_class_accuracy", row.mean_class_accuracy.ci95),
        "difference": None if difference is None else difference.difference,
        **_ends("difference", None if difference is None else difference.ci95),
        "difference_p_value": None if difference is None else difference.p_value,
        "overall_accuracy": row.overall_accuracy.value,
        "without_rarest_class": row.without_rarest.value,
        "prior_corrected": row.prior_corrected.value,
        **{f"{name}_mean_class_accuracy": figure.value for name, figure in row.per_attribute.items()},
        "seconds": round(row.seconds, 1),
    }


def _ends(name: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def as_markdown(plan: Plan, rows: Mapping[str, Row], repeat: Repeat) -> str:
    """The table for a person: percent and points, the baseline first.

    Args:
        plan: the study.
        rows: its table.
        repeat: any of its results, for what they have in common.
    """
    names = list(next(iter(rows.values())).per_attribute)
    header = ["run", "seeds", "mean class accuracy", "sd", "against baseline", "overall", "without rarest"]
    header += ["prior corrected", *names, "seconds"]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    lines += [_line(run, row, plan.baseline) for run, row in rows.items()]
    rarest = rarest_class(repeat)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return (
        f"{table}\n\n"
        f"{len(repeat.ids)} labelled photos, each predicted by the one of {plan.folds} models that has not seen it. "
        f"Accuracies in percent: the mean over seeds, in brackets its 95% bootstrap interval over photos ({BOOTSTRAP} "
        "resamples), and sd, the standard deviation over seeds. Against baseline: difference of the mean class "
        "accuracy in points, paired over photos, over the seeds that both have. Without rarest: all classes but "
        f"{repeat.predictions.schema.columns[rarest]} ({repeat.points.totals[0, rarest]:.0f} photos). Prior "
        "corrected: with an offset for each class, fitted on the other folds. Columns of attributes: their mean class "
        "accuracy. Seconds: of training, all folds of one seed.\n"
    )


def _line(run: str, row: Row, baseline: str) -> list[str]:
    figure = row.mean_class_accuracy
    return [
        f"**{run}** (baseline)" if run == baseline else run,
        ", ".join(map(str, row.seeds)),
        f"{_percent(figure.value)}{_interval(figure.ci95, '.1f')}",
        "-" if figure.sd is None else f"{100 * figure.sd:.2f}",
        _points(row.difference),
        _percent(row.overall_accuracy.value),
        _percent(row.without_rarest.value),
        _percent(row.prior_corrected.value),
        *(_percent(attribute.value) for attribute in row.per_attribute.values()),
        f"{row.seconds:.0f}",
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(one: Difference | None) -> str:
    return "-" if one is None or one.difference is None else f"{100 * one.difference:+.1f}{_interval(one.ci95, '+.1f')}"


def _interval(interval: Interval | None, form: str) -> str:
    return "" if interval is None else f" [{100 * interval[0]:{form}}, {100 * interval[1]:{form}}]"


def as_json(plan: Plan, rows: Mapping[str, Row], repeat: Repeat, files: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Everything in the table and what stands behind it, as plain values.

    Args:
        plan: the study.
        rows: its table.
        repeat: any of its results, for what they have in common.
        files: run -> prediction files, relative to the study's folder.
    """
    schema, totals = repeat.predictions.schema, repeat.points.totals[0]
    return {
        "study": plan.source,
        "baseline": plan.baseline,
        "folds": plan.folds,
        "n": len(repeat.ids),
        "bootstrap": BOOTSTRAP,
        "rarest_class": schema.columns[rarest_class(repeat)],
        "examples": {name: int(total) for name, total in zip(schema.columns, totals, strict=True)},
        "runs": {run: _run(row, plan.changes[run], files[run]) for run, row in rows.items()},
    }


def _run(row: Row, changes: Mapping[str, Any], files: Sequence[str]) -> dict[str, Any]:
    return {
        "changes": dict(changes),
        "seeds": list(row.seeds),
        "mean_class_accuracy": _figure(row.mean_class_accuracy),
        "overall_accuracy": _figure(row.overall_accuracy),
        "without_rarest_class": _figure(row.without_rarest),
        "prior_corrected": _figure(row.prior_corrected),
        "difference": _plain(row.difference),
        "per_attribute": {
            name: {"mean_class_accuracy": _figure(figure), "difference": _plain(row.differences[name])}
            for name, figure in row.per_attribute.items()
        },
        "recall": dict(row.recalls),
        "recall_prior_corrected": dict(row.corrected_recalls),
        "seconds": row.seconds,
        "predictions": list(files),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "ci95": None if figure.ci95 is None else list(figure.ci95)}


def _plain(one: Difference | None) -> dict[str, Any] | None:
    return None if one is None else one.to_json()
