"""Measures how faithful a tagger's explanations are on labelled photos; the figures are `evaluation.faithfulness`."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from gingham.data.raster import Floats
from gingham.data.table import LabelTable
from gingham.data.test_time import Window
from gingham.evaluation.faithfulness import Faithfulness, Measured, centre_map, curve_area, in_box, removals
from gingham.inference.explain import occlusion_map
from gingham.inference.load import Item
from gingham.inference.tagger import Tagger
from gingham.inference.viewed import Fill, ViewedPhoto
from gingham.predictions import softmax
from gingham.progress import Inside, Reporter

__all__ = ["KINDS", "Kind", "drawn_items", "measure_faithfulness"]

Kind = Literal["attention", "last", "rollout", "occlusion", "centre", "random"]
"""`attention` is what `Tagger.explain` gives; `last` and `rollout` combine the layers otherwise, see `Way`."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_GRID = 7
"""Tokens a side of the random map: enlarged as attention is, so that it is as coarse."""


def drawn_items(table: LabelTable, images: int, seed: int) -> list[Item]:
    """So many photos of a table, or all if there are fewer, drawn at random, with their boxes."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(table))[:images])
    boxes = table.boxes
    return [Item(table.images[row], table.path(row), None if boxes is None else boxes[row]) for row in rows.tolist()]


def measure_faithfulness(
    tagger: Tagger,
    items: Sequence[Item],
    *,
    kinds: Sequence[Kind] = ("attention", "occlusion", "centre", "random"),
    steps: int = 6,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Faithfulness:
    """Deletion and insertion curves of each kind of map, and its overlap with the garment's box.

    The tag is the tagger's own, right or wrong. For each photo, kind and attribute the networks see the photo with
    its heaviest 1/steps, 2/steps ... hidden under the mean colour, and with all but these hidden under a blur; a kind
    that is one map for all attributes (`centre`, `random`) is measured for all at once.

    Args:
        tagger: explains itself.
        items: the photos, and their boxes for the overlap.
        kinds: of maps.
        steps: of a curve.
        seed: of the random maps.
        reporter: hears of progress.

    Raises:
        ImageError: one cannot be read.
    """
    inside = Inside(reporter or Reporter())
    found: dict[Kind, list[npt.NDArray[np.float64]]] = {kind: [] for kind in kinds}
    areas = []
    with (reporter or Reporter()).bar("measuring maps", len(items)) as bar:
        inside.outer = bar
        for number, item in enumerate(items):
            photo = tagger.viewed(item)
            curves = _Curves(photo, tagger, steps, seed + number)
            box = None if item.box is None or np.isnan(item.box).all() else photo.raster.inside(*item.box.tolist())
            areas.append(np.nan if box is None else box.mean())
            for kind, maps in _maps(curves, kinds, seed + number, inside).items():
                share, hit = (np.full(len(maps), np.nan),) * 2 if box is None else in_box(maps, box)
                measured = [*curves.areas(maps), share, hit]
                found[kind].append(np.stack([np.broadcast_to(values, len(tagger.schema)) for values in measured]))
            bar.advance()
    return Faithfulness(
        tagger.schema.names,
        {kind: Measured(*np.stack(photos, axis=1)) for kind, photos in found.items()},
        np.array(areas),
    )


class _Curves:
    """The curves of one photo; their ends are the same for all maps."""

    def __init__(self, photo: ViewedPhoto, tagger: Tagger, steps: int, seed: int) -> None:
        self.photo, self.schema, self._steps, self._seed = photo, tagger.schema, steps, seed
        self.logits = photo.logits()
        labels = [tag.label for tag in tagger.tags(self.logits).values()]
        self.classes = np.array(
            [attribute.classes.index(label) for attribute, label in zip(self.schema.attributes, labels, strict=True)]
        )
        whole = np.ones((photo.raster.rows, photo.raster.columns))
        self._seen = photo.raster.inside(*photo.seen) > 0
        everything = removals(whole, self._seen, 1)
        self._whole = self._probabilities(self.logits[None])
        self._bare = {fill: self._hiding(everything, fill) for fill in get_args(Fill)}

    def areas(self, maps: Floats) -> list[npt.NDArray[np.float64]]:
        """Of maps `[K, h, w]`, or one for all `[1, h, w]`: the areas `[K]` of deletion and insertion."""
        deletion, insertion = [], []
        for k, weights in enumerate(maps):
            masks = removals(weights, self._seen, self._steps, self._seed)[:-1]
            hidden = self._hiding(masks, "colour")
            rest = self._hiding([self._seen & ~mask for mask in masks], "blur")
            falling = np.concatenate([self._whole, hidden, self._bare["colour"]])
            rising = np.concatenate([self._bare["blur"], rest, self._whole])
            own = slice(None) if len(maps) == 1 else slice(k, k + 1)
            deletion.append(curve_area(falling[:, own].T))
            insertion.append(curve_area(rising[:, own].T))
        return [np.concatenate(deletion), np.concatenate(insertion)]

    def _hiding(self, masks: Sequence[npt.NDArray[np.bool_]], fill: Fill) -> npt.NDArray[np.float64]:
        """Probabilities `[n, K]` of the tags with masks hidden."""
        return self._probabilities(np.concatenate(list(self.photo.without(masks, fill))))

    def _probabilities(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        starts = np.array([part.start for part in self.schema.slices])
        return softmax(logits, self.schema)[:, starts + self.classes]


def _maps(curves: _Curves, kinds: Sequence[Kind], seed: int, reporter: Reporter) -> Mapping[Kind, Floats]:
    """Kind -> maps `[K, h, w]`, or one for all attributes."""
    photo = curves.photo
    whole = Window(photo.seen, photo.seen)
    maps: dict[Kind, Floats] = {}
    for kind in kinds:
        if kind == "random":
            maps[kind] = photo.raster.place(np.random.default_rng(seed).random((1, _GRID, _GRID)), whole)
        elif kind == "centre":
            maps[kind] = photo.raster.place(centre_map(4 * _GRID, 4 * _GRID)[None], whole)
        elif kind == "occlusion":
            fall = occlusion_map(photo, curves.logits, curves.classes, curves.schema, reporter)
            maps[kind] = fall.astype(np.float64)
        else:
            maps[kind], _ = photo.relevance(curves.classes, "mean" if kind == "attention" else kind)
    return maps
