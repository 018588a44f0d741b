import numpy as np
import pytest

from gingham.wardrobe.geometry import Frame, draw_shape, limb, points, smooth, step, upsampled
from gingham.wardrobe.style import draw_style


@pytest.mark.parametrize("seed", range(6))
def test_pixels_and_body_coordinates_are_each_others_inverse(seed: int) -> None:
    frame = Frame(draw_style(np.random.default_rng(seed)), 200)
    x, y = frame.to_body((20, 30, 120, 160))
    back = frame.to_pixels(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
    columns, rows = np.meshgrid(np.arange(20, 120) + 0.5, np.arange(30, 160) + 0.5)
    assert x.shape == (130, 100)
    assert np.abs(back - np.stack([columns.ravel(), rows.ravel()], axis=1)).max() < 1e-3


def test_a_smooth_curve_passes_through_its_knots() -> None:
    knots = points((0, 0), (1, 2), (3, 1), (4, 4))
    curve = smooth(knots, 5)
    assert curve.shape == (16, 2)
    assert np.allclose(curve[::5], knots)


def test_a_limb_is_as_wide_as_asked() -> None:
    outline = limb(points((0, 0), (0, 1), (0, 2)), [0.1, 0.2, 0.3])
    assert np.allclose(np.abs(outline[:, 0]), [0.1, 0.2, 0.3, 0.3, 0.2, 0.1])


def test_step_rises_over_its_width() -> None:
    ramp = step(np.array([[-1.0, -0.1, 0.0, 0.1, 1.0]], dtype=np.float32), 0.4)
    assert np.allclose(ramp, [[0.0, 0.25, 0.5, 0.75, 1.0]])


def test_upsampled_has_the_size_asked_and_keeps_a_constant() -> None:
    assert np.allclose(upsampled(np.full((3, 4), 2.5), 40, 30), 2.5)
    assert upsampled(np.zeros((3, 4)), 40, 30).shape == (30, 40)


def test_a_shape_is_filled_where_its_points_are() -> None:
    frame = Frame(draw_style(np.random.default_rng(1)), 100)
    mask = frame.canvas()
    draw_shape(mask, frame, points((-0.1, 0.4), (0.1, 0.4), (0.1, 0.6), (-0.1, 0.6)))
    (column, row) = frame.to_pixels(points((0.0, 0.5)))[0]
    assert mask.getpixel((int(column), int(row))) == 255
    assert mask.getpixel((0, 0)) == 0
