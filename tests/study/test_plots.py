"""Where the dots and lines of a study's plots are."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure as Picture

from gingham.evaluation.bootstrap import Difference
from gingham.study import plots
from gingham.study.results import Figure, Row


def row(accuracy: float | None, difference: Difference | None = None) -> Row:
    figure = Figure(accuracy, None, None if accuracy is None else (accuracy - 0.01, accuracy + 0.02))
    return Row((0,), figure, figure, figure, figure, difference, {"hue": figure}, {"hue": None}, {}, {}, 1.0)


def gain(difference: float) -> Difference:
    return Difference(None, None, difference, (difference - 0.005, difference + 0.003), None, None)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """The pictures that would have been written."""
    pictures: list[Picture] = []
    monkeypatch.setattr(plots, "_write", lambda picture, path: pictures.append(picture))
    return pictures


def dots(picture: Picture, panel: int) -> dict[str, float]:
    """Each run's dot: label of its line -> x."""
    axes = picture.axes[panel]
    labels = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    single = [line for line in axes.get_lines() if len(line.get_xdata()) == 1]
    return {labels[round(line.get_ydata()[0])]: line.get_xdata()[0] for line in single}


def test_best_on_top_with_the_paired_difference_beside(drawn: list[Picture]) -> None:
    rows = {"plain": row(0.6), "focal": row(0.62, gain(0.02)), "wide": row(0.58, gain(-0.02))}
    plots.plot_study(rows, "plain", Path("study.png"))
    assert list(dots(drawn[0], 0).items()) == [("wide", 0.58), ("plain (baseline)", 0.6), ("focal", 0.62)]
    assert dots(drawn[0], 1) == {"wide": -0.02, "plain (baseline)": 0.0, "focal": 0.02}
    intervals = [tuple(line.get_xdata()) for line in drawn[0].axes[1].get_lines() if line.get_color() == plots._RUN]
    assert (0.02 - 0.005, 0.02 + 0.003) in intervals


def test_without_a_baseline_there_is_one_panel(drawn: list[Picture]) -> None:
    plots.plot_study({"focal": row(0.62), "wide": row(None)}, "plain", Path("study.png"))
    assert len(drawn[0].axes) == 1
    assert dots(drawn[0], 0) == {"focal": 0.62}


def test_attributes_have_a_panel_each(drawn: list[Picture]) -> None:
    plots.plot_attributes({"plain": row(0.6), "focal": row(0.62, gain(0.02))}, "plain", Path("attributes.png"))
    assert [axes.get_title(loc="left") for axes in drawn[0].axes] == ["hue"]
    assert dots(drawn[0], 0) == {"plain (baseline)": 0.6, "focal": 0.62}
