"""What promises come to on the photos of a report, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gingham.evaluation.decisions import Decisions, Group
from gingham.evaluation.proportion import wilson_interval
from gingham.predictions import Predictions
from gingham.report.promises import promises
from gingham.report.write import write_report
from tests.evaluation.samples import SMALL


def group(threshold: float | None, *classes: str, photos: int = 100) -> Group:
    return Group(classes, threshold, photos=photos, needed=59, accepted=60, right=60)


COLOURS = SMALL.attributes[0].classes
FITS = SMALL.attributes[1].classes
CONFIDENCE = np.array([0.99, 0.9, 0.8, 0.7])
"""Of the first class of each attribute, which is the tag."""


def four_photos(targets: list[list[int]] | None) -> tuple[Predictions, np.ndarray]:
    probabilities = np.empty((4, SMALL.total))
    for part in SMALL.slices:
        size = part.stop - part.start
        probabilities[:, part] = ((1 - CONFIDENCE) / (size - 1))[:, None]
        probabilities[:, part.start] = CONFIDENCE
    labels = None if targets is None else np.array(targets)
    # The network itself is far surer than the calibrated probabilities, which are what counts.
    return Predictions(SMALL, tuple("abcd"), 3 * np.log(probabilities).astype(np.float32), labels), probabilities


def test_by_hand() -> None:
    one = Decisions(0.9, 0.95, False, False, {"colour": (group(0.8, *COLOURS),), "fit": (group(None, *FITS),)})
    predictions, probabilities = four_photos([[0, 0], [1, 0], [-1, 0], [0, 0]])
    (promise,) = promises([one], predictions, probabilities)
    colour, fit = promise.attributes
    # Three reach 80%; two of them have a label, and one of these is right.
    assert (colour.photos, colour.accepted, colour.judged, colour.right) == (4, 3, 2, 1)
    assert colour.right_ci95 == wilson_interval(1, 2)
    assert (fit.accepted, fit.judged, fit.right, fit.right_ci95) == (0, 0, 0, None)
    # One of two may be chance; of four wrong ones not one in a hundred is.
    assert not promise.broken(colour)
    predictions, probabilities = four_photos([[1, 0]] * 4)
    (promise,) = promises(
        [replace(one, groups={**one.groups, "colour": (group(0.0, *COLOURS),)})], predictions, probabilities
    )
    assert promise.broken(promise.attributes[0])
    assert not promise.broken(promise.attributes[1])


def test_classes_have_thresholds_of_their_own() -> None:
    groups = (group(0.99, COLOURS[0]), group(0.1, *COLOURS[1:]))
    one = Decisions(0.9, 0.95, False, True, {"colour": groups, "fit": (group(0.95, *FITS),)})
    predictions, probabilities = four_photos(None)
    colour, fit = promises([one], predictions, probabilities)[0].attributes
    assert (colour.accepted, colour.judged, fit.accepted) == (1, 0, 1)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_page_says_it(tmp_path: Path, labelled: bool) -> None:
    predictions, probabilities = four_photos([[0, 0], [1, 0], [-1, 0], [0, 0]] if labelled else None)
    groups = {"colour": (group(0.8, *COLOURS),), "fit": (group(None, *FITS, photos=12),)}
    one = Decisions(0.9, 0.95, False, False, groups)
    write_report(predictions, tmp_path / "r.html", title="t", calibrated=probabilities, decisions=[one])
    rows = (tmp_path / "r.html").read_text().partition('id="promises"')[2].partition("</table>")[0].split("<tr>")[2:]
    assert "80.0%" in rows[0]
    assert "75.0%" in rows[0]
    assert ("50.0%" in rows[0]) == labelled
    assert "none is enough" in rows[1]
    assert "12 of 59 needed" in rows[1]
    write_report(predictions, tmp_path / "r.html", title="t", calibrated=probabilities)
    assert 'id="promises"' not in (tmp_path / "r.html").read_text()
