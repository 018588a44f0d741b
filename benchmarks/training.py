"""(d) Training: an epoch with and without the cache, and the step of fine-tuning against a plain loop.

`cached` measures its candidates in turn by itself, in one process: rows of `name`, `unit` and `samples` (seconds for a
unit), and `table` (a title; its first row is the baseline).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.clock import others_seconds
from benchmarks.comparison import Row, Settings, Table
from benchmarks.process import MissingError
from benchmarks.worker import peak_bytes

__all__ = ["measure", "rows_of", "tables_of"]

_REPOSITORY = Path(__file__).resolve().parent.parent
_MEGA = 2**20
_TITLES = {"cached": "An epoch on the cache"}


def measure(settings: Settings) -> list[Table]:
    """The tables of both; one that fails is told below the other's.

    Raises:
        MissingError: both fail.
    """
    tables: list[Table] = []
    reasons = {}
    parts: dict[str, Callable[[], list[Table]]] = {
        "cached": lambda: _measured("cached", settings),
        "finetune": lambda: import_module("benchmarks.finetune").measure(settings),
    }
    for name, measured in parts.items():
        settings.say(f"  {name}")
        try:
            tables += measured()
        except MissingError as failure:
            settings.say(f"    missing: {failure}")
            reasons[name] = str(failure)
    if not tables:
        raise MissingError("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
    tables[-1] = replace(tables[-1], missing={**tables[-1].missing, **reasons})
    return tables


def _measured(name: str, settings: Settings) -> list[Table]:
    """One module in a process of its own; again, if others disturbed all of it."""
    best: tuple[float, Mapping[str, Any]] | None = None
    for _ in range(1 if settings.quick else 2):
        with TemporaryDirectory() as folder:
            out = Path(folder) / "rows.json"
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.training", name, str(out), *_options(settings)],
                cwd=_REPOSITORY,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            # stderr ends with the child, which is still there to be read until it is waited for.
            try:
                before = settings.clock.read(child.pid)
                assert child.stderr is not None
                complaint = child.stderr.read()
                after = settings.clock.read(child.pid)
                code = child.wait()
            finally:
                child.kill()
            if code or not out.is_file():
                raise MissingError((complaint.strip().splitlines() or [f"exit code {code}"])[-1])
            found = json.loads(out.read_text(encoding="utf-8"))
        share = others_seconds(before, after) / ((after.wall - before.wall) * settings.clock.cores)
        if best is None or share < best[0]:
            best = (share, found)
        if share <= settings.plan.tolerance:
            break
    assert best is not None
    share, found = best
    note = (
        f"Other processes took {share:.1%} of the processor meanwhile; the process held at most "
        f"{found['peak'] / _MEGA:,.0f} MB."
    )
    tables = tables_of(found["rows"], _TITLES[name])
    return [*tables[:-1], replace(tables[-1], notes=[note])]


def tables_of(rows: Sequence[Mapping[str, Any]], title: str) -> list[Table]:
    """Tables of rows; the ratios are to the first row of a table, round by round (its samples again, if it has fewer).

    Args:
        rows: see the module.
        title: of rows that name no table.
    """
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row.get("table", title), []).append(row)
    return [
        Table(
            title=name,
            baseline=group[0]["name"],
            unit=group[0]["unit"],
            rows=[
                Row(
                    name=row["name"],
                    values=row["samples"],
                    ratios=[
                        one / other for one, other in zip(cycle(group[0]["samples"]), row["samples"], strict=False)
                    ],
                    cells={key: str(cell) for key, cell in row.get("cells", {}).items()},
                )
                for row in group
            ],
        )
        for name, group in grouped.items()
    ]


def _options(settings: Settings) -> list[str]:
    return ["--quick"] * settings.quick


def rows_of(name: str, *, quick: bool) -> list[dict[str, Any]]:
    """What a module measured, as rows."""
    module = import_module(f"benchmarks.{name}")
    rows = []
    small: dict[str, Any] = {"rows": 256, "photos": 16, "repeats": 1} if quick else {}
    for head in module.HEADS:
        times = module.measure(head, **small)
        names = [key for key in ("uncached", "tokens in memory", "means in memory", "cached") if key in times]
        for base in names[:-1]:
            title = f"An epoch of 5,000 photos, head {head}: against {base}"
            rows += [
                {"name": key, "unit": "seconds", "samples": times[key]["wall"], "table": title}
                for key in (base, "cached")
            ]
    return rows


def main(name: str, out: str, *options: str) -> None:
    """The child's side."""
    rows = rows_of(name, quick="--quick" in options)
    Path(out).write_text(json.dumps({"rows": rows, "peak": peak_bytes()}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
