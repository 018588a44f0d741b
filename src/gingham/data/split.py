"""A random split that is stratified over all attributes at once and keeps identical photos together."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.schema import UNLABELLED, AttributeSchema
from gingham.storage import sha256_file

__all__ = ["photo_groups", "stratified_split"]


def photo_groups(paths: Sequence[Path], names: Sequence[str]) -> list[str]:
    """Name the group of each photo: photos of identical bytes have the same name, all others different ones.

    Args:
        paths: N files.
        names: N unique names.

    Returns:
        N group names; a group is called after the first, in sorted order, of its photos' names.

    Raises:
        DataError: a file cannot be read.
    """
    by_size: dict[int, list[int]] = {}
    for row, path in enumerate(paths):
        by_size.setdefault(_readable(path).stat().st_size, []).append(row)
    groups = list(names)
    for rows in by_size.values():
        if len(rows) == 1:
            continue  # only files of equal size can be identical: most need not be read
        by_content: dict[str, list[int]] = {}
        for row in rows:
            by_content.setdefault(_sha256(paths[row]), []).append(row)
        for same in by_content.values():
            name = min(names[row] for row in same)
            for row in same:
                groups[row] = name
    return groups


def stratified_split(
    targets: npt.NDArray[np.int64], schema: AttributeSchema, groups: Sequence[Any], val_fraction: float, seed: int
) -> tuple[str, ...]:
    """Split images into `train` and `val` so that every class of every attribute has its share in both.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): the images of the class with the fewest that are
    left are dealt first, each to the part that still wants most of that class. Groups are dealt whole. A class
    that occurs in two groups or more is wanted at least once by either part, and a last pass moves groups to
    where such a class is still absent, unless that would rob another class.

    The result is a function of the groups' names and labels and the seed: the order of the rows does not matter.

    Args:
        targets: `[N, K]`, -1 = not labelled.
        schema: what they mean.
        groups: N names (any values, compared by their text); rows of equal name stay together.
        val_fraction: wanted share of `val`, between 0 and 1.
        seed: another seed gives another split.

    Returns:
        `train` or `val` for each row.

    Raises:
        DataError: fewer than two groups, so that there is nothing to split.
    """
    names = [str(group) for group in groups]
    # Ordered by a hash of the name, not shuffled: independent of the order of rows and of any generator's version.
    order = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "replace")).digest())
    if len(order) < 2:
        raise DataError(f"cannot split {len(names)} images of {len(order)} different photos into train and val")
    position = {name: number for number, name in enumerate(order)}
    group_of = np.array([position[name] for name in names])
    content = _group_contents(targets, schema, group_of, len(order))
    in_val = _deal(content, val_fraction)
    _repair(content, in_val)
    return tuple("val" if in_val[group] else "train" for group in group_of)


def _group_contents(
    targets: npt.NDArray[np.int64], schema: AttributeSchema, group_of: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Images of each class in each group, `[G, ΣC + 1]`; the last column counts all images, as if a class of its own.

    That column makes the parts' sizes right, deals the images without labels, and keeps either part from being empty.
    """
    content = np.zeros((count, schema.total + 1), dtype=np.int64)
    for column, part in enumerate(schema.slices):
        labelled = targets[:, column] != UNLABELLED
        np.add.at(content, (group_of[labelled], part.start + targets[labelled, column]), 1)
    np.add.at(content[:, -1], group_of, 1)
    return content


def _deal(content: npt.NDArray[np.int64], val_fraction: float) -> npt.NDArray[np.bool_]:
    """Which groups go to val, `[G]`: iterative stratification of groups `[G, L]`."""
    totals = content.sum(axis=0)
    wanted_by_val = totals * val_fraction
    several = (content > 0).sum(axis=0) >= 2
    wanted_by_val[several] = np.clip(wanted_by_val[several], 1, totals[several] - 1)
    wanted = np.stack([totals - wanted_by_val, wanted_by_val])
    in_val = np.zeros(len(content), dtype=np.bool_)
    dealt = np.zeros(len(content), dtype=np.bool_)
    left = totals.copy()
    while left.any():
        scarcest = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for group in np.flatnonzero(~dealt & (content[:, scarcest] > 0)):
            train, val = wanted[0, scarcest], wanted[1, scarcest]
            if train == val:
                train, val = wanted[0, -1], wanted[1, -1]
            in_val[group] = val > train
            wanted[int(in_val[group])] -= content[group]
            left -= content[group]
            dealt[group] = True
    return in_val


def _repair(content: npt.NDArray[np.int64], in_val: npt.NDArray[np.bool_]) -> None:
    """Move groups, in place, to where a class is absent that occurs in two groups or more; the scarcest class first."""
    present = content > 0
    occurrences = present.sum(axis=0)
    for column in np.argsort(occurrences, kind="stable"):
        holders = np.flatnonzero(present[:, column])
        if len(holders) < 2 or 0 < in_val[holders].sum() < len(holders):
            continue
        side = in_val[holders[0]]
        here = present[in_val == side].sum(axis=0)
        # Every class of the group that moves must stay present here, unless it occurs in that group alone.
        movable = [group for group in holders if ((here > 1) | (occurrences == 1))[present[group]].all()]
        if movable:
            in_val[min(movable, key=lambda group: int(content[group, -1]))] = not side


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return path


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as failure:
        raise DataError(f"{path}: cannot be read ({failure.strerror})") from None
