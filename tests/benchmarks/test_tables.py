from typing import Any

from benchmarks.tables import figure, markdown, spread


def row(name: str, values: list[float], ratios: list[float], samples: list[Any] | None = None, **cells: str) -> Any:
    return {"name": name, "values": values, "ratios": ratios, "cells": cells, "samples": samples or []}


def table(**changes: Any) -> Any:
    whole = {
        "title": "A title",
        "baseline": "plain",
        "unit": "images",
        "rows": [],
        "missing": {},
        "notes": [],
        "sweep": {},
    }
    return {**whole, **changes}


def test_a_rate_is_of_the_median_time() -> None:
    assert figure([0.5, 0.25, 0.1], "images") == "4"
    assert figure([0.001, 0.0005, 0.0001], "images") == "2,000"
    assert figure([1.234, 1.0, 9.0], "seconds") == "1.23"
    assert figure([1234.5], "MB") == "1,234"


def test_a_spread_is_median_and_range() -> None:
    assert spread([4.0, 2.0, 3.0]) == "3.00 [2.00, 4.00]"
    assert spread([]) == ""


def test_a_table_by_hand() -> None:
    samples = [{"repeated": 2, "disturbed": False}, {"repeated": 4, "disturbed": True}]
    rows = [row("plain", [0.5, 0.5], [1.0, 1.0], samples), row("a|b", [0.1, 0.125], [5.0, 4.0], memory="12 MB")]
    text = markdown(
        [
            table(
                rows=rows,
                notes=["A note."],
                missing={"c": "why", "d": "how.", "e": "why"},
                sweep={"plain": 0.5, "other": 0.625},
            )
        ]
    )
    assert text == "\n".join(
        [
            "**A title**",
            "",
            "|  | images/s | times as fast: median [min, max] | memory |",
            "| --- | ---: | ---: | ---: |",
            "| plain (baseline) | 2 | 1.00 [1.00, 1.00] |  |",
            "| a\\|b | 8.89 | 4.50 [4.00, 5.00] | 12 MB |",
            "",
            "A note. The baseline is the fastest of its variants; the others: other 1.6. "
            "2 samples; 6 that others disturbed were taken again, 1 stayed disturbed. Not measured: c, e (why). "
            "Not measured: d (how).",
        ]
    )


def test_memory_is_a_share_of_the_baselines() -> None:
    text = markdown([table(unit="MB", rows=[row("plain", [200.0], [1.0])])])
    assert "|  | MB | of the baseline's: median [min, max] |" in text
