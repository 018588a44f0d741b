from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from gingham.wardrobe import CLASSES, Style, draw_style, render

SIZE = 96
SOLID, COTTON = CLASSES["pattern"].index("solid"), CLASSES["fabric"].index("cotton")
PATTERNS, FABRICS = range(len(CLASSES["pattern"])), range(len(CLASSES["fabric"]))
STYLES = [draw_style(np.random.default_rng(seed)) for seed in (0, 1)]

Pictures = dict[tuple[int, int], npt.NDArray[np.float64]]


@pytest.fixture(scope="module")
def cloths() -> Pictures:
    """Every pattern on every fabric, all else equal, in the box of the plain garment: [styles, pixels]."""
    boxes = [render((SOLID, 1, 1, 0, COTTON, 2), style, SIZE).box for style in STYLES]
    return {
        (pattern, fabric): np.concatenate(
            [
                np.asarray(render((pattern, 1, 1, 0, fabric, 2), style, SIZE).image.crop(box), dtype=float).ravel()
                for style, box in zip(STYLES, boxes, strict=True)
            ]
        )
        for pattern in PATTERNS
        for fabric in FABRICS
    }


@pytest.mark.parametrize("fabric", FABRICS, ids=CLASSES["fabric"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=CLASSES["pattern"])
def test_each_pattern_shows_on_each_fabric_and_each_fabric_under_each_pattern(
    cloths: Pictures, pattern: int, fabric: int
) -> None:
    mine = cloths[pattern, fabric]
    for other in PATTERNS:
        assert other == pattern or np.abs(mine - cloths[other, fabric]).mean() > 4.0
    for other in FABRICS:
        assert other == fabric or np.abs(mine - cloths[pattern, other]).mean() > 4.0


def test_chiffon_lets_the_body_shine_through() -> None:
    def seen_of_the_body(fabric: str) -> float:
        labels = (SOLID, 0, 0, 0, CLASSES["fabric"].index(fabric), 2)
        dark, light = (
            np.asarray(render(labels, _with_skin(STYLES[0], tone), SIZE).image, dtype=float) for tone in (0.2, 0.8)
        )
        return float(np.abs(dark - light).mean())

    assert seen_of_the_body("chiffon") > 1.5 * seen_of_the_body("cotton")


def _with_skin(style: Style, tone: float) -> Style:
    return replace(style, skin=(tone, tone, tone))
