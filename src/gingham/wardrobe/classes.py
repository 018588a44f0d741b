"""The classes that the wardrobe can draw, gathered from the dictionaries of draw functions."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gingham.wardrobe.fabrics import FABRICS
from gingham.wardrobe.patterns import PATTERNS
from gingham.wardrobe.silhouette import FITS, LENGTHS, NECKLINES, SLEEVES

__all__ = ["CLASSES", "names_of"]

CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pattern": tuple(PATTERNS),
        "sleeve": tuple(SLEEVES),
        "length": tuple(LENGTHS),
        "neckline": tuple(NECKLINES),
        "fabric": tuple(FABRICS),
        "fit": tuple(FITS),
    }
)
"""Attribute -> its classes, both in the order of the built-in schema `deepfashion`."""


def names_of(labels: Sequence[int]) -> tuple[str, ...]:
    """The class names of six class indices.

    Raises:
        ValueError: not one label per attribute, or a label out of range.
    """
    if len(labels) != len(CLASSES):
        raise ValueError(f"{len(labels)} labels for {len(CLASSES)} attributes")
    for label, (attribute, classes) in zip(labels, CLASSES.items(), strict=True):
        if not 0 <= label < len(classes):
            raise ValueError(f"{attribute} {label} is out of range: it has classes 0 to {len(classes) - 1}")
    return tuple(classes[label] for label, classes in zip(labels, CLASSES.values(), strict=True))
