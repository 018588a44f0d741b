"""Equal bits: not by other batches, neighbours, orders or threads."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gingham.data.formats import read_labels
from gingham.errors import UserError
from gingham.inference.deterministic import deterministic_torch
from gingham.inference.tagger import Item, Tagger
from gingham.predictions import softmax
from gingham.schema import AttributeSchema


@pytest.fixture
def exact(model: Path) -> Tagger:
    return Tagger.load(model, device="cpu", deterministic=True)


def bits(tagger: Tagger, paths: list[Path], **options: int) -> dict[str, bytes]:
    items = [Item(path.name, path) for path in paths]
    return {outcome.id: outcome.logits.tobytes() for outcome in tagger.stream(items, **options)}


def test_neighbours_order_and_threads_do_not_show(exact: Tagger, tagger: Tagger, photos: list[Path]) -> None:
    expected = bits(exact, photos)
    assert bits(exact, photos[::-1], workers=1) == expected
    assert bits(exact, photos[7:9]) == {path.name: expected[path.name] for path in photos[7:9]}
    torch.set_num_threads(2)
    assert bits(exact, photos) == expected
    assert torch.get_num_threads() == 2
    # Without the option it is otherwise, or this test would show nothing.
    assert bits(tagger, photos, batch_size=8) != bits(tagger, photos, batch_size=1)


def test_calls_streams_and_tables_agree(exact: Tagger, wardrobe: Path) -> None:
    table = read_labels(wardrobe)
    predictions = exact.predict(table)
    for row in (0, 5, 19):
        tags = exact(table.path(row).read_bytes())
        for number, attribute in enumerate(exact.schema.attributes):
            tag, part = tags[attribute.name], exact.schema.slices[number]
            best = predictions.predicted[row, number]
            assert tag.label == attribute.classes[best]
            assert tag.confidence == predictions.probabilities[row, part][best]


def test_probabilities_are_the_same_bits_alone_and_among_others() -> None:
    schema = AttributeSchema.of({"a": [str(n) for n in range(300)], "b": ["x", "y"], "c": [str(n) for n in range(9)]})
    logits = np.random.default_rng(0).normal(size=(40, schema.total)).astype(np.float32) * 5
    together = softmax(logits, schema)
    assert all((softmax(logits[row : row + 1], schema) == together[row]).all() for row in range(40))


def test_a_batch_of_several_is_refused(exact: Tagger, tagger: Tagger, photos: list[Path]) -> None:
    assert [exact.batch_size(None), exact.batch_size(1), tagger.batch_size(None), tagger.batch_size(3)] == [1, 1, 8, 3]
    with pytest.raises(UserError, match="--batch-size 4: a deterministic tagger takes one image at a time"):
        bits(exact, photos, batch_size=4)


def test_settings_are_put_back() -> None:
    def settings() -> list[object]:
        cudnn = torch.backends.cudnn
        strict = torch.are_deterministic_algorithms_enabled()
        return [torch.get_num_threads(), strict, cudnn.deterministic, cudnn.benchmark]

    torch.set_num_threads(2)
    before = settings()
    with deterministic_torch():
        assert settings() == [1, True, True, False]
    assert settings() == before
