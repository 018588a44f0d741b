"""What was measured, as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

__all__ = ["figure", "markdown", "spread"]

_RATES = {"images", "photos", "steps", "GFLOP"}
"""Units that are shown a second; others are what the values are already."""


def markdown(tables: Sequence[Mapping[str, Any]]) -> str:
    """The tables of a letter, by the plain values of `Table`."""
    return "\n\n".join(_table(table) for table in tables)


def _table(table: Mapping[str, Any]) -> str:
    rows = table["rows"]
    unit = table["unit"]
    # Columns in the order in which rows first have them.
    extra = list(dict.fromkeys(name for row in rows for name in row["cells"]))
    heading = f"{unit}/s" if unit in _RATES else unit
    measure = "of the baseline's" if unit == "MB" else "times as fast"
    head = ["", heading, f"{measure}: median [min, max]", *extra]
    lines = [
        f"**{table['title']}**",
        "",
        _line(head),
        _line(["---", *["---:"] * (len(head) - 1)]),
    ]
    for row in rows:
        name = f"{row['name']} (baseline)" if row["name"] == table["baseline"] else row["name"]
        cells = [row["cells"].get(column, "") for column in extra]
        lines.append(_line([name, figure(row["values"], unit), spread(row["ratios"]), *cells]))
    notes = [*table["notes"], *_sweep(table), *_disturbed(rows), *_missing(table["missing"])]
    if notes:
        lines += ["", " ".join(notes)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def figure(values: Sequence[float], unit: str) -> str:
    """The median of seconds a unit as a rate, or of what the unit says as it is; three digits."""
    middle = median(values)
    return _digits(1.0 / middle if unit in _RATES else middle)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(ratios: Sequence[float]) -> str:
    """Median and range of ratios."""
    if not ratios:
        return ""
    return f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def _sweep(table: Mapping[str, Any]) -> list[str]:
    """What the baseline was chosen from."""
    others = [
        f"{name} {figure([seconds], table['unit'])}"
        for name, seconds in table["sweep"].items()
        if name != table["baseline"]
    ]
    return [f"The baseline is the fastest of its variants; the others: {', '.join(others)}."] if others else []


def _disturbed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    samples = [sample for row in rows for sample in row["samples"]]
    if not samples:
        return []
    repeated = sum(sample["repeated"] for sample in samples)
    left = sum(sample["disturbed"] for sample in samples)
    return [f"{len(samples)} samples; {repeated} that others disturbed were taken again, {left} stayed disturbed."]


def _missing(missing: Mapping[str, str]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in missing.items():
        reasons.setdefault(reason.removesuffix("."), []).append(name)
    return [f"Not measured: {', '.join(names)} ({reason})." for reason, names in reasons.items()]
