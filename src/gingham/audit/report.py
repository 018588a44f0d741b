"""What an audit found, as plain values: `to_json` is the file that `gingham audit --json` writes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import gingham
from gingham.data.facts import ODDITIES

__all__ = ["AttributeErrors", "BoxOutside", "Combination", "LabelError", "Odd", "Pair", "Report", "Unreadable"]

_FORMAT = 1


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read: `reason` is that of its `ImageError`, `text` the message."""

    image: str
    split: str
    reason: str
    text: str


@dataclass(frozen=True)
class Odd:
    """One oddity of one image; `kind` is a key of `data.facts.ODDITIES`, `detail` a few words or empty."""

    kind: str
    image: str
    split: str
    detail: str


@dataclass(frozen=True)
class Pair:
    """Two images that show the same picture.

    Attributes:
        images: their names.
        splits: their splits.
        kind: `identical` = they decode to the same pixels; `near` = they look the same.
        similarity: correlation of grey thumbnails, at most 1.
        mirrored: whether one is the other's mirror image.
        differing: attribute -> the classes of both, where both are labelled and differ.
    """

    images: tuple[str, str]
    splits: tuple[str, str]
    kind: Literal["identical", "near"]
    similarity: float
    mirrored: bool
    differing: Mapping[str, tuple[str, str]]

    @property
    def straddles(self) -> bool:
        """Whether its images are in different splits."""
        return self.splits[0] != self.splits[1]


@dataclass(frozen=True)
class Combination:
    """A combination of labels, attribute -> class, that no training image has, and the images that have it."""

    labels: Mapping[str, str]
    images: tuple[str, ...]


@dataclass(frozen=True)
class BoxOutside:
    """A garment's box `x1 y1 x2 y2` that leaves the image of `size` pixels, with `outside` of its area, 0..1."""

    image: str
    split: str
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    outside: float


@dataclass(frozen=True)
class LabelError:
    """A label that may be wrong.

    Attributes:
        image: its image.
        split: of the image.
        attribute: which label.
        given: the label.
        suggested: the class that the others of its kind speak for.
        score: probability of the given label, predicted without having seen this image: the lower, the more doubtful.
        likely: whether confident learning counts it as an error.
    """

    image: str
    split: str
    attribute: str
    given: str
    suggested: str
    score: float
    likely: bool


@dataclass(frozen=True)
class AttributeErrors:
    """The doubtful labels of one attribute.

    Attributes:
        judged: how many labels were looked at.
        agreement: share of these that the out-of-fold prediction agrees with; where it is low, trust the list less.
            None = nothing could be judged.
        likely: how many are likely wrong.
        too_rare: classes with too few different photos for a judgement.
        candidates: the most doubtful ones, the worst first; all likely ones are among them.
    """

    judged: int
    agreement: float | None
    likely: int
    too_rare: tuple[str, ...]
    candidates: tuple[LabelError, ...]


@dataclass(frozen=True)
class Report:
    """All that an audit found.

    Attributes:
        data: the data set.
        model: the model whose backbone looked at the labels; None = no model.
        splits: split -> number of images.
        unreadable: see `Unreadable`.
        odd: see `Odd`; in the order of `ODDITIES`.
        identical: groups of images that decode to the same pixels.
        pairs: see `Pair`; of groups of more than ten images only the first ten are paired.
        classes: attribute -> class -> split -> number of images.
        unlabelled: attribute -> number of images without a label.
        combinations: see `Combination`; the most frequent first.
        boxes: see `BoxOutside`.
        label_errors: attribute -> see `AttributeErrors`; None = no model.
    """

    data: str
    model: str | None
    splits: Mapping[str, int]
    unreadable: Sequence[Unreadable]
    odd: Sequence[Odd]
    identical: Sequence[tuple[str, ...]]
    pairs: Sequence[Pair]
    classes: Mapping[str, Mapping[str, Mapping[str, int]]]
    unlabelled: Mapping[str, int]
    combinations: Sequence[Combination]
    boxes: Sequence[BoxOutside]
    label_errors: Mapping[str, AttributeErrors] | None

    @property
    def near(self) -> list[Pair]:
        """Pairs that look the same without being identical."""
        return [pair for pair in self.pairs if pair.kind == "near"]

    @property
    def straddling(self) -> list[Pair]:
        """Pairs, identical or near, whose images are in different splits."""
        return [pair for pair in self.pairs if pair.straddles]

    @property
    def disagreeing(self) -> list[Pair]:
        """Pairs, identical or near, with different labels; the identical ones first."""
        return sorted((pair for pair in self.pairs if pair.differing), key=lambda pair: pair.kind)

    @property
    def ranked_errors(self) -> list[LabelError]:
        """The candidates of all attributes, the most doubtful first."""
        found = [error for part in (self.label_errors or {}).values() for error in part.candidates]
        return sorted(found, key=lambda error: error.score)

    @property
    def counts(self) -> dict[str, int]:
        """What was found, as numbers; `label_errors` only with a model."""
        counts = {
            "images": sum(self.splits.values()),
            "unreadable": len(self.unreadable),
            "odd": len({entry.image for entry in self.odd}),
            "identical_pairs": sum(pair.kind == "identical" for pair in self.pairs),
            "near_duplicate_pairs": len(self.near),
            "pairs_across_splits": len(self.straddling),
            "pairs_with_different_labels": len(self.disagreeing),
            "boxes_outside": len(self.boxes),
            "new_combinations": len(self.combinations),
        }
        if self.label_errors is not None:
            counts["likely_label_errors"] = sum(part.likely for part in self.label_errors.values())
        return counts

    def imbalance(self, attribute: str) -> float | None:
        """Training images of the most frequent class over those of the rarest; None if a class has none."""
        counts = [per_split.get("train", 0) for per_split in self.classes[attribute].values()]
        return max(counts) / min(counts) if min(counts) else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; docs/audit.md describes the fields."""
        errors = self.label_errors
        return {
            "format": _FORMAT,
            "gingham": gingham.__version__,
            "data": self.data,
            "model": self.model,
            "splits": dict(self.splits),
            "counts": self.counts,
            "unreadable": [asdict(entry) for entry in self.unreadable],
            "odd": {
                kind: [{**asdict(entry)} for entry in self.odd if entry.kind == kind]
                for kind in ODDITIES
                if any(entry.kind == kind for entry in self.odd)
            },
            "identical": [list(group) for group in self.identical],
            "pairs": [
                {**asdict(pair), "across_splits": pair.straddles, "differing": _plain(pair.differing)}
                for pair in self.pairs
            ],
            "classes": {
                attribute: {
                    "counts": {label: dict(counts) for label, counts in classes.items()},
                    "unlabelled": self.unlabelled[attribute],
                    "imbalance": self.imbalance(attribute),
                }
                for attribute, classes in self.classes.items()
            },
            "new_combinations": [asdict(entry) for entry in self.combinations],
            "boxes_outside": [asdict(entry) for entry in self.boxes],
            "label_errors": None if errors is None else {name: asdict(part) for name, part in errors.items()},
            "ranked_label_errors": None if errors is None else [asdict(error) for error in self.ranked_errors],
        }


def _plain(differing: Mapping[str, tuple[str, str]]) -> dict[str, list[str]]:
    return {attribute: list(labels) for attribute, labels in differing.items()}
