"""What is to be said of labels alone: how often each class occurs, and what training never shows together."""

from collections import Counter

from gingham.audit.report import Combination
from gingham.data.table import LabelTable
from gingham.schema import UNLABELLED

__all__ = ["class_counts", "new_combinations", "unlabelled_counts"]


def class_counts(table: LabelTable) -> dict[str, dict[str, dict[str, int]]]:
    """Attribute -> class -> split -> number of images; for the splits that the table has."""
    counts = {name: table.split(name).counts() for name in table.split_names}
    result = {}
    for attribute, part in zip(table.schema.attributes, table.schema.slices, strict=True):
        result[attribute.name] = {
            label: {name: int(values[part][number]) for name, values in counts.items()}
            for number, label in enumerate(attribute.classes)
        }
    return result


def unlabelled_counts(table: LabelTable) -> dict[str, int]:
    """Attribute -> number of images without a label."""
    missing = (table.targets == UNLABELLED).sum(axis=0).tolist()
    return dict(zip(table.schema.names, missing, strict=True))


def new_combinations(table: LabelTable) -> list[Combination]:
    """Combinations of labels outside of the training split that do not occur in it, the most frequent first.

    Only images with a label for every attribute count, on both sides.
    """
    images: dict[tuple[int, ...], list[str]] = {}
    known = Counter[tuple[int, ...]]()
    for row, targets in enumerate(map(tuple, table.targets.tolist())):
        if UNLABELLED in targets:
            continue
        if table.splits[row] == "train":
            known[targets] += 1
        else:
            images.setdefault(targets, []).append(table.images[row])
    new = [(targets, names) for targets, names in images.items() if targets not in known]
    return [
        Combination({name: label or "" for name, label in table.schema.decode(targets).items()}, tuple(names))
        for targets, names in sorted(new, key=lambda entry: (-len(entry[1]), entry[0]))
    ]
