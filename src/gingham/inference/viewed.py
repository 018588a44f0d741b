"""One photo with all views that a tagger has of it, and what becomes of these when parts of the photo are hidden."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from gingham.data.raster import Floats, raster_of, seen_part
from gingham.data.test_time import Window, evaluation_views, evaluation_windows
from gingham.errors import DataError, ImageError
from gingham.inference.load import Decode, Item, Views, read_image
from gingham.inference.panel import Panel

if TYPE_CHECKING:
    from gingham.models.relevance import Way

__all__ = ["Fill", "ViewedPhoto"]

Fill = Literal["colour", "blur"]
"""What hidden parts become: the mean colour of what is seen of the photo, or a blur of what was there."""

_BLUR = 1 / 16
"""Standard deviation of the blur, as a share of a view's side."""

_AT_ONCE = 8


class ViewedPhoto:
    """One photo as the networks of a panel see it.

    Attributes:
        image: upright RGB.
        views: uint8 `[size, size, 3]` each, for each of the panel's looks.
        windows: where in the photo each of them lies.
        raster: the cells that maps of this photo are on.

    Args:
        panel: whose looks count.
        item: the photo and the garment's box.
        decoder: reads it.

    Raises:
        ImageError: it cannot be read, or the box lies outside of it; `reason` says why.
    """

    def __init__(self, panel: Panel, item: Item, decoder: Decode) -> None:
        self._panel = panel
        self.image = read_image(item, decoder)
        box = None if item.box is None or np.isnan(item.box).all() else item.box
        try:
            self.views: list[Views] = [evaluation_views(self.image, box, *look) for look in panel.looks]
            self.windows: list[list[Window]] = [evaluation_windows(self.image, box, *look) for look in panel.looks]
        except DataError as failure:
            raise ImageError("bad_box", f"{item.id}: {failure}") from None
        every = [window for windows in self.windows for window in windows]
        self.raster = raster_of(self.image.width, self.image.height, every)
        self.seen = seen_part(every)
        self._fills: dict[Fill, list[Views]] = {}

    def logits(self) -> npt.NDArray[np.float32]:
        """Logits `[ΣC]` of the photo as it is."""
        logits: npt.NDArray[np.float32] = self._panel.logits([self.views], batch_size=_AT_ONCE)[0]
        return logits

    def relevance(self, classes: npt.NDArray[np.int64], way: "Way" = "mean") -> tuple[Floats, Floats]:
        """Where the networks find the attributes: the mean over networks, and over the views of each.

        That is how their probabilities are averaged. See `models.relevance`.

        Args:
            classes: int64 `[K]`, the class of each attribute that is asked about.
            way: how the layers of a head become one map.

        Returns:
            `[K, rows, columns]` with sum 1, and the share `[K]` that lay beyond the photo, on the white around it, and
            is not in the map.
        """
        networks = []
        for look, maps in self._panel.relevance(self.views, classes, way):
            exact = maps.astype(np.float64)
            exact /= exact.sum(axis=(2, 3), keepdims=True)
            pairs = zip(exact, self.windows[look], strict=True)
            networks.append(np.mean([self.raster.place(*pair) for pair in pairs], axis=0))
        mean: Floats = np.mean(networks, axis=0)
        inside = mean.sum(axis=(1, 2))
        even = 1 / (self.raster.rows * self.raster.columns)
        share = np.divide(mean, inside[:, None, None], out=np.full_like(mean, even), where=inside[:, None, None] > 0)
        return share, np.clip(1 - inside, 0, 1)

    def without(
        self, masks: Sequence[npt.NDArray[np.bool_]], fill: Fill = "colour"
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Logits `[n, ΣC]` of the photo with cells hidden, for some of the masks at a time, in their order.

        What is hidden is hidden in the views, to fractions of a pixel: as if in the photo, but for what resizing would
        carry over the edges.

        Args:
            masks: bool `[rows, columns]` of `raster`, True = hidden.
            fill: what hidden parts become.
        """
        fills = self._filled(fill)
        for start in range(0, len(masks), _AT_ONCE):
            hidden = [self._hidden(mask, fills) for mask in masks[start : start + _AT_ONCE]]
            yield self._panel.logits(hidden, batch_size=_AT_ONCE)

    def passes(self, masks: int) -> int:
        """How many images go through a network for so many masks."""
        return masks * sum(len(self.views[look]) for look in self._panel.look_of)

    def _hidden(self, mask: npt.NDArray[np.bool_], fills: Sequence[Views]) -> list[Views]:
        return [
            [
                self._mixed(view, fill, self.raster.cover(mask, window, len(view)))
                for view, window, fill in zip(views, windows, own, strict=True)
            ]
            for views, windows, own in zip(self.views, self.windows, fills, strict=True)
        ]

    @staticmethod
    def _mixed(view: npt.NDArray[np.uint8], fill: npt.NDArray[np.uint8], covered: Floats) -> npt.NDArray[np.uint8]:
        share = covered[:, :, None].astype(np.float32)
        mixed: npt.NDArray[np.uint8] = np.rint(view + share * (fill.astype(np.float32) - view)).astype(np.uint8)
        return mixed

    def _filled(self, fill: Fill) -> list[Views]:
        if fill not in self._fills:
            if fill == "colour":
                # A pixel of a photo that is shrunk to one is the mean of all.
                colour = np.asarray(self.image.resize((1, 1), Image.Resampling.BOX, box=self.seen))[0, 0]
                self._fills[fill] = [[np.broadcast_to(colour, view.shape) for view in views] for views in self.views]
            else:
                self._fills[fill] = [[_blurred(view) for view in views] for views in self.views]
        return self._fills[fill]


def _blurred(view: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(_BLUR * len(view))))
