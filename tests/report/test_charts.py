"""What a chart draws, read back from its coordinates."""

import re

import numpy as np
import pytest

from gingham.report.axes import Axis, share_axis
from gingham.report.charts import Series, histogram, line_chart, reliability_chart
from gingham.report.content import collect
from tests.evaluation.samples import SMALL
from tests.report.samples import sure_predictions


def _points(path: str) -> np.ndarray:
    return np.array([[float(number) for number in point.split()] for point in re.split("[ML]", path) if point])


def test_lines_are_linear_in_their_values_and_broken_where_there_are_none() -> None:
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, float("nan"), 0.5, 0.25]
    chart = str(line_chart([Series("a", "val", x, y)], Axis("epoch", 1, 5), share_axis("y"), label="<label>"))
    (path,) = re.findall(r'class="line val" d="([^"]+)"', chart)
    assert path.count("M") == 2
    points = _points(path)
    known = np.array([0, 1, 3, 4])
    for values, drawn in ((np.array(x)[known], points[:, 0]), (np.array(y)[known], points[:, 1])):
        slope, offset = np.polyfit(values, drawn, 1)
        np.testing.assert_allclose(slope * values + offset, drawn, atol=0.06)
    assert points[1, 1] < points[0, 1], "up is more"
    assert chart.count("<circle") == 4
    assert 'aria-label="&lt;label&gt;"' in chart


def test_a_reliability_diagram_has_the_bins_of_the_numbers() -> None:
    certainty = collect(sure_predictions(0, 300, SMALL), title="t").attributes[0].certainty
    assert certainty is not None
    chart = str(reliability_chart(certainty, None, label="l"))
    (path,) = re.findall(r'class="line main" d="([^"]+)"', chart)
    points, bins = _points(path), certainty.reliability
    assert len(points) == len(bins.counts)
    (diagonal,) = re.findall(r'class="mark" d="([^"]+)"', chart)
    (left, bottom), (right, top) = _points(diagonal)
    np.testing.assert_allclose((points[:, 0] - left) / (right - left), bins.mean_confidence, atol=1e-3)
    np.testing.assert_allclose((points[:, 1] - bottom) / (top - bottom), bins.accuracy, atol=1e-3)


def test_bars_are_as_high_as_their_shares() -> None:
    chart = str(histogram(np.array([0, 1, 3, 0]), label="l"))
    heights = [float(height) for height in re.findall(r'class="fill"[^>]*height="([\d.]+)"', chart)]
    assert heights[1] / heights[0] == pytest.approx(3, abs=0.01)
