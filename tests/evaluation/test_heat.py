import numpy as np
import pytest

from gingham.evaluation.heat import heat_bar, heat_over

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)


def lightness(pixels: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    linear = np.where(pixels / 255 <= 0.04045, pixels / 255 / 12.92, ((pixels / 255 + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    found: np.ndarray = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
    return found


def test_heat_has_the_photos_size_and_is_brightest_where_the_weight_is() -> None:
    weights = np.zeros((6, 4))
    weights[1, 2] = 0.5
    grey = np.full((60, 40, 3), 90, dtype=np.uint8)
    drawn = heat_over(grey, weights)
    assert drawn.shape == grey.shape
    assert drawn.dtype == np.uint8
    y, x = np.unravel_index(lightness(drawn).argmax(), (60, 40))
    assert (y // 10, x // 10) == (1, 2)
    # Where there is no weight, the photo shines through, and is grey.
    np.testing.assert_array_equal(drawn[55:, :5].std(axis=(0, 1)).round(), 0)


def test_the_sign_decides_the_colour() -> None:
    weights = np.zeros((6, 4))
    weights[1, 1], weights[4, 2] = 1, -1
    drawn = heat_over(np.full((60, 40, 3), 90, dtype=np.uint8), weights, signed=True).astype(int)
    red, blue = drawn[15, 15], drawn[45, 25]
    assert red[0] > red[2] + 20
    assert blue[2] > blue[0] + 20


@pytest.mark.parametrize("signed", [False, True])
def test_a_map_of_zeros_is_drawn(signed: bool) -> None:
    drawn = heat_over(PICTURE, np.zeros((3, 3)), signed=signed)
    assert drawn.shape == PICTURE.shape


def test_a_scale_of_ones_own_makes_maps_comparable() -> None:
    weights = np.full((3, 3), 0.5)
    np.testing.assert_array_equal(heat_over(PICTURE, weights, most=1.0), heat_over(PICTURE, 2 * weights, most=2.0))
    assert (heat_over(PICTURE, weights, most=1.0) != heat_over(PICTURE, weights)).any()


def test_more_weight_is_lighter_for_every_eye() -> None:
    """Lightness alone tells more from less, evenly: what a colour-blind reader and a grey print keep."""
    rise = np.diff(lightness(heat_bar(64, 1, signed=False)[0].astype(float)))
    assert rise.min() > 0
    assert rise.max() < 3 * rise.mean()
    both = lightness(heat_bar(65, 1, signed=True)[0].astype(float))
    assert both[32] == both.min()
    assert np.abs(both[:32][::-1] - both[33:]).max() < 12
