"""An exponential moving average of the weights, which is validated and saved in their place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["WeightAverage", "without_averages"]

_PREFIX = "average."
"""What the names of averages begin with in a checkpoint, beside those of the weights themselves."""


class WeightAverage:
    """The moving average `a <- d a + (1 - d) w` of tensors that are trained, over optimiser steps.

    The decay is `d = min(decay, (1 + t) / (10 + t))` in step t, from 0: low at first, so that the random start is
    forgotten, whatever the decay (the rule of TensorFlow's `ExponentialMovingAverage` with `num_updates`). Averages of
    weights tend to generalise better than the last ones (Polyak & Juditsky 1992; Tarvainen & Valpola 2017). Running
    statistics of BatchNorm are averaged with the weights that they belong to; counters are copied.

    It is a function of the weights of all steps, so processes with equal weights have equal averages.

    Args:
        tensors: what is trained, by name; they are watched, and stay the network's own.
        decay: 0 < decay < 1; the average is over about the last `1 / (1 - decay)` steps.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self._live = dict(tensors)
        self._decay = decay
        self._averages = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step `step`, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, live in self._live.items():
            if live.is_floating_point():
                self._averages[name].lerp_(live, 1 - decay)
            else:
                self._averages[name].copy_(live)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Inside, the network has the averages for its weights; not to be left open across a step or a save."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def tensors(self) -> dict[str, Tensor]:
        """The averages, for a checkpoint: with `average.` before the names of the weights."""
        return {_PREFIX + name: tensor for name, tensor in self._averages.items()}

    def load(self, saved: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave, out of all tensors of a checkpoint."""
        for name, average in self._averages.items():
            average.copy_(saved[_PREFIX + name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, live in self._live.items():
            average, kept = self._averages[name], live.clone()
            live.copy_(average)
            average.copy_(kept)


def without_averages(saved: Mapping[str, Tensor], *, in_force: bool = False) -> dict[str, Tensor]:
    """The weights of a checkpoint alone.

    Args:
        saved: its tensors, with or without averages.
        in_force: give the averages in place of the weights, where there are any.
    """
    weights = {name: tensor for name, tensor in saved.items() if not name.startswith(_PREFIX)}
    if in_force:
        weights |= {name.removeprefix(_PREFIX): tensor for name, tensor in saved.items() if name.startswith(_PREFIX)}
    return weights
