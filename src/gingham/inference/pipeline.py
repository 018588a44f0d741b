"""Reading, decoding and the networks at once: threads that decode ahead, one in which the networks run, and the caller.

What the caller does with the outcomes of a batch, such as making and writing rows, happens while the networks have the
next one. All queues are bounded: at most `depth` images and two batches are in memory.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gingham.data.decode import decode
from gingham.data.isolated import IsolatedDecoder
from gingham.data.prefetch import prefetch
from gingham.data.reduced import decode_reduced
from gingham.errors import ImageError
from gingham.inference.load import Decoders, Facts, Item, Views, load
from gingham.inference.panel import Panel

__all__ = ["Outcome", "open_decoders", "outcomes"]

_LEAST = 8
"""Views that may wait for the networks, at least."""

_BATCHES = 2
"""Batches between decoding and the caller: one in the networks, one that waits for them."""

_Loaded: TypeAlias = tuple[Item, list[Views] | ImageError, Facts | None]


@dataclass(frozen=True)
class Outcome:
    """One image's logits `[ΣC]` and facts, or the error that kept it from being read."""

    id: str
    logits: npt.NDArray[np.float32] | None
    facts: Facts | None
    error: ImageError | None = None


@contextmanager
def open_decoders(*, max_pixels: int, isolated: bool, fast: bool, workers: int) -> Iterator[Decoders]:
    """What reads images as a tagger is set: in child processes or here, exactly or for views also approximately."""
    if isolated:
        with IsolatedDecoder(processes=max(1, workers), max_pixels=max_pixels) as processes:
            yield Decoders(processes.decode, processes.decode_reduced if fast else None)
    else:
        exact = partial(decode, max_pixels=max_pixels)
        yield Decoders(exact, partial(decode_reduced, max_pixels=max_pixels) if fast else None)


def outcomes(
    panel: Panel, items: Iterable[Item], decoders: Decoders, *, batch_size: int, workers: int, ahead: bool = True
) -> Iterator[Outcome]:
    """The outcome of every item, in order.

    Args:
        panel: the networks.
        items: read lazily, in the caller's thread.
        decoders: safe to call from as many threads as there are workers.
        batch_size: views in one pass of a network.
        workers: threads that read and decode; 0 = the caller's.
        ahead: the networks have a thread of their own; else they run in the caller's.

    Raises:
        BundleError: a network gives values that are not finite.
    """
    # As much waits in memory whether an image has one view or many.
    depth = max(workers, max(_LEAST, 4 * batch_size) // sum(look.test_time.most_views for look in panel.looks))
    infer = partial(_infer, panel, batch_size)
    with closing(prefetch(items, partial(load, panel.looks, decoders), workers=workers, depth=depth)) as loaded:
        groups = _groups(loaded, batch_size)
        with closing(prefetch(groups, infer, workers=int(ahead), depth=_BATCHES)) as done:
            for group in done:
                yield from group


def _groups(loaded: Generator[_Loaded, None, None], size: int) -> Iterator[list[_Loaded]]:
    while group := list(islice(loaded, size)):
        yield group


def _infer(panel: Panel, batch_size: int, group: Sequence[_Loaded]) -> list[Outcome]:
    seen = [entry for _, entry, _ in group if not isinstance(entry, ImageError)]
    logits = iter(panel.logits(seen, batch_size=batch_size))
    return [
        Outcome(item.id, None, None, entry) if isinstance(entry, ImageError) else Outcome(item.id, next(logits), facts)
        for item, entry, facts in group
    ]
