"""What is to be said of images alone: unreadable and odd ones, duplicates, boxes that leave them."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np

from gingham.audit.report import BoxOutside, Odd, Pair, Unreadable
from gingham.data.duplicates import SamePictures
from gingham.data.facts import ODDITIES, ImageFacts, oddities
from gingham.data.table import LabelTable
from gingham.errors import ImageError
from gingham.schema import UNLABELLED

__all__ = ["boxes_outside", "duplicate_pairs", "odd_images", "unreadable_images"]

Found = Sequence[ImageFacts | ImageError]

_PAIRED = 10
"""Of groups of identical images no more than this many are paired: pairs grow with the square."""

_ROUNDING = 1.0
"""Pixels by which a box may leave the image without a word."""


def unreadable_images(table: LabelTable, found: Found) -> list[Unreadable]:
    """The images that could not be read."""
    return [
        Unreadable(table.images[row], table.splits[row], entry.reason, str(entry).removeprefix(f"{table.path(row)}: "))
        for row, entry in enumerate(found)
        if isinstance(entry, ImageError)
    ]


def odd_images(table: LabelTable, found: Found) -> list[Odd]:
    """All oddities of all images, kind by kind in the order of `ODDITIES`."""
    order = list(ODDITIES)
    odd = [
        Odd(kind, table.images[row], table.splits[row], detail)
        for row, entry in enumerate(found)
        if isinstance(entry, ImageFacts)
        for kind, detail in oddities(entry, table.images[row]).items()
    ]
    return sorted(odd, key=lambda entry: order.index(entry.kind))


def duplicate_pairs(table: LabelTable, same: SamePictures) -> list[Pair]:
    """The pairs of images that show the same picture, first the identical ones."""
    pairs = [_pair(table, pair, 1.0, False) for group in same.identical for pair in combinations(group[:_PAIRED], 2)]
    members = {group[0]: group for group in same.identical}
    for twins in same.twins:
        mine, theirs = (members.get(row, [row])[:_PAIRED] for row in (twins.first, twins.second))
        pairs += [_pair(table, pair, twins.similarity, twins.mirrored, near=True) for pair in product(mine, theirs)]
    return pairs


def boxes_outside(table: LabelTable, found: Found) -> list[BoxOutside]:
    """The boxes that leave their images by more than a pixel."""
    outside = []
    for row, entry in enumerate(found):
        if table.boxes is None or not isinstance(entry, ImageFacts) or np.isnan(table.boxes[row]).any():
            continue
        x1, y1, x2, y2 = (float(value) for value in table.boxes[row])
        if max(-x1, -y1, x2 - entry.width, y2 - entry.height) <= _ROUNDING:
            continue
        inside = max(0.0, min(x2, entry.width) - max(x1, 0.0)) * max(0.0, min(y2, entry.height) - max(y1, 0.0))
        share = 1 - inside / ((x2 - x1) * (y2 - y1))
        outside.append(
            BoxOutside(table.images[row], table.splits[row], (x1, y1, x2, y2), (entry.width, entry.height), share)
        )
    return outside


def _pair(table: LabelTable, rows: tuple[int, int], similarity: float, mirrored: bool, *, near: bool = False) -> Pair:
    first, second = sorted(rows)
    differing = {
        attribute.name: (attribute.classes[mine], attribute.classes[theirs])
        for attribute, mine, theirs in zip(
            table.schema.attributes, table.targets[first].tolist(), table.targets[second].tolist(), strict=True
        )
        if mine != theirs and UNLABELLED not in (mine, theirs)
    }
    return Pair(
        (table.images[first], table.images[second]),
        (table.splits[first], table.splits[second]),
        "near" if near else "identical",
        similarity,
        mirrored,
        differing,
    )
