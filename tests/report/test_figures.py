"""The plots draw the numbers of the content, whatever things are called."""

from pathlib import Path

import numpy as np
import pytest

from gingham.report.content import collect
from gingham.report.figures import figures, write_figures
from tests.evaluation.samples import DEEPFASHION, SMALL, predictions_of
from tests.report.samples import HISTORY, HOSTILE, sure_predictions


def test_each_figure_has_its_numbers() -> None:
    predictions = sure_predictions(0, 200, SMALL)
    content = collect(predictions, title="t", history=HISTORY, other=predictions)
    drawn = dict(figures(content))
    assert list(drawn) == [
        *("curves", "attributes", "classes", "reliability", "coverage", "slices", "comparison"),
        *("confusion-colour", "confusion-fit"),
    ]
    colour = content.attributes[0]
    assert colour.certainty is not None
    bars = [patch.get_width() for patch in drawn["classes"].axes[0].patches]  # type: ignore[attr-defined]
    assert bars == [row.recall for row in colour.classes]
    bins = drawn["reliability"].axes[0].lines[1]
    np.testing.assert_array_equal(bins.get_xdata(), colour.certainty.reliability.mean_confidence)
    np.testing.assert_array_equal(bins.get_ydata(), colour.certainty.reliability.accuracy)
    curve = drawn["coverage"].axes[0].lines[1]
    np.testing.assert_array_equal(curve.get_ydata(), colour.certainty.accuracy)
    shares = drawn["confusion-colour"].axes[0].images[0].get_array()
    assert colour.confusion is not None
    np.testing.assert_allclose(shares, colour.confusion / colour.confusion.sum(axis=1, keepdims=True))
    assert content.metrics is not None
    dots = drawn["attributes"].axes[0].lines[1].get_xdata()
    assert dots[0] == content.metrics.mean_class_accuracy  # type: ignore[index]


def test_without_labels_there_are_shares_and_confidence() -> None:
    content = collect(predictions_of([[-1, -1]] * 4, [[0, 0]] * 3 + [[1, 0]]), title="t")
    drawn = dict(figures(content))
    assert list(drawn) == ["shares", "confidence"]
    assert [patch.get_width() for patch in drawn["shares"].axes[0].patches] == [0.75, 0.25, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_numbers_give_equal_files_and_names_stay_in_the_folder(kind: str, tmp_path: Path) -> None:
    content = collect(sure_predictions(1, 60, HOSTILE), title="$x^", history=HISTORY)
    files = write_figures(content, tmp_path / "a", kind)
    assert [path.read_bytes() for path in files] == [
        path.read_bytes() for path in write_figures(content, tmp_path / "b", kind)
    ]
    assert {path.parent for path in files} == {tmp_path / "a"}
    assert len({path.name for path in files}) == len(files)
    if kind == "svg":
        assert all(b"<script" not in path.read_bytes() for path in files)


def test_plots_fit_on_a_page() -> None:
    content = collect(sure_predictions(2, 80, DEEPFASHION), title="t")
    assert all(max(figure.get_size_inches()) <= 12 for _, figure in figures(content))
