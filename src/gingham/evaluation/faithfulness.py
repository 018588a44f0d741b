"""How faithful heat maps are: what hiding and showing parts in their order does to tags, and what lies in the box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import UserError
from gingham.evaluation.bootstrap import Difference, Interval, bootstrap_interval, paired_difference

__all__ = ["Faithfulness", "Measured", "Summary", "centre_map", "curve_area", "in_box", "removals", "summarise"]

_Floats = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

_CHANCE = ("random", "centre")
"""Maps that know nothing of the network: nobody asks whether one of them is better than the other."""

MEASURES = ("deletion", "insertion", "in_box", "pointing")


def removals(weights: npt.NDArray[np.floating[Any]], seen: _Mask, steps: int, seed: int = 0) -> list[_Mask]:
    """Masks of the heaviest 1/steps, 2/steps ... of what is seen; the last one is all of it.

    Args:
        weights: `[h, w]`; the order counts only. Equal ones come in random order.
        seen: `[h, w]`, the cells that are in the game.
        steps: how many masks.
        seed: of the order of equals.
    """
    cells = np.flatnonzero(seen)
    shuffled = np.random.default_rng(seed).permutation(cells)
    order = shuffled[np.argsort(-weights.ravel()[shuffled], kind="stable")]
    masks = []
    for step in range(1, steps + 1):
        mask = np.zeros(seen.size, dtype=np.bool_)
        mask[order[: round(len(order) * step / steps)]] = True
        masks.append(mask.reshape(seen.shape))
    return masks


def curve_area(values: _Floats) -> _Floats:
    """Area under curves `[..., T + 1]` of values at 0, 1/T ... 1, by the trapezoidal rule: `[...]`.

    Petsiuk, Das & Saenko 2018 (RISE, arXiv:1806.07421, section 4.1).
    """
    area: _Floats = (values[..., :-1] + values[..., 1:]).mean(axis=-1) / 2
    return area


def centre_map(rows: int, columns: int, deviation: float = 0.25) -> _Floats:
    """A normal density about the middle, of standard deviation `deviation` of each side: `[rows, columns]`, sum 1.

    All that it knows is that photographers put things into the middle.
    """
    down, across = ((np.arange(length) + 0.5) / length - 0.5 for length in (rows, columns))
    density = np.exp(-(down[:, None] ** 2 + across[None, :] ** 2) / (2 * deviation**2))
    normalised: _Floats = density / density.sum()
    return normalised


def in_box(maps: npt.NDArray[np.floating[Any]], inside: _Floats) -> tuple[_Floats, _Floats]:
    """How much of maps lies in the garment's box, and whether their peak does.

    Args:
        maps: `[K, h, w]`; what is negative does not count.
        inside: `[h, w]`, the share of each cell that is in the box.

    Returns:
        The share of the weight in the box, `[K]`, NaN of a map without weight; and the pointing game (Zhang et al.
        2016, arXiv:1608.00507): 1 where the heaviest cell is in the box, or the share of the heaviest ones that is.
    """
    weights = np.clip(maps.astype(np.float64), 0, None)
    total = weights.sum(axis=(1, 2))
    share = np.divide((weights * inside).sum(axis=(1, 2)), total, out=np.full(len(maps), np.nan), where=total > 0)
    peaks = weights == weights.max(axis=(1, 2), keepdims=True)
    return share, (peaks * inside).sum(axis=(1, 2)) / peaks.sum(axis=(1, 2))


@dataclass(frozen=True)
class Measured:
    """One kind of map of N photos and K attributes.

    Attributes:
        deletion: float64 `[N, K]`, area under the tag's probability as the heaviest parts are hidden first.
        insertion: float64 `[N, K]`, area under it as they are shown first, over a blur.
        in_box: float64 `[N, K]`, share of the weight inside the garment's box; NaN where there is none.
        pointing: float64 `[N, K]`, whether the peak is in the box; NaN where there is none.
    """

    deletion: _Floats
    insertion: _Floats
    in_box: _Floats
    pointing: _Floats


@dataclass(frozen=True)
class Faithfulness:
    """What was measured.

    Attributes:
        attributes: K names.
        maps: each kind of map, by name.
        box_area: float64 `[N]`, the box's share of the photo; NaN where there is none.
    """

    attributes: tuple[str, ...]
    maps: Mapping[str, Measured]
    box_area: _Floats


@dataclass(frozen=True)
class Summary:
    """Mean over attributes, then over photos; fractions 0..1.

    Attributes:
        images: N.
        boxes: how many of them have a box.
        box_area: mean share of the photo that the box has.
        means: kind of map -> measure -> mean and its 95% interval over photos, or None where nothing was measured.
        against: kind of map -> baseline -> measure -> the difference (first less second), paired over photos.
        per_attribute: kind of map -> measure -> attribute -> mean.
    """

    images: int
    boxes: int
    box_area: float | None
    means: Mapping[str, Mapping[str, tuple[float, Interval | None] | None]]
    against: Mapping[str, Mapping[str, Mapping[str, Difference]]]
    per_attribute: Mapping[str, Mapping[str, Mapping[str, float | None]]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "images": self.images,
            "boxes": self.boxes,
            "box_area": self.box_area,
            "means": {
                kind: {
                    measure: None if found is None else {"mean": found[0], "ci95": found[1] and list(found[1])}
                    for measure, found in measures.items()
                }
                for kind, measures in self.means.items()
            },
            "against": {
                kind: {
                    other: {measure: difference.to_json() for measure, difference in measures.items()}
                    for other, measures in others.items()
                }
                for kind, others in self.against.items()
            },
            "per_attribute": {kind: dict(measures) for kind, measures in self.per_attribute.items()},
        }


def summarise(
    found: Faithfulness,
    baselines: Sequence[str] = ("random", "centre", "attention"),
    *,
    bootstrap: int = 2000,
    seed: int = 0,
) -> Summary:
    """Means, with percentile intervals of the bootstrap over photos; a difference draws the same photos for both.

    Args:
        found: at least one photo.
        baselines: the kinds of maps that others are compared with: those that are none, and those that come later.
        bootstrap: number of resamples; 0 = no intervals.
        seed: of the resampling.

    Raises:
        UserError: a negative number of resamples.
    """
    if bootstrap < 0:
        raise UserError(f"bootstrap: {bootstrap} resamples asked for; give a positive number, or 0 for no intervals")
    images = len(found.box_area)
    drawn = np.random.default_rng(seed).integers(images, size=(bootstrap, images))
    boxed = ~np.isnan(found.box_area)
    means: dict[str, dict[str, tuple[float, Interval | None] | None]] = {}
    against: dict[str, dict[str, dict[str, Difference]]] = {}
    for kind, measured in found.maps.items():
        photos = _photos(measured)
        means[kind] = {
            name: None
            if np.isnan(values).all()
            else (float(np.nanmean(values)), bootstrap_interval(_means(values, drawn)))
            for name, values in photos.items()
        }
        against[kind] = {
            other: {name: _paired(values, _photos(found.maps[other])[name], drawn) for name, values in photos.items()}
            for other in baselines[: baselines.index(kind) if kind in baselines else None]
            if other in found.maps and kind not in _CHANCE
        }
    return Summary(
        images,
        int(boxed.sum()),
        float(found.box_area[boxed].mean()) if boxed.any() else None,
        means,
        {kind: others for kind, others in against.items() if others},
        {
            kind: {
                name: dict(zip(found.attributes, _attribute_means(getattr(measured, name)), strict=True))
                for name in MEASURES
            }
            for kind, measured in found.maps.items()
        },
    )


def _photos(measured: Measured) -> dict[str, _Floats]:
    """Measure -> the mean over attributes of each photo, `[N]`; NaN where no attribute has a value."""
    return {name: _mean_of_rows(getattr(measured, name)) for name in MEASURES}


def _mean_of_rows(values: _Floats) -> _Floats:
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1)
    means: _Floats = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def _attribute_means(values: _Floats) -> list[float | None]:
    return [None if np.isnan(mean) else float(mean) for mean in _mean_of_rows(values.T)]


def _means(values: _Floats, drawn: npt.NDArray[np.int64]) -> _Floats:
    return _mean_of_rows(values[drawn])


def _paired(ours: _Floats, theirs: _Floats, drawn: npt.NDArray[np.int64]) -> Difference:
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    ours, theirs = np.where(both, ours, np.nan), np.where(both, theirs, np.nan)
    gains = _means(ours - theirs, drawn)
    mean = _mean_of_rows(np.stack([theirs, ours]))
    return paired_difference(float(mean[0]), float(mean[1]), gains)
