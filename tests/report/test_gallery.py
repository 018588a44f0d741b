from collections import Counter

import numpy as np

from gingham.report.gallery import choose
from tests.evaluation.samples import SMALL, predictions_of
from tests.report.samples import sure_predictions


def test_the_surest_wrong_tags_come_first_and_are_spread() -> None:
    predictions = sure_predictions(0, 300, SMALL)
    gallery = choose(predictions, wrong=10, unsure=6, sure=4)
    assert predictions.targets is not None
    known = predictions.targets >= 0
    assert gallery.wrong_in_all == (known & (predictions.targets != predictions.predicted)).sum()
    confidences = [entry.confidence for entry in gallery.wrong]
    assert confidences == sorted(confidences, reverse=True)
    assert all(entry.truth is not None and entry.truth != entry.tag for entry in gallery.wrong)
    assert Counter(entry.attribute for entry in gallery.wrong) == {0: 5, 1: 5}
    for group in (gallery.wrong, gallery.unsure, gallery.sure):
        assert len({entry.id for entry in group}) == len(group)
    unsure = [entry.confidence for entry in gallery.unsure]
    assert unsure == sorted(unsure)
    assert all(entry.truth == entry.tag for entry in gallery.sure)


def test_the_order_of_the_images_has_no_effect() -> None:
    predictions = sure_predictions(1, 80, SMALL)
    assert predictions.targets is not None
    back = np.arange(80)[::-1]
    turned = type(predictions)(
        SMALL, tuple(predictions.ids[row] for row in back), predictions.logits[back], predictions.targets[back]
    )
    assert choose(turned) == choose(predictions)


def test_confidence_is_the_calibrated_one_where_there_is_one() -> None:
    predictions = predictions_of([[1, 0]], [[0, 0]])
    entry = choose(predictions, calibrated=np.array([[0.5, 0.2, 0.3, 0.9, 0.1]])).wrong[0]
    assert (entry.tag, entry.confidence, entry.truth, entry.truth_probability) == ("red", 0.5, "green", 0.2)
    assert (entry.second, entry.second_probability) == ("blue", 0.3)


def test_without_labels_nothing_is_wrong_and_all_may_be_sure() -> None:
    gallery = choose(predictions_of([[-1, -1]] * 3, [[0, 0]] * 3))
    assert gallery.wrong == ()
    assert len(gallery.sure) == len(gallery.unsure) == 3
    assert gallery.sure[0].truth is None
