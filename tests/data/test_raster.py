"""Where a view lies in its photo, and maps from one to the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gingham.data.preprocess import Preprocess
from gingham.data.raster import CELLS, Raster, raster_of, seen_part
from gingham.data.test_time import TestTime, Window, evaluation_views, evaluation_windows

BOX = np.array([70.0, 40.0, 150.0, 180.0], dtype=np.float32)


@pytest.mark.parametrize("resize", ["squash", "shortest", "pad"])
@pytest.mark.parametrize("region", ["image", "box"])
@pytest.mark.parametrize("size", [(230, 190), (190, 250), (201, 67)])
def test_a_view_shows_what_its_window_says(resize: str, region: str, size: tuple[int, int]) -> None:
    """Of a photo whose pixels hold their own coordinates, a view's pixels hold those of the window."""
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    preprocess = Preprocess.parse({"size": 96, "resize": resize, "region": region, "interpolation": "bilinear"})
    box = np.minimum(BOX, [width, height, width, height]).astype(np.float32)
    test_time = TestTime(flip=True, scales=(1.0, 1.5), whole_image=region == "box")
    image = Image.fromarray(pixels)
    views = evaluation_views(image, box, preprocess, test_time)
    windows = evaluation_windows(image, box, preprocess, test_time)
    assert len(views) == len(windows)
    assert [window.mirrored for window in windows] == [False, True] * (len(windows) // 2)
    for view, window in zip(views, windows, strict=True):
        upright = (view[:, ::-1] if window.mirrored else view).astype(np.float64)
        left, top, right, bottom = window.edges
        x = left + (np.arange(96) + 0.5) / 96 * (right - left)
        y = top + (np.arange(96) + 0.5) / 96 * (bottom - top)
        left, top, right, bottom = window.photo
        # At the edges the filter is no mean over both sides.
        inner_x, inner_y = (x > left + 5) & (x < right - 5), (y > top + 5) & (y < bottom - 5)
        beyond = np.ones((96, 96), dtype=np.bool_)
        beyond[np.ix_((y > top - 3) & (y < bottom + 3), (x > left - 3) & (x < right + 3))] = False
        assert (upright[beyond] == 255).all()
        assert beyond.any() == (resize == "pad")
        assert inner_x.sum() > 10
        assert inner_y.sum() > 10
        inner = upright[np.ix_(inner_y, inner_x)]
        # Pixel number i of the photo has its middle at i + 0.5.
        np.testing.assert_allclose(inner[..., 0] + 0.5, np.broadcast_to(x[inner_x], inner.shape[:2]), atol=0.75)
        np.testing.assert_allclose(inner[..., 1] + 0.5, np.broadcast_to(y[inner_y, None], inner.shape[:2]), atol=0.75)


def test_a_letterboxed_view_ends_beyond_the_photo() -> None:
    preprocess = Preprocess.parse({"size": 100, "resize": "pad"})
    image = Image.new("RGB", (50, 200))
    assert evaluation_windows(image, None, preprocess, TestTime()) == [
        Window((-74.0, 0.0, 126.0, 200.0), (0.0, 0.0, 50.0, 200.0))
    ]


def centres(raster: Raster) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the cells' middles, in pixels."""
    return (
        (np.arange(raster.columns) + 0.5) * raster.width / raster.columns,
        (np.arange(raster.rows) + 0.5) * raster.height / raster.rows,
    )


def of_edges(*edges: float, mirrored: bool = False) -> Window:
    """In a photo of 200 x 300 pixels."""
    left, top, right, bottom = edges
    return Window((left, top, right, bottom), (max(left, 0), max(top, 0), min(right, 200), min(bottom, 300)), mirrored)


windows = st.builds(
    lambda left, top, width, height, mirrored: of_edges(left, top, left + width, top + height, mirrored=mirrored),
    st.floats(-100, 150),
    st.floats(-100, 250),
    st.floats(101, 400),
    st.floats(101, 400),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(windows, st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_placing_is_bilinear_interpolation(window: Window, high: int, wide: int, seed: int) -> None:
    """Against numpy.interp at many points of each cell, which is level beyond the outermost tokens' middles."""
    raster = Raster(200, 300, 12, 8)
    weights = np.random.default_rng(seed).random((high, wide))
    placed = raster.place(weights, window)
    fine = 40
    x = (np.arange(8 * fine) + 0.5) * 200 / (8 * fine)
    y = (np.arange(12 * fine) + 0.5) * 300 / (12 * fine)
    left, top, right, bottom = window.edges
    u, v = (x - left) / (right - left), (y - top) / (bottom - top)
    across = np.stack([np.interp(u * wide - 0.5, np.arange(wide), row) for row in np.eye(wide)])
    down = np.stack([np.interp(v * high - 0.5, np.arange(high), row) for row in np.eye(high)])
    across *= (u > 0) & (u < 1)
    down *= (v > 0) & (v < 1)
    upright = weights[:, ::-1] if window.mirrored else weights
    density = down.T @ upright @ across
    # A token's weight is spread over its share of the window's area.
    area = (200 / (8 * fine)) * (300 / (12 * fine))
    token = (right - left) * (bottom - top) / (high * wide)
    expected = density.reshape(12, fine, 8, fine).sum(axis=(1, 3)) * area / token
    np.testing.assert_allclose(placed, expected, atol=0.02 * weights.max() * max(1.0, placed.max()))


def test_weight_inside_the_photo_is_kept_and_stays_in_its_place() -> None:
    raster = Raster(300, 200, 40, 60)
    window = Window((30.0, 20.0, 270.0, 180.0), (30.0, 20.0, 270.0, 180.0))
    weights = np.random.default_rng(0).random((3, 5, 6))
    placed = raster.place(weights, window)
    assert placed.shape == (3, 40, 60)
    np.testing.assert_allclose(placed.sum(axis=(1, 2)), weights.sum(axis=(1, 2)), rtol=1e-12)
    single = np.zeros((5, 6))
    single[2, 1] = 1
    x, y = centres(raster)
    for mirrored, middle in ((False, 30 + 1.5 * 40), (True, 270 - 1.5 * 40)):
        one = raster.place(single, window._replace(mirrored=mirrored))
        assert (one.sum(axis=0) @ x) == pytest.approx(middle, abs=1e-9)
        assert (one.sum(axis=1) @ y) == pytest.approx(20 + 2.5 * 32, abs=1e-9)


def test_weight_on_white_is_lost() -> None:
    """Also where the photo goes on, but the view shows white."""
    raster = Raster(50, 200, 60, 15)
    even = np.full((4, 4), 1 / 16)
    assert raster.place(even, Window((-75, 0, 125, 200), (0, 0, 50, 200))).sum() == pytest.approx(0.25, abs=1e-12)
    inner = raster.place(even, Window((10, 0, 50, 40), (20, 0, 40, 40)))
    assert inner.sum() == pytest.approx(0.5, abs=1e-12)
    assert inner[:, [5, 12]].max() == 0


@settings(max_examples=40, deadline=None)
@given(windows, st.integers(0, 99))
def test_cover_is_the_share_of_each_pixel(window: Window, seed: int) -> None:
    """Against 24 x 24 points in each pixel of the view."""
    raster = Raster(200, 300, 9, 6)
    mask = np.random.default_rng(seed).random((9, 6)) < 0.5
    fine = (np.arange(10 * 24) + 0.5) / (10 * 24)
    left, top, right, bottom = window.edges
    columns = np.floor((left + fine * (right - left)) / 200 * 6).astype(int)
    rows = np.floor((top + fine * (bottom - top)) / 300 * 9).astype(int)
    hidden = mask[np.clip(rows, 0, 8)][:, np.clip(columns, 0, 5)]
    hidden &= ((rows >= 0) & (rows < 9))[:, None] & ((columns >= 0) & (columns < 6))
    expected = hidden.reshape(10, 24, 10, 24).mean(axis=(1, 3))
    covered = raster.cover(mask, window, 10)
    if window.mirrored:
        covered = covered[:, ::-1]
    np.testing.assert_allclose(covered, expected, atol=0.1)
    assert covered.min() >= 0
    assert covered.max() <= 1 + 1e-12


def test_all_cells_cover_all_that_is_photo() -> None:
    raster = Raster(50, 200, 60, 15)
    covered = raster.cover(np.ones((60, 15), dtype=np.bool_), Window((-75, 0, 125, 200), (0, 0, 50, 200)), 8)
    np.testing.assert_allclose(covered[:, [0, 1, 2, 5, 6, 7]], 0, atol=1e-12)
    np.testing.assert_allclose(covered[:, [3, 4]], 1, atol=1e-12)


def test_inside_is_the_share_of_each_cell() -> None:
    inside = Raster(40, 20, 2, 4).inside(5, 0, 30, 15)
    np.testing.assert_allclose(inside, [[0.5, 1, 1, 0], [0.25, 0.5, 0.5, 0]])


def test_the_raster_is_as_fine_as_what_is_seen_asks_for() -> None:
    whole = Window((0.0, 0.0, 300.0, 200.0), (0.0, 0.0, 300.0, 200.0))
    assert raster_of(300, 200, [whole]) == Raster(300, 200, 40, CELLS)
    part = Window((90.0, 50.0, 210.0, 150.0), (100.0, 50.0, 200.0, 150.0), True)
    assert raster_of(300, 200, [part]) == Raster(300, 200, 2 * CELLS, 3 * CELLS)
    assert raster_of(300, 200, [part, whole]) == Raster(300, 200, 40, CELLS)
    assert seen_part([part, Window((-50, 100, 150, 300), (0, 100, 150, 200))]) == (0, 50, 200, 200)
    # Not without bounds: a speck of a large photo.
    assert raster_of(5000, 10, [Window((0, 0, 5, 5), (0, 0, 5, 5))]) == Raster(5000, 10, 120, 480)
