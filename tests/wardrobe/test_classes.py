import pytest

from gingham.schema import AttributeSchema
from gingham.wardrobe import CLASSES
from gingham.wardrobe.classes import names_of
from gingham.wardrobe.fabrics import FABRICS
from gingham.wardrobe.trims import TRIMS


def test_the_drawn_classes_are_those_of_the_built_in_schema_in_its_order() -> None:
    schema = AttributeSchema.builtin("deepfashion")
    drawn = [(name, classes) for name, classes in CLASSES.items()]
    assert drawn == [(attribute.name, attribute.classes) for attribute in schema.attributes]


def test_every_fabric_has_its_trims() -> None:
    assert list(TRIMS) == list(FABRICS)


def test_names_follow_the_labels() -> None:
    assert names_of((5, 0, 2, 3, 4, 1)) == ("solid", "long_sleeve", "no_dress", "no_neckline", "faux", "loose")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((0, 0, 0, 0, 0), "5 labels for 6 attributes"),
        ((7, 0, 0, 0, 0, 0), "pattern 7 is out of range: it has classes 0 to 6"),
        ((0, 0, 0, -1, 0, 0), "neckline -1 is out of range: it has classes 0 to 3"),
    ],
)
def test_wrong_labels_are_refused(labels: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        names_of(labels)
