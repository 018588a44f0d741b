"""Which images come when: pure functions of (seed, epoch, position), so that a resumed run sees the same ones."""

import numpy as np
import numpy.typing as npt

__all__ = ["batch_indices", "sample_order", "share", "steps_per_epoch"]

Indices = npt.NDArray[np.int64]


def sample_order(seed: int, epoch: int, count: int) -> Indices:
    """A permutation of `0 .. count-1` that depends on seed and epoch only."""
    return np.random.default_rng([seed, epoch, 0x5EED]).permutation(count).astype(np.int64)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Optimiser steps in one epoch; the last batch may be smaller, no image is repeated or left out."""
    return -(-count // batch_size)


def batch_indices(order: Indices, step: int, batch_size: int) -> Indices:
    """The images of the global batch of one step."""
    return order[step * batch_size : (step + 1) * batch_size]


def share(batch: Indices, rank: int, processes: int, accumulation: int) -> list[Indices]:
    """One process's part of a global batch, cut into `accumulation` micro-batches.

    The parts of all ranks are disjoint and make up the batch. A part may be empty when the batch is small.
    """
    return list(np.array_split(batch[rank::processes], accumulation))
