import dataclasses

import numpy as np
import pytest

from gingham.wardrobe.palette import CONTRAST, draw_colours, luminance
from gingham.wardrobe.style import CHOICES, RANGES, Style, draw_style

DRAWS = 2000


@pytest.fixture(scope="module")
def styles() -> list[Style]:
    rng = np.random.default_rng(3)
    return [draw_style(rng) for _ in range(DRAWS)]


def test_every_field_is_a_range_a_choice_a_colour_or_the_seed() -> None:
    fields = {field.name for field in dataclasses.fields(Style)}
    assert fields == {*RANGES, *CHOICES, "seed", "cloth", "inks", "skin", "trousers", "walls"}


def test_the_ranges_are_these() -> None:
    assert dict(RANGES) == {
        "scale": (0.96, 1.06),
        "angle": (-6.0, 6.0),
        "shift_x": (-0.03, 0.03),
        "shift_y": (-0.015, 0.015),
        "sway": (-0.035, 0.035),
        "build": (0.97, 1.05),
        "arm_left": (17.0, 33.0),
        "arm_right": (17.0, 33.0),
        "elbow_left": (0.0, 20.0),
        "elbow_right": (0.0, 20.0),
        "hem": (-1.0, 1.0),
        "neck": (-1.0, 1.0),
        "reach": (-1.0, 1.0),
        "light": (-1.0, 1.0),
        "shade": (0.75, 1.1),
        "exposure": (0.92, 1.18),
        "warmth": (-0.05, 0.05),
        "grain": (0.0, 0.014),
        "quality": (75.0, 96.0),
        "phase_x": (0.0, 1.0),
        "phase_y": (0.0, 1.0),
        "pattern_scale": (0.92, 1.18),
        "pattern_angle": (-1.0, 1.0),
        "weave_scale": (0.95, 1.15),
    }
    assert dict(CHOICES) == {"backdrop": 6, "motif": 6, "mirrored": 2}


@pytest.mark.parametrize("name", list(RANGES))
def test_a_range_is_kept_and_used_to_its_ends(styles: list[Style], name: str) -> None:
    low, high = RANGES[name]
    drawn = np.array([getattr(style, name) for style in styles])
    assert low <= drawn.min() < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < drawn.max() <= high
    assert abs(drawn.mean() - (low + high) / 2) < 0.03 * (high - low)


@pytest.mark.parametrize("name", list(CHOICES))
def test_every_choice_is_made_about_equally_often(styles: list[Style], name: str) -> None:
    counts = np.bincount([getattr(style, name) for style in styles], minlength=CHOICES[name])
    assert len(counts) == CHOICES[name]
    assert counts.min() > 0.8 * DRAWS / CHOICES[name]


def test_what_lies_on_the_cloth_differs_from_it_in_brightness(styles: list[Style]) -> None:
    for style in styles:
        cloth = luminance(style.cloth)
        assert all(abs(luminance(ink) - cloth) >= CONTRAST["ink"] - 1e-6 for ink in style.inks)
        assert abs(luminance(style.skin) - cloth) >= CONTRAST["skin"] - 1e-6
        assert abs(luminance(style.trousers) - cloth) >= CONTRAST["trousers"] - 1e-6
        assert all(abs(luminance(wall) - cloth) >= CONTRAST["wall"] - 1e-6 for wall in style.walls)


def test_the_cloth_has_every_hue_and_both_bright_and_dark_tones(styles: list[Style]) -> None:
    cloths = np.array([style.cloth for style in styles])
    strongest = np.bincount(cloths.argmax(axis=1), minlength=3) / DRAWS
    assert strongest.min() > 0.25
    bright = np.array([luminance(style.cloth) for style in styles])
    assert 0.29 < bright.min() < 0.32
    assert 0.72 < bright.max() < 0.75


def test_colours_stay_within_zero_and_one() -> None:
    rng = np.random.default_rng(8)
    for _ in range(500):
        palette = draw_colours(rng)
        values = np.array([palette.cloth, *palette.inks, palette.skin, palette.trousers, *palette.walls])
        assert values.min() >= 0.0
        assert values.max() <= 1.0


def test_streams_differ_by_name_and_repeat() -> None:
    style = draw_style(np.random.default_rng(0))
    again = style.stream("grain").standard_normal(4)
    assert np.array_equal(again, style.stream("grain").standard_normal(4))
    assert not np.array_equal(again, style.stream("backdrop").standard_normal(4))
