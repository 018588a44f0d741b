"""Several views and several networks: what is averaged, and what is looked at."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gingham.data.decode import decode
from gingham.data.formats import read_labels
from gingham.data.prefetch import prefetch
from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime, evaluation_views
from gingham.errors import UserError
from gingham.inference import load as load_module
from gingham.inference.tagger import Item, MissingBoxWarning, Outcome, Tagger, Voter
from gingham.models.network import Network, build_network
from gingham.predictions import softmax
from tests import tiny

EVERY = TestTime(flip=True, scales=(1.0, 1.25), whole_image=True)
BOX = np.array([60, 50, 200, 260], np.float32)


def other(size: int) -> tuple[Network, Preprocess]:
    """Another backbone, for images of another size."""
    torch.manual_seed(5)
    preprocess = tiny.preprocess().model_copy(update={"size": size, "resize": "pad", "mean": (0.2, 0.2, 0.2)})
    model = tiny.MODEL.model_copy(update={"backbone": "test_efficientnet"})
    network = build_network(model, tiny.SCHEMA, image_size=size, mean=(0.2, 0.2, 0.2), std=tiny.STD)
    return network.eval(), preprocess


@pytest.fixture(scope="module")
def voters() -> list[Voter]:
    """Two networks that look alike, but for mean and std; one with boxes in many views; one of another size."""
    normalised = tiny.preprocess().model_copy(update={"mean": (0.1, 0.2, 0.3)})
    return [
        tiny.voter(tiny.network(seed=0), tiny.preprocess()),
        tiny.voter(tiny.network(seed=1), normalised),
        tiny.voter(tiny.network(seed=2), tiny.preprocess("box"), EVERY),
        tiny.voter(*other(96), TestTime(flip=True)),
    ]


@pytest.fixture
def panel(voters: list[Voter]) -> Tagger:
    return Tagger(voters, tiny.SCHEMA)


def tag(tagger: Tagger, items: list[Item], **options: int) -> list[Outcome]:
    return list(tagger.stream(items, **options))


def by_hand(voters: list[Voter], photo: Path, box: np.ndarray | None) -> np.ndarray:
    """Mean of the means of the softmaxes, straight from the definition, in float64."""
    members = []
    for runtime, preprocess, test_time in voters:
        network = runtime.network
        views = np.stack(evaluation_views(decode(photo), box, preprocess, test_time))
        with torch.inference_mode():
            logits = network(torch.from_numpy(views)).numpy()
        members.append(softmax(logits, tiny.SCHEMA).mean(axis=0))
    mean: np.ndarray = np.mean(members, axis=0)
    return mean


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_views_and_then_networks_are_averaged(
    panel: Tagger, voters: list[Voter], photos: list[Path], batch_size: int
) -> None:
    items = [Item(str(n), photo, BOX if n % 2 else None) for n, photo in enumerate(photos[:5])]
    with pytest.warns(MissingBoxWarning):
        outcomes = tag(panel, items, batch_size=batch_size)
    for item, outcome in zip(items, outcomes, strict=True):
        assert outcome.logits is not None
        assert outcome.logits.dtype == np.float32
        expected = by_hand(voters, Path(str(item.source)), item.box)
        np.testing.assert_allclose(np.exp(outcome.logits), expected, atol=1e-5)
        tags = panel.tags(outcome.logits)
        for part, one in zip(tiny.SCHEMA.slices, tags.values(), strict=True):
            assert one.confidence == pytest.approx(expected[part].max(), abs=1e-5)


def test_every_network_and_every_view_counts(voters: list[Voter], photos: list[Path]) -> None:
    """Without any one of them it is another result, or the test above would show less than it says."""
    item = Item("a", photos[0], BOX)
    every = tag(Tagger(voters, tiny.SCHEMA), [item])[0].logits
    for left_out in range(len(voters)):
        rest = [voter for number, voter in enumerate(voters) if number != left_out]
        assert np.abs(tag(Tagger(rest, tiny.SCHEMA), [item])[0].logits - every).max() > 1e-3
    for fewer in ({"flip": False}, {"scales": (1.0,)}, {"whole_image": False}):
        changed = voters[2]._replace(test_time=EVERY.model_copy(update=fewer))
        found = tag(Tagger([*voters[:2], changed, voters[3]], tiny.SCHEMA), [item])[0].logits
        assert np.abs(found - every).max() > 1e-4


def test_one_network_with_one_view_keeps_its_logits(voters: list[Voter], photos: list[Path]) -> None:
    """To the bit: nothing passes through probabilities that needs not."""
    views = evaluation_views(decode(photos[0]), None, voters[0].preprocess, TestTime())
    with torch.inference_mode():
        expected = voters[0].runtime.network(torch.from_numpy(np.stack(views))).numpy()[0]
    found = tag(Tagger(voters[:1], tiny.SCHEMA), [Item("a", photos[0])])[0].logits
    np.testing.assert_array_equal(found, expected)


def test_an_image_is_decoded_once_and_alike_looks_share_their_views(
    panel: Tagger, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []
    looked: list[tuple[int, str]] = []

    def counted(path: Path, **options: int) -> Image.Image:
        decoded.append(path)
        return decode(path, **options)

    def watched(image: Image.Image, box: np.ndarray, preprocess: Preprocess, test_time: TestTime) -> list[np.ndarray]:
        looked.append((preprocess.size, preprocess.region))
        return evaluation_views(image, box, preprocess, test_time)

    monkeypatch.setattr("gingham.inference.pipeline.decode", counted)
    monkeypatch.setattr(load_module, "evaluation_views", watched)
    tag(panel, [Item(photo.name, photo, BOX) for photo in photos[:4]], workers=1)
    assert decoded == photos[:4]
    assert looked == [(64, "image"), (64, "box"), (96, "image")] * 4


def test_a_box_that_some_need_is_missed_once(panel: Tagger, photos: list[Path]) -> None:
    with pytest.warns(MissingBoxWarning, match="but a part of this model was trained on boxes") as caught:
        tag(panel, [Item(photo.name, photo) for photo in photos[:9]])
    assert len(caught) == 1
    assert panel.boxed == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tag(panel, [Item("again", photos[0])])


def test_a_bad_box_is_an_error_of_its_image(panel: Tagger, photos: list[Path]) -> None:
    items = [Item("bad", photos[0], np.array([900, 0, 950, 9], np.float32)), Item("good", photos[0], BOX)]
    bad, good = tag(panel, items)
    assert bad.error is not None
    assert bad.error.reason == "bad_box"
    assert good.error is None


def test_an_ensemble_is_deterministic_too(voters: list[Voter], photos: list[Path], wardrobe: Path) -> None:
    """Whoever else is tagged, in whatever order and with whatever threads."""
    certain = [
        tiny.voter(runtime.network, preprocess, test_time, deterministic=True)
        for runtime, preprocess, test_time in voters
    ]
    exact = Tagger(certain, tiny.SCHEMA)
    items = [Item(photo.name, photo, BOX) for photo in photos[:6]]
    expected = {outcome.id: outcome.logits.tobytes() for outcome in tag(exact, items)}
    torch.set_num_threads(2)
    again = {outcome.id: outcome.logits.tobytes() for outcome in tag(exact, items[::-1], workers=3)}
    assert again == expected
    assert tag(exact, items[3:4])[0].logits.tobytes() == expected[items[3].id]
    table = read_labels(wardrobe).take([0, 1])
    assert table.boxes is not None
    rows = [tag(exact, [Item("a", table.path(row), table.boxes[row])])[0].logits for row in (0, 1)]
    np.testing.assert_array_equal(exact.predict(table).logits, rows)
    with pytest.raises(UserError, match="takes one image at a time"):
        exact.batch_size(4)


def test_what_waits_in_memory_does_not_grow_with_the_views(
    voters: list[Voter], photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []

    def counted(tasks: list[Item], load: Callable[[Item], Any], *, workers: int, depth: int) -> Iterator[Any]:
        depths.append(depth)
        return prefetch(tasks, load, workers=workers, depth=depth)

    monkeypatch.setattr("gingham.inference.pipeline.prefetch", counted)
    for chosen in (voters[:1], voters[:2], voters):
        tag(Tagger(chosen, tiny.SCHEMA), [], workers=2)
    # Images, and then batches.
    assert depths == [32, 2, 32, 2, 2, 2]
