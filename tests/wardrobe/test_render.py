from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from gingham.wardrobe import CLASSES, draw_labels, draw_style, garment, render
from gingham.wardrobe.geometry import Frame, Points, points

SIZE = 96
ORDER = list(CLASSES)
COUNTS = [len(classes) for classes in CLASSES.values()]


def labelled(**names: str) -> list[int]:
    """Labels by class name; cotton, solid and so on where nothing is said."""
    plain = {
        "pattern": "solid",
        "sleeve": "short_sleeve",
        "length": "mini_length",
        "neckline": "crew_neckline",
        "fabric": "cotton",
        "fit": "conventional",
    }
    return [CLASSES[attribute].index((plain | names)[attribute]) for attribute in ORDER]


def pixels(seed: int, size: int = SIZE, **names: str) -> npt.NDArray[np.float64]:
    style = draw_style(np.random.default_rng(seed))
    return np.asarray(render(labelled(**names), style, size).image, dtype=np.float64)


def patch(picture: npt.NDArray[np.float64], seed: int, place: Points, reach: int = 3) -> npt.NDArray[np.float64]:
    """The pixels around a place on the body."""
    style = draw_style(np.random.default_rng(seed))
    column, row = Frame(style, len(picture)).to_pixels(place)[0].astype(int)
    return picture[row - reach : row + reach + 1, column - reach : column + reach + 1]


def test_the_same_arguments_give_the_same_pixels() -> None:
    first, second = garment(7, 3, SIZE), garment(7, 3, SIZE)
    assert first.labels == second.labels
    assert first.style == second.style
    assert np.array_equal(np.asarray(first.picture.image), np.asarray(second.picture.image))
    assert first.picture.box == second.picture.box


def test_another_index_or_seed_gives_another_picture() -> None:
    base = np.asarray(garment(7, 3, SIZE).picture.image)
    assert not np.array_equal(base, np.asarray(garment(7, 4, SIZE).picture.image))
    assert not np.array_equal(base, np.asarray(garment(8, 3, SIZE).picture.image))


@pytest.mark.parametrize("size", [64, 224, 300])
def test_the_picture_is_rgb_square_and_as_large_as_asked(size: int) -> None:
    image = garment(1, 1, size).picture.image
    assert image.mode == "RGB"
    assert image.size == (size, size)


def test_every_pair_of_pattern_and_fabric_renders() -> None:
    for pattern in CLASSES["pattern"]:
        for fabric in CLASSES["fabric"]:
            picture = pixels(5, 64, pattern=pattern, fabric=fabric)
            assert picture.std() > 5.0


def test_the_box_holds_the_garment_and_no_more() -> None:
    # A garment in two colours, all else equal: what changes is the garment (and JPEG's ripples around it).
    for seed in range(8):
        style = replace(draw_style(np.random.default_rng(seed)), grain=0.0, quality=96.0, cloth=(0.0, 0.0, 0.0))
        labels = draw_labels(8, 21)[seed].tolist()
        labels[4] = CLASSES["fabric"].index("cotton")
        dark = render(labels, style, 160)
        light = render(labels, replace(style, cloth=(1.0, 1.0, 1.0)), 160)
        changed = np.abs(np.asarray(dark.image, dtype=float) - np.asarray(light.image, dtype=float)).max(axis=2) > 60
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert dark.box == light.box
        assert np.abs(np.array(found) - np.array(dark.box)).max() <= 4


def test_boxes_lie_in_the_picture_and_are_not_empty() -> None:
    for index in range(24):
        x1, y1, x2, y2 = garment(2, index, 64).picture.box
        assert 0 <= x1 < x2 <= 64
        assert 0 <= y1 < y2 <= 64
        assert (x2 - x1) * (y2 - y1) > 0.05 * 64 * 64


CHEST, SKIRT = points((0.0, 0.36)), points((0.0, 0.60))


@pytest.mark.parametrize(
    ("attribute", "other", "place"),
    [
        ("sleeve", "sleeveless", CHEST),
        ("sleeve", "long_sleeve", CHEST),
        ("length", "maxi_length", CHEST),
        ("length", "no_dress", CHEST),
        ("neckline", "v_neckline", CHEST),
        ("neckline", "no_neckline", SKIRT),
        ("neckline", "square_neckline", CHEST),
        ("pattern", "graphic", SKIRT),
    ],
)
@pytest.mark.parametrize("fabric", ["cotton", "faux"])
def test_a_changed_attribute_leaves_the_rest_of_the_cloth_alone(
    attribute: str, other: str, place: Points, fabric: str
) -> None:
    for seed in range(2):
        before = patch(pixels(seed, 160, fabric=fabric), seed, place)
        after = patch(pixels(seed, 160, fabric=fabric, **{attribute: other}), seed, place)
        # Not exactly equal: JPEG carries a change on into the rest of its 16-pixel block.
        assert np.abs(before - after).mean() < 4.0


@pytest.mark.parametrize("attribute", ORDER)
def test_a_changed_attribute_changes_the_picture_but_not_the_room(attribute: str) -> None:
    position = ORDER.index(attribute)
    for seed in range(4):
        style = draw_style(np.random.default_rng(seed))
        labels = draw_labels(4, 5)[seed].tolist()
        before = np.asarray(render(labels, style, 160).image, dtype=float)
        labels[position] = (labels[position] + 1) % COUNTS[position]
        after = np.asarray(render(labels, style, 160).image, dtype=float)
        changed = np.abs(before - after).mean(axis=2)
        assert changed.max() > 25.0
        corner = 16
        assert changed[:corner, :corner].max() < 8.0
        assert changed[:corner, -corner:].max() < 8.0


def test_lettering_is_never_mirrored() -> None:
    style = replace(draw_style(np.random.default_rng(6)), motif=2, grain=0.0, angle=0.0, shift_x=0.0, sway=0.0)
    style = replace(style, pattern_angle=0.0, light=0.0, phase_x=0.5)
    chest = (60, 45, 140, 100)
    upright, mirrored = (
        np.asarray(render(labelled(pattern="graphic"), replace(style, mirrored=which), 200).image.crop(chest), float)
        for which in (0, 1)
    )
    flipped = mirrored[:, ::-1]
    assert np.abs(upright - mirrored).mean() < np.abs(upright - flipped).mean()


def test_average_colours_do_not_give_the_attributes_away() -> None:
    count, train = 300, 220
    labels = draw_labels(count, 13)
    grids = []
    for index in range(count):
        image = garment(13, index, 48).picture.image
        grids.append(np.asarray(image.resize((3, 3), Image.Resampling.BOX), dtype=float).ravel())
    cells = np.array(grids)
    averages = cells.reshape(count, 9, 3).mean(axis=1)
    # The grid is stricter than the specification asks: even where the colours are tells too little.
    for features, most in ((averages, 0.40), (cells, 0.60)):
        scaled = StandardScaler().fit(features[:train]).transform(features)
        recalls = []
        for column, classes in enumerate(COUNTS):
            model = LogisticRegression(max_iter=300).fit(scaled[:train], labels[:train, column])
            right = model.predict(scaled[train:]) == labels[train:, column]
            recalls += [right[labels[train:, column] == which].mean() for which in range(classes)]
        assert np.mean(recalls) < most
