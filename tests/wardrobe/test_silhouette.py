import itertools

import numpy as np
import pytest

from gingham.wardrobe.silhouette import FITS, LENGTHS, NECKLINES, ROWS, SLEEVES, cut
from gingham.wardrobe.style import Style, draw_style


@pytest.fixture
def style() -> Style:
    return draw_style(np.random.default_rng(11))


@pytest.mark.parametrize("choice", list(itertools.product(SLEEVES, LENGTHS, NECKLINES, FITS)))
def test_every_cut_is_finite_symmetric_and_ends_at_its_hem(style: Style, choice: tuple[str, str, str, str]) -> None:
    outline = cut(style, *choice)
    assert np.isfinite(outline.torso).all()
    assert abs(outline.torso[:, 0].max() + outline.torso[:, 0].min()) < 1e-9
    assert outline.torso[:, 1].max() == pytest.approx(outline.hem + 0.016)
    assert len(outline.sleeves) == (0 if choice[0] == "sleeveless" else 2)
    assert all(np.isfinite(sleeve.outline).all() for sleeve in outline.sleeves)


def test_lengths_and_fits_are_far_apart_whatever_the_style() -> None:
    rng = np.random.default_rng(2)
    styles = [draw_style(rng) for _ in range(100)]
    hems = {
        name: [cut(style, "sleeveless", name, "crew_neckline", "tight").hem for style in styles] for name in LENGTHS
    }
    assert max(hems["no_dress"]) + 0.1 < min(hems["mini_length"])
    assert max(hems["mini_length"]) + 0.2 < min(hems["maxi_length"])
    waist = int(0.375 * ROWS)
    waists = {
        fit: [float(cut(style, "sleeveless", "no_dress", "crew_neckline", fit).widths[waist]) for style in styles]
        for fit in FITS
    }
    assert max(waists["tight"]) + 0.02 < min(waists["conventional"])
    assert max(waists["conventional"]) + 0.04 < min(waists["loose"])


def test_sleeves_reach_as_far_as_their_class_says(style: Style) -> None:
    def lowest(sleeve: str) -> float:
        return max(float(one.cuff[:, 1].max()) for one in cut(style, sleeve, "no_dress", "v_neckline", "tight").sleeves)

    assert lowest("short_sleeve") < 0.33
    assert lowest("long_sleeve") > 0.42


def test_necklines_open_as_far_as_their_class_says() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        style = draw_style(rng)
        line = {name: cut(style, "long_sleeve", "no_dress", name, "tight").neckline for name in NECKLINES}
        depth = {name: float(edge[:, 1].max()) for name, edge in line.items()}
        assert depth["crew_neckline"] < 0.18 < 0.2 < depth["square_neckline"] < 0.26 < depth["v_neckline"]
        width = {name: float(np.ptp(edge[:, 0])) for name, edge in line.items()}
        assert width["crew_neckline"] < width["v_neckline"] < width["square_neckline"] < width["no_neckline"]
