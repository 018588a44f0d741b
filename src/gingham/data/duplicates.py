"""Duplicate photos by their pixels alone: those that decode to the same, and those that merely look it.

Near duplicates are found in two steps. A perceptual hash, the lowest frequencies of a small grey thumbnail, gives
candidates: as in pHash (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"), but kept
as numbers instead of their signs, so that the distance of two hashes is a correlation. The thumbnails themselves then
decide. Mirroring an image changes the sign of the odd horizontal frequencies and nothing else; one search therefore
finds mirrored copies too.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gingham.data.facts import THUMBNAIL, ImageFacts
from gingham.errors import ImageError

__all__ = ["SamePictures", "Twins", "identical_groups", "near_duplicates", "perceptual_hash", "same_pictures"]

Floats = npt.NDArray[np.float32]

_FREQUENCIES = 8
_CANDIDATE = 0.985
"""Least correlation of two hashes; copies at JPEG quality 80 and 90% of the size have more than 0.999."""

_ALIKE = 0.99
"""Least correlation of two thumbnails."""

_LOCAL = 0.4
"""Largest difference in any patch of 3 x 3 thumbnail pixels, in standard deviations: another print or neckline on an
otherwise equal picture shows there, while noise and edges moved by less than a pixel cancel out."""

_PATCH = 3
_FLAT = 2.0
"""Thumbnails whose brightness has a smaller standard deviation, of 255, show nothing that could be compared."""

_BLOCK = 2048


@dataclass(frozen=True)
class Twins:
    """Two near duplicates: rows `first` < `second`, correlation of their thumbnails, and whether one is mirrored."""

    first: int
    second: int
    similarity: float
    mirrored: bool


@dataclass(frozen=True)
class SamePictures:
    """Which of N images show the same picture.

    Attributes:
        identical: rows with identical pixels, group by group, in the order of their first rows.
        twins: near duplicates by row, where the first of an identical group stands for all of it.
        group_of: for each image the first row of its group; images of one picture, identical or near, directly or
            through others, are one group.
    """

    identical: list[list[int]]
    twins: list[Twins]
    group_of: list[int]


def same_pictures(found: Sequence[ImageFacts | ImageError]) -> SamePictures:
    """Find images that show the same picture, from what is known of each; one that cannot be read is a group alone."""
    rows = [row for row, entry in enumerate(found) if isinstance(entry, ImageFacts)]
    facts = [entry for entry in found if isinstance(entry, ImageFacts)]
    groups = [[rows[place] for place in group] for group in identical_groups([entry.pixels for entry in facts])]
    copies = {row for group in groups for row in group[1:]}
    single = [(row, entry.thumbnail) for row, entry in zip(rows, facts, strict=True) if row not in copies]
    thumbnails = np.frombuffer(b"".join(thumbnail for _, thumbnail in single), dtype=np.uint8)
    twins = [
        Twins(single[pair.first][0], single[pair.second][0], pair.similarity, pair.mirrored)
        for pair in near_duplicates(thumbnails.reshape(-1, THUMBNAIL, THUMBNAIL))
    ]
    joined = _Union(len(found))
    for group in groups:
        for row in group[1:]:
            joined.join(group[0], row)
    for pair in twins:
        joined.join(pair.first, pair.second)
    return SamePictures(groups, twins, [joined.root(row) for row in range(len(found))])


def identical_groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Rows of equal key, for keys that occur more than once; in the order of their first rows."""
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return [group for group in rows.values() if len(group) > 1]


def perceptual_hash(thumbnails: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Low frequencies of thumbnails, such that the correlation of two hashes is the sum of the products of both parts.

    Args:
        thumbnails: grey, `[N, S, S]`.

    Returns:
        Coefficients of the two-dimensional DCT-II for the 8 lowest frequencies each way but the mean: `[N, 32]` of
        even horizontal frequencies and `[N, 32]` of odd ones, together of length 1, or 0 where there is no contrast.
        The hash of the mirrored image is the first part and the negative of the second.
    """
    side = thumbnails.shape[-1]
    angles = np.pi / side * np.outer(np.arange(_FREQUENCIES), np.arange(side) + 0.5)
    basis = (np.cos(angles) * np.sqrt(2 / side)).astype(np.float32)
    basis[0] /= np.sqrt(2)
    coefficients = basis @ thumbnails.astype(np.float32) @ basis.T
    coefficients[:, 0, 0] = 0
    length = np.sqrt((coefficients**2).sum(axis=(1, 2), keepdims=True))
    coefficients *= _contrast(thumbnails)[:, None, None] / np.maximum(length, 1e-6)
    even, odd = coefficients[:, :, 0::2], coefficients[:, :, 1::2]
    half = _FREQUENCIES**2 // 2
    return even.reshape(-1, half), odd.reshape(-1, half)


def near_duplicates(thumbnails: npt.NDArray[np.uint8]) -> list[Twins]:
    """Find pairs of images that look the same: other quality, size or file format, or mirrored; no crops.

    Time grows with the square of N, but as products of matrices of 64 columns: a minute or two for 100,000 images.

    Args:
        thumbnails: grey, `[N, S, S]`, of whole images squeezed into squares.

    Returns:
        Pairs sorted by rows.
    """
    even, odd = perceptual_hash(thumbnails)
    twins = []
    for first, seconds, mirrored in _candidates(even, odd):
        left = _normalised(thumbnails[first])
        for second, turned in zip(seconds.tolist(), mirrored.tolist(), strict=True):
            right = _normalised(thumbnails[second][:, ::-1] if turned else thumbnails[second])
            similarity = float((left * right).mean())
            if similarity >= _ALIKE and _local_difference(left - right) <= _LOCAL:
                twins.append(Twins(first, second, min(similarity, 1.0), turned))
    return sorted(twins, key=lambda pair: (pair.first, pair.second))


def _candidates(even: Floats, odd: Floats) -> Iterator[tuple[int, npt.NDArray[np.intp], npt.NDArray[np.bool_]]]:
    """For each row the later rows with nearly the same hash, and whether that is the mirrored one's."""
    for start in range(0, len(even), _BLOCK):
        block = slice(start, start + _BLOCK)
        for other in range(start, len(even), _BLOCK):
            # The larger of the correlations with the image and with its mirror image.
            best = odd[block] @ odd[other : other + _BLOCK].T
            np.abs(best, out=best)
            best += even[block] @ even[other : other + _BLOCK].T
            rows, columns = np.nonzero(best >= _CANDIDATE)
            later = columns + other > rows + start
            rows, columns = rows[later], columns[later]
            mirrored = (odd[rows + start] * odd[columns + other]).sum(axis=1) < 0
            for row in np.unique(rows):
                chosen = rows == row
                yield int(row) + start, columns[chosen] + other, mirrored[chosen]


def _contrast(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    contrast: npt.NDArray[np.bool_] = thumbnails.std(axis=(1, 2), dtype=np.float32) >= _FLAT
    return contrast


def _normalised(thumbnail: npt.NDArray[np.uint8]) -> Floats:
    values = thumbnail.astype(np.float32)
    normalised: Floats = (values - values.mean()) / values.std()
    return normalised


def _local_difference(difference: Floats) -> float:
    patches = np.lib.stride_tricks.sliding_window_view(difference, (_PATCH, _PATCH))
    return float(np.abs(patches.mean(axis=(2, 3))).max())


class _Union:
    """Disjoint sets of the numbers 0 .. count - 1; the root of a set is its smallest member."""

    def __init__(self, count: int) -> None:
        self._above = list(range(count))

    def root(self, number: int) -> int:
        while self._above[number] != number:
            self._above[number] = self._above[self._above[number]]
            number = self._above[number]
        return number

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._above[high] = low
