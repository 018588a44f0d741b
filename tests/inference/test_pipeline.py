"""Decoding, networks and the caller at once; with networks that say when and where they are asked."""

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gingham.data.reduced import decode_reduced
from gingham.errors import BundleError
from gingham.inference import pipeline
from gingham.inference.pipeline import Outcome
from gingham.inference.runtime import Floats, Kind
from gingham.inference.tagger import Item, Tagger, Voter
from gingham.wardrobe import garment
from tests import tiny
from tests.data.builders import encoded


class Watched:
    """A runtime of plain sums, that calls back with the number of its call."""

    def __init__(self, called: Callable[[int], None] = lambda number: None, *, deterministic: bool = False) -> None:
        self.kind = Kind("torch", "fp32", "cpu", 1, deterministic)
        self.threads: list[int] = []
        self._called = called

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Floats:
        self.threads.append(threading.get_ident())
        self._called(len(self.threads))
        sums = pixels.reshape(len(pixels), -1).sum(axis=1, dtype=np.float64) / pixels[0].size
        return np.outer(sums, np.arange(tiny.SCHEMA.total)).astype(np.float32)


def tagger(runtime: Watched) -> Tagger:
    return Tagger([Voter(runtime, tiny.preprocess())], tiny.SCHEMA)


def greys(count: int) -> Iterator[Item]:
    for number in range(count):
        yield Item(str(number), Image.new("RGB", (9, 7), (number, number, number)))


def test_the_networks_work_while_the_caller_has_the_outcomes_before() -> None:
    second = threading.Event()
    stream = tagger(Watched(lambda number: second.set() if number == 2 else None)).stream(greys(12), batch_size=4)
    assert next(stream).id == "0"
    assert second.wait(10)
    assert [outcome.id for outcome in stream] == [str(number) for number in range(1, 12)]


def test_outcomes_are_those_of_one_thread_in_order(model: Path, photos: list[Path]) -> None:
    items = [Item(photo.name, photo) for photo in photos[:9]]
    items[3:3] = [Item("bad", b"plain text"), Item("worse", b"")]
    loaded = Tagger.load(model, device="cpu")
    found = list(loaded.stream(iter(items), batch_size=2))
    with loaded._decoders(0) as decoders:
        plain: list[Outcome] = list(
            pipeline.outcomes(loaded._panel, items, decoders, batch_size=2, workers=0, ahead=False)
        )
    assert [outcome.id for outcome in found] == [item.id for item in items]
    assert [outcome.error and outcome.error.reason for outcome in found][2:6] == [
        None,
        "unreadable",
        "unreadable",
        None,
    ]
    for one, other in zip(found, plain, strict=True):
        assert (one.facts and one.facts[:3]) == (other.facts and other.facts[:3])
        assert (one.logits is None and other.logits is None) or (one.logits == other.logits).all()  # type: ignore[union-attr]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_what_is_read_ahead_is_bounded(batch_size: int) -> None:
    read: list[int] = []

    def items() -> Iterator[Item]:
        for number, item in enumerate(greys(500)):
            read.append(number)
            yield item

    stream = tagger(Watched()).stream(items(), batch_size=batch_size)
    waiting = max(8, 4 * batch_size) + 2 * batch_size
    for number in range(60):
        assert next(stream).id == str(number)
        assert len(read) <= number + 1 + waiting
    stream.close()  # type: ignore[attr-defined]
    assert len(read) < 100


def test_one_batch_and_what_is_deterministic_run_in_the_callers_thread() -> None:
    here = threading.get_ident()
    alone, several, steady = Watched(), Watched(), Watched(deterministic=True)
    list(tagger(alone).stream(list(greys(4)), batch_size=4))
    list(tagger(several).stream(list(greys(5)), batch_size=4))
    list(tagger(steady).stream(greys(5)))
    assert set(alone.threads) == set(steady.threads) == {here}
    assert here not in several.threads
    assert len(set(several.threads)) == 1


@pytest.mark.parametrize("end", ["network", "items", "close"])
def test_an_early_end_comes_in_its_turn_and_leaves_no_thread(end: str) -> None:
    before = threading.active_count()

    def fail(number: int) -> None:
        if number == 3:
            raise BundleError("not finite")

    def items() -> Iterator[Item]:
        yield from greys(8)
        if end == "items":
            raise OSError("no more")
        yield from greys(8)

    stream = tagger(Watched(fail if end == "network" else lambda number: None)).stream(items(), batch_size=4)
    assert [next(stream).id for _ in range(8)] == [str(number) for number in range(8)]
    if end == "close":
        stream.close()  # type: ignore[attr-defined]
    else:
        with pytest.raises((BundleError, OSError), match="not finite" if end == "network" else "no more"):
            next(stream)
    assert threading.active_count() == before


@pytest.fixture(scope="module")
def large() -> list[bytes]:
    return [encoded(garment(4, index, 600).picture.image, "JPEG", quality=92) for index in range(4)]


@pytest.mark.parametrize("isolated", [False, True])
def test_fast_decoding_tags_nearly_the_same(box_model: Path, large: list[bytes], isolated: bool) -> None:
    """Against the exact decoder: sizes and shares of boxes are the photo's, brightness and logits nearly the same."""
    box = np.array([20, 30, 580, 590], dtype=np.float32)
    items = [Item(str(index), data, box) for index, data in enumerate(large)]
    items += [Item("bad", large[0], box + 1000), Item("cut", large[0][:-900], box + 1000), Item("text", b"text", box)]
    exact = list(Tagger.load(box_model, device="cpu").stream(items))
    fast = list(Tagger.load(box_model, device="cpu", fast_decode=True, isolated=isolated).stream(items))
    spread = np.std([outcome.logits for outcome in exact[:4]])
    for one, other in zip(exact[:4], fast[:4], strict=True):
        assert one.facts is not None
        assert other.facts is not None
        assert one.logits is not None
        assert other.logits is not None
        assert other.facts[:2] == one.facts[:2] == (600, 600)
        assert other.facts.box_share == one.facts.box_share
        assert other.facts.brightness == pytest.approx(one.facts.brightness, abs=2 / 255)
        assert 0 < np.abs(one.logits - other.logits).max() < 0.5 * spread
    errors = [(one.error.reason, str(one.error)) for one in fast[4:] if one.error]
    assert errors == [(one.error.reason, str(one.error)) for one in exact[4:] if one.error]
    assert [reason for reason, _ in errors] == ["bad_box", "truncated", "unreadable"]


def test_explanations_are_of_the_exact_pixels(model: Path, large: list[bytes]) -> None:
    exact, fast = (
        Tagger.load(model, device="cpu", fast_decode=one).viewed(Item("a", large[0])) for one in (False, True)
    )
    assert (exact.logits() == fast.logits()).all()


def test_images_that_are_open_already_are_left_alone(model: Path, large: list[bytes]) -> None:
    exact, fast = (Tagger.load(model, device="cpu", fast_decode=one) for one in (False, True))
    opened = [Image.open(BytesIO(large[0])) for _ in range(2)]
    assert exact(opened[0]) == fast(opened[1])
    assert decode_reduced(large[0], lambda width, height: width / 64).scale == 4
