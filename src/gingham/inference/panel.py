"""The networks of a tagger, asked together: each about all of its views, and all of them averaged."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.errors import BundleError
from gingham.inference.deterministic import deterministic_torch
from gingham.inference.load import Look, Views
from gingham.models.network import Network
from gingham.models.relevance import Way, relevance
from gingham.predictions import log_mean_probability
from gingham.schema import AttributeSchema

__all__ = ["Panel", "Voter"]

Floats = npt.NDArray[np.float32]
Logits = Floats


class Voter(NamedTuple):
    """A network, and how it looks at images: a member of a bundle, loaded."""

    network: Network
    preprocess: Preprocess
    test_time: TestTime = TestTime()


class Panel:
    """Networks that tag together.

    The probabilities of a network's views are averaged, and then those of the networks; each network counts alike, each
    of its views alike. Of one network with one view the logits stay what they are.

    Args:
        voters: at least one.
        schema: what their logits mean.
        device: where they run.
        deterministic: see `Tagger`.

    Attributes:
        looks: the different ways in which they look at images; networks that look alike share the views.
        look_of: of each network, which of them.
    """

    def __init__(
        self, voters: Sequence[Voter], schema: AttributeSchema, device: torch.device, *, deterministic: bool
    ) -> None:
        looks = [_look(voter) for voter in voters]
        self.looks = tuple(dict.fromkeys(looks))
        self._networks = [voter.network.to(device).eval() for voter in voters]
        self.look_of = [self.looks.index(look) for look in looks]
        self._schema, self._device, self._deterministic = schema, device, deterministic

    def logits(self, images: Sequence[Sequence[Views]], *, batch_size: int) -> Logits:
        """Logits `[N, ΣC]` of images.

        Args:
            images: of each image the views of each of `looks`.
            batch_size: views in one pass of a network.

        Raises:
            BundleError: a network gives values that are not finite.
        """
        if not images:
            return np.empty((0, self._schema.total), dtype=np.float32)
        each = [
            self._of_network(network, [image[look] for image in images], batch_size)
            for network, look in zip(self._networks, self.look_of, strict=True)
        ]
        return self._mean(each)

    def relevance(
        self, image: Sequence[Views], classes: npt.NDArray[np.int64], way: Way = "mean"
    ) -> list[tuple[int, Floats]]:
        """Where each network finds the attributes in each view of one image, see `models.relevance`.

        Args:
            image: the views of each of `looks`.
            classes: int64 `[K]`, the class of each attribute that is asked about.
            way: how the layers of a head become one map.

        Returns:
            For each network which of `looks` is its own, and float32 `[views, K, h, w]`.
        """
        return [
            (look, self._relevance(network, image[look], classes, way))
            for network, look in zip(self._networks, self.look_of, strict=True)
        ]

    @torch.inference_mode()
    def _relevance(self, network: Network, views: Views, classes: npt.NDArray[np.int64], way: Way) -> Floats:
        maps = []
        # One at a time: there are few, and a network may be large.
        for view in views:
            pixels = torch.from_numpy(view[None]).to(self._device)
            asked = torch.from_numpy(classes[None]).to(self._device)
            with deterministic_torch() if self._deterministic else nullcontext():
                maps.append(relevance(network, pixels, asked, way).cpu().numpy()[0])
        return np.stack(maps)

    def _of_network(self, network: Network, images: Sequence[Views], batch_size: int) -> Logits:
        views = [view for image in images for view in image]
        logits = np.concatenate(
            [self._forward(network, views[start : start + batch_size]) for start in range(0, len(views), batch_size)]
        )
        ends = np.cumsum([len(image) for image in images])[:-1]
        return np.concatenate([self._mean(list(own[:, None])) for own in np.split(logits, ends)])

    def _mean(self, logits: Sequence[Logits]) -> Logits:
        return logits[0] if len(logits) == 1 else log_mean_probability(logits, self._schema)

    @torch.inference_mode()
    def _forward(self, network: Network, views: Views) -> Logits:
        batch = torch.from_numpy(np.stack(views)).to(self._device)
        with deterministic_torch() if self._deterministic else nullcontext():
            logits: Logits = network(batch).float().cpu().numpy()
        if not np.isfinite(logits).all():
            # Weights that are finite may still multiply to something that is not: no tag would mean anything then.
            raise BundleError("the model gives values that are not finite; its weights are no trained network's")
        return logits


def _look(voter: Voter) -> Look:
    # Mean and std are the network's matter: the views are the same.
    return Look(voter.preprocess.model_copy(update={"mean": None, "std": None}), voter.test_time)
