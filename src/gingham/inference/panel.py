"""The networks of a tagger, asked together: each about all of its views, and all of them averaged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.errors import UserError
from gingham.inference.load import Look, Views
from gingham.inference.runtime import Explaining, Floats, Runtime, checked_logits
from gingham.predictions import log_mean_probability
from gingham.schema import AttributeSchema

if TYPE_CHECKING:
    from gingham.models.relevance import Way

__all__ = ["Panel", "Voter"]

Logits = Floats


class Voter(NamedTuple):
    """A network, and how it looks at images: a member of a bundle, loaded."""

    runtime: Runtime
    preprocess: Preprocess
    test_time: TestTime = TestTime()


class Panel:
    """Networks that tag together.

    The probabilities of a network's views are averaged, and then those of the networks; each network counts alike, each
    of its views alike. Of one network with one view the logits stay what they are.

    Args:
        voters: at least one.
        schema: what their logits mean.

    Attributes:
        looks: the different ways in which they look at images; networks that look alike share the views.
        look_of: of each network, which of them.
    """

    def __init__(self, voters: Sequence[Voter], schema: AttributeSchema) -> None:
        looks = [_look(voter) for voter in voters]
        self.looks = tuple(dict.fromkeys(looks))
        self._runtimes = [voter.runtime for voter in voters]
        self.look_of = [self.looks.index(look) for look in looks]
        self._schema = schema

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
            self._of_network(runtime, [image[look] for image in images], batch_size)
            for runtime, look in zip(self._runtimes, self.look_of, strict=True)
        ]
        return self._mean(each)

    def relevance(
        self, image: Sequence[Views], classes: npt.NDArray[np.int64], way: "Way" = "mean"
    ) -> list[tuple[int, Floats]]:
        """Where each network finds the attributes in each view of one image, see `models.relevance`.

        Args:
            image: the views of each of `looks`.
            classes: int64 `[K]`, the class of each attribute that is asked about.
            way: how the layers of a head become one map.

        Returns:
            For each network which of `looks` is its own, and float32 `[views, K, h, w]`.

        Raises:
            UserError: a network runs in a library that does not say where it looks.
        """
        found = []
        for runtime, look in zip(self._runtimes, self.look_of, strict=True):
            if not isinstance(runtime, Explaining):
                raise UserError(
                    f"{runtime.kind.runtime} does not say where a network looks; explain the model in PyTorch: that "
                    "which was exported, without --runtime"
                )
            # One at a time: there are few, and a network may be large.
            maps = [runtime.relevance(view[None], classes[None], way)[0] for view in image[look]]
            found.append((look, np.stack(maps)))
        return found

    def _of_network(self, runtime: Runtime, images: Sequence[Views], batch_size: int) -> Logits:
        views = [view for image in images for view in image]
        logits = np.concatenate(
            [self._forward(runtime, views[start : start + batch_size]) for start in range(0, len(views), batch_size)]
        )
        if len(views) == len(images):
            return logits
        ends = np.cumsum([len(image) for image in images])[:-1]
        return np.concatenate([self._mean(list(own[:, None])) for own in np.split(logits, ends)])

    def _mean(self, logits: Sequence[Logits]) -> Logits:
        return logits[0] if len(logits) == 1 else log_mean_probability(logits, self._schema)

    @staticmethod
    def _forward(runtime: Runtime, views: Views) -> Logits:
        return checked_logits(runtime(np.stack(views)))


def _look(voter: Voter) -> Look:
    # Mean and std are the network's matter: the views are the same.
    return Look(voter.preprocess.model_copy(update={"mean": None, "std": None}), voter.test_time)
