"""Why a tagger says what it says of a photo: where it looks, and what it loses when parts are hidden."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import ImageOps

from gingham.inference.decide import Tag
from gingham.inference.viewed import ViewedPhoto
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

if TYPE_CHECKING:
    from gingham.models.relevance import Way

__all__ = ["Explanation", "explain", "log_odds", "occlusion_map", "occlusion_patches"]

_PATCH, _STRIDE = 1 / 5, 1 / 10
"""Of occlusion, as shares of the longer side of what is seen of the photo."""

_PICTURE = 640

Judge = Callable[[npt.NDArray[np.float32]], Mapping[str, Tag]]
"""The tag of each attribute and how sure it is, of logits `[ΣC]`."""

Patch = tuple[slice, slice]
"""Rows and columns of a photo's cells."""


@dataclass(frozen=True)
class Explanation:
    """The tags of one photo, and where in the photo they come from.

    Maps cover the whole photo: cell (0, 0) of `rows` x `columns` is its upper left corner.

    Attributes:
        id: the photo's name.
        attributes: K names.
        labels: the tag of each of them.
        confidence: of each tag, float64 `[K]`, 0..1.
        picture: uint8 `[H, W, 3]`, the upright photo, shrunk to 640 pixels at most.
        attention: float32 `[K, rows, columns]`, at least 0, sum 1: the attention of each attribute, or with a linear
            head its class activation map; see `models.relevance`.
        beyond: float32 `[K]`, the share of the attention that lay on the white around a letterboxed photo, and is not
            in the map.
        occlusion: float32 `[K, rows, columns]`, by how much the log-odds of the tag (natural logarithm) fall when a
            patch there is hidden: the mean over the patches that cover a cell, which count less towards their edges; 0
            where no network looks. Negative: what is there speaks against the tag. None if it was not asked for.
    """

    id: str
    attributes: tuple[str, ...]
    labels: tuple[str, ...]
    confidence: npt.NDArray[np.float64]
    picture: npt.NDArray[np.uint8]
    attention: npt.NDArray[np.float32]
    beyond: npt.NDArray[np.float32]
    occlusion: npt.NDArray[np.float32] | None

    def of(self, attributes: tuple[str, ...]) -> "Explanation":
        """The explanation of some of the attributes, in the order given."""
        rows = [self.attributes.index(name) for name in attributes]
        return Explanation(
            self.id,
            attributes,
            tuple(self.labels[row] for row in rows),
            self.confidence[rows],
            self.picture,
            self.attention[rows],
            self.beyond[rows],
            None if self.occlusion is None else self.occlusion[rows],
        )


def explain(
    photo: ViewedPhoto,
    name: str,
    schema: AttributeSchema,
    judge: Judge,
    *,
    occlusion: bool = True,
    way: "Way" = "mean",
    reporter: Reporter | None = None,
) -> Explanation:
    """Explain the tags of a photo. See `Explanation`; `Tagger.explain` is the way to call it.

    Args:
        photo: as the tagger's networks see it.
        name: what the explanation is called.
        schema: what their logits mean.
        judge: from logits to tags.
        occlusion: hide patches too, which takes some 50 to 80 passes through the networks for each view.
        way: how the layers of a head become one map.
        reporter: hears of the patches.
    """
    logits = photo.logits()
    tags = judge(logits)
    labels = tuple(tags[attribute.name].label for attribute in schema.attributes)
    classes = np.array(
        [attribute.classes.index(label) for attribute, label in zip(schema.attributes, labels, strict=True)]
    )
    attention, beyond = photo.relevance(classes, way)
    return Explanation(
        name,
        schema.names,
        labels,
        np.array([tags[attribute.name].confidence for attribute in schema.attributes]),
        np.asarray(
            ImageOps.contain(photo.image, (_PICTURE, _PICTURE)) if max(photo.image.size) > _PICTURE else photo.image
        ),
        attention.astype(np.float32),
        beyond.astype(np.float32),
        occlusion_map(photo, logits, classes, schema, reporter or Reporter()) if occlusion else None,
    )


def occlusion_map(
    photo: ViewedPhoto,
    logits: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64],
    schema: AttributeSchema,
    reporter: Reporter,
) -> npt.NDArray[np.float32]:
    """Zeiler & Fergus 2014 (arXiv:1311.2901, section 4.2), with the fall of the log-odds."""
    patches = occlusion_patches(photo)
    shape = (photo.raster.rows, photo.raster.columns)
    masks = [_mask(shape, patch) for patch in patches]
    before = log_odds(logits[None], schema, classes)[0]
    falls, weights = np.zeros((len(schema), *shape)), np.zeros(shape)
    with reporter.bar("hiding patches", len(patches)) as bar:
        after = []
        for some in photo.without(masks):
            after.append(log_odds(some, schema, classes))
            bar.advance(len(some))
    for patch, fall in zip(patches, before - np.concatenate(after), strict=True):
        weight = np.outer(*(_tent(side.stop - side.start) for side in patch))
        falls[:, *patch] += fall[:, None, None] * weight
        weights[patch] += weight
    return (falls / np.where(weights > 0, weights, 1)).astype(np.float32)


def occlusion_patches(photo: ViewedPhoto) -> list[Patch]:
    """Rows and columns of cells of square patches over all that is seen of a photo, evenly spaced, from edge to edge.

    A patch is a fifth of the longer side of what is seen, or the shorter side if that is less; they are a tenth of the
    longer side apart, or a bit less, so that at most 81 cover it.
    """
    raster, (left, top, right, bottom) = photo.raster, photo.seen
    high, wide = raster.height / raster.rows, raster.width / raster.columns
    longer = max(right - left, bottom - top)
    down = _steps(top / high, bottom / high, longer / high)
    across = _steps(left / wide, right / wide, longer / wide)
    return [(rows, columns) for rows in down for columns in across]


def _mask(shape: tuple[int, int], patch: Patch) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[patch] = True
    return mask


def _tent(length: int) -> npt.NDArray[np.float64]:
    """Weights that rise to the middle and fall again."""
    place = np.arange(length) + 0.5
    weights: npt.NDArray[np.float64] = np.minimum(place, length - place)
    return weights


def _steps(start: float, stop: float, longer: float) -> list[slice]:
    """The patches along one side, in cells."""
    first, last = round(start), max(round(start) + 1, round(stop))
    side = min(last - first, max(1, round(_PATCH * longer)))
    count = 1 + int(np.ceil((last - first - side) / (_STRIDE * longer) - 1e-9))
    return [
        slice(begin, begin + side) for begin in np.rint(np.linspace(first, last - side, count)).astype(int).tolist()
    ]


def log_odds(
    logits: npt.NDArray[np.floating], schema: AttributeSchema, classes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """log(p / (1 - p)) of one class of each attribute.

    Args:
        logits: `[N, ΣC]`.
        schema: what they mean.
        classes: int64 `[K]`.

    Returns:
        float64 `[N, K]`.
    """
    odds = np.empty((len(logits), len(schema)))
    for k, part in enumerate(schema.slices):
        own = logits[:, part].astype(np.float64)
        odds[:, k] = own[:, classes[k]] - np.logaddexp.reduce(np.delete(own, classes[k], axis=1), axis=1)
    return odds
