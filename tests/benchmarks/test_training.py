import pytest

from benchmarks.training import tables_of


def test_rows_become_tables_by_their_title() -> None:
    rows = [
        {"name": "plain", "unit": "seconds", "samples": [4.0, 6.0], "table": "one"},
        {"name": "ours", "unit": "seconds", "samples": [2.0, 2.0], "table": "one", "cells": {"loss": 1.2}},
        {"name": "uncached", "unit": "seconds", "samples": [9.0]},
        {"name": "cached", "unit": "seconds", "samples": [3.0, 4.5]},
    ]
    one, two = tables_of(rows, "a title")
    assert (one.title, one.baseline, one.unit) == ("one", "plain", "seconds")
    assert [list(row.ratios) for row in one.rows] == [[1.0, 1.0], [2.0, 3.0]]
    assert one.rows[1].cells == {"loss": "1.2"}
    assert two.title == "a title"
    # The baseline has one sample, which stands for every round.
    assert list(two.rows[1].ratios) == pytest.approx([3.0, 2.0])
