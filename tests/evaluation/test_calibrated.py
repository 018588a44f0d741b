"""The whole of a calibration: what fits does not test, and what is measured was not fitted."""

import numpy as np
import pytest

from gingham.errors import DataError, UserError
from gingham.evaluation.calibrated import calibrate, some_rows
from gingham.evaluation.calibration import fit_calibration
from gingham.evaluation.decisions import fitting_part
from gingham.predictions import Predictions
from tests.evaluation.samples import SMALL
from tests.evaluation.simulation import labelled


def test_labels_of_the_tested_part_move_no_probability():
    predictions = labelled(300, 0)
    fitting = fitting_part(predictions.ids)
    assert predictions.targets is not None
    other = np.where(fitting[:, None], predictions.targets, 0)
    changed = Predictions(predictions.schema, predictions.ids, predictions.logits, other)
    found, again = (calibrate(one, precisions=(0.9,), bootstrap=0) for one in (predictions, changed))
    for one, same in zip(found.calibration.attributes, again.calibration.attributes, strict=True):
        assert one.temperature == same.temperature
        assert (one.bias == same.bias).all()
    assert found.decisions != again.decisions
    assert (found.fitted, found.tested) == (60, 240)
    assert found.scored[0].ids == some_rows(predictions, ~fitting).ids


def test_without_promises_all_photos_fit():
    predictions = labelled(200, 0)
    found = calibrate(predictions, bootstrap=0)
    assert (found.fitted, found.tested, found.decisions, found.sets) == (200, 0, (), ())
    expected = fit_calibration(predictions).attributes
    assert [one.temperature for one in found.calibration.attributes] == [one.temperature for one in expected]
    assert found.measured["rare"].after.nll.value < found.measured["rare"].before.nll.value


def test_photos_without_a_label_and_the_order_of_photos_change_nothing():
    predictions = labelled(200, 0)
    assert predictions.targets is not None
    order = np.random.default_rng(0).permutation(250)
    extended = Predictions(
        predictions.schema,
        tuple(np.array([*predictions.ids, *(f"more/{number}" for number in range(50))])[order].tolist()),
        np.concatenate([predictions.logits, predictions.logits[:50]])[order],
        np.concatenate([predictions.targets, np.full((50, len(predictions.schema)), -1)])[order],
    )
    found, again = (calibrate(one, precisions=(0.9, 0.8, 0.9), bootstrap=0) for one in (predictions, extended))
    assert [one.precision for one in found.decisions] == [0.8, 0.9]
    for one, same in zip(found.decisions, again.decisions, strict=True):
        for name, groups in one.groups.items():
            for group, other in zip(groups, same.groups[name], strict=True):
                assert group.photos == other.photos
                assert group.accepted == other.accepted


def test_prior_correction_judges_the_tags_that_will_be_given():
    predictions = labelled(500, 0)
    found = calibrate(predictions, precisions=(0.9,), prior_correction=True, bootstrap=0)
    scored, _, tags = found.scored
    assert (tags == found.calibration.tags(scored.logits)).all()
    assert (tags != scored.predicted).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precisions": (1.0,)}, "--precision 1: must lie between 0 and 1"),
        ({"coverages": (90,)}, "--coverage 90: must lie between 0 and 1"),
        ({"joint": True}, "--joint: .*give --precision too"),
        ({"per_class": True, "coverages": (0.9,)}, "--per-class: .*give --precision too"),
    ],
)
def test_options_that_mean_nothing(options, message: str):
    with pytest.raises(UserError, match=message):
        calibrate(labelled(50, 0), **options)


def test_too_few_photos():
    with pytest.raises(DataError, match="4 labelled photos are too few"):
        calibrate(labelled(4, 0), precisions=(0.9,))
    unlabelled = Predictions(SMALL, ("a",), np.zeros((1, 5), dtype=np.float32), np.full((1, 2), -1))
    with pytest.raises(DataError, match="none of the 1 images has a label"):
        calibrate(unlabelled)
