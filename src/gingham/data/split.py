"""Random splits and folds that are stratified over all attributes at once and keep groups of photos together."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gingham.errors import DataError
from gingham.schema import UNLABELLED, AttributeSchema
from gingham.storage import sha256_file

__all__ = ["photo_groups", "stratified_folds", "stratified_split"]


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
    group_of, count = _ordered(groups, seed)
    if count < 2:
        raise DataError(f"cannot split {len(group_of)} images of {count} different photos into train and val")
    content = _group_contents(targets, schema, group_of, count)
    totals = content.sum(axis=0)
    wanted_by_val = totals * val_fraction
    several = (content > 0).sum(axis=0) >= 2
    wanted_by_val[several] = np.clip(wanted_by_val[several], 1, totals[several] - 1)
    part_of = _deal(content, np.stack([totals - wanted_by_val, wanted_by_val]))
    return tuple(("train", "val")[part] for part in part_of[group_of])


def stratified_folds(
    targets: npt.NDArray[np.int64], schema: AttributeSchema, groups: Sequence[Any], folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """Deal images into folds, each with an equal share of every class of every attribute, as `stratified_split` does.

    Args:
        targets: `[N, K]`, -1 = not labelled.
        schema: what they mean.
        groups: N names; rows of equal name stay together.
        folds: how many, at least 2.
        seed: another seed gives other folds.

    Returns:
        The fold of each row, `[N]`, 0 .. folds-1.

    Raises:
        DataError: fewer groups than folds, or a class with examples in fewer groups than folds.
    """
    group_of, count = _ordered(groups, seed)
    if count < folds:
        raise DataError(
            f"{len(group_of)} images of {count} different photos are too few for data.folds={folds}; "
            "set it to fewer folds, or to null"
        )
    content = _group_contents(targets, schema, group_of, count)
    occurrences = (content > 0).sum(axis=0)
    rare = [f"{name} ({n})" for name, n in zip(schema.columns, occurrences[:-1], strict=True) if 0 < n < folds]
    if rare:
        raise DataError(
            f"classes with too few different photos for data.folds={folds}: {', '.join(rare)}; each fold needs one; "
            "set it to fewer folds or null, or leave these labels out with data.unlabelled"
        )
    part_of = _deal(content, np.tile(content.sum(axis=0) / folds, (folds, 1)))
    return part_of[group_of]


def _ordered(groups: Sequence[Any], seed: int) -> tuple[npt.NDArray[np.int64], int]:
    """The group of each row by its number in an order that only names and seed decide, and how many there are."""
    names = [str(group) for group in groups]
    # Ordered by a hash of the name, not shuffled: independent of the order of rows and of any generator's version.
    order = sorted(set(names), key=lambda name: hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "replace")).digest())
    position = {name: number for number, name in enumerate(order)}
    return np.array([position[name] for name in names], dtype=np.int64), len(order)


def _group_contents(
    targets: npt.NDArray[np.int64], schema: AttributeSchema, group_of: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """Images of each class in each group, `[G, ΣC + 1]`; the last column counts all images, as if a class of its own.

    That column makes the parts' sizes right, deals the images without labels, and keeps every part from being empty.
    """
    content = np.zeros((count, schema.total + 1), dtype=np.int64)
    for column, part in enumerate(schema.slices):
        labelled = targets[:, column] != UNLABELLED
        np.add.at(content, (group_of[labelled], part.start + targets[labelled, column]), 1)
    np.add.at(content[:, -1], group_of, 1)
    return content


def _deal(content: npt.NDArray[np.int64], wanted: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Which part each group `[G, L]` goes to, `[G]`, where parts want so many images of each class, `[P, L]`."""
    wanted = wanted.copy()
    part_of = np.zeros(len(content), dtype=np.int64)
    dealt = np.zeros(len(content), dtype=np.bool_)
    left = content.sum(axis=0)
    while left.any():
        scarcest = int(np.where(left > 0, left, np.iinfo(np.int64).max).argmin())
        for group in np.flatnonzero(~dealt & (content[:, scarcest] > 0)):
            wish = wanted[:, scarcest]
            keenest = np.flatnonzero(wish == wish.max())
            # Of equals the part that lacks most images, else the first.
            part_of[group] = keenest[wanted[keenest, -1].argmax()]
            wanted[part_of[group]] -= content[group]
            left -= content[group]
            dealt[group] = True
    _repair(content, part_of, len(wanted))
    return part_of


def _repair(content: npt.NDArray[np.int64], part_of: npt.NDArray[np.int64], parts: int) -> None:
    """Move groups, in place, to parts that lack a class of which each could have a group; the scarcest class first."""
    present = content > 0
    occurrences = present.sum(axis=0)
    for column in np.argsort(occurrences, kind="stable"):
        holders = np.flatnonzero(present[:, column])
        if len(holders) < parts:
            continue
        for part in sorted(set(range(parts)) - set(part_of[holders].tolist())):
            held = np.stack([present[part_of == other].sum(axis=0) for other in range(parts)])
            # Every class of the group that moves must stay present where it was, unless it cannot be everywhere anyway.
            movable = [
                group for group in holders if ((held[part_of[group]] > 1) | (occurrences < parts))[present[group]].all()
            ]
            if movable:
                part_of[min(movable, key=lambda group: int(content[group, -1]))] = part


def _readable(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return path


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as failure:
        raise DataError(f"{path}: cannot be read ({failure.strerror})") from None
