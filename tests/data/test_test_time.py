from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime, check_test_time, evaluation_views
from gingham.errors import DataError, RecipeError

MODES = ("squash", "shortest", "pad")


def options(**values: Any) -> TestTime:
    return TestTime.parse(values)


def box(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize", MODES)
@pytest.mark.parametrize("region", ["image", "box"])
def test_the_first_view_is_that_of_the_preprocessing(resize: str, region: str) -> None:
    preprocess = Preprocess.parse({"size": 24, "resize": resize, "region": region})
    image, garment = noise(70, 50), box(10.25, 5, 40, 45.5)
    expected = preprocess.apply(image, garment)
    for test_time in (options(), options(flip=True, scales=[1, 1.3, 2])):
        views = evaluation_views(image, garment, preprocess, test_time)
        np.testing.assert_array_equal(views[0], expected)
        assert len(views) == test_time.most_views
        assert all(view.shape == (24, 24, 3) and view.dtype == np.uint8 for view in views)


def test_every_view_has_its_mirror_image_after_it() -> None:
    views = evaluation_views(noise(60, 60), None, Preprocess(size=16), options(flip=True, scales=[1, 1.5]))
    for plain, mirrored in (views[:2], views[2:]):
        np.testing.assert_array_equal(mirrored, plain[:, ::-1])
    assert not np.array_equal(views[0], views[2])


def test_a_zoom_cuts_the_same_share_off_each_side() -> None:
    """Scale 2 of 80 x 40 pixels shows the middle 40 x 20; scale 1.25 the middle 64 x 32."""
    image = noise(80, 40)
    views = evaluation_views(image, None, Preprocess(size=20), options(scales=[2, 1.25]))
    for view, region in zip(views, [(20, 10, 60, 30), (8, 4, 72, 36)], strict=True):
        expected = Preprocess(size=20).apply(image.crop(region))
        # The filter reaches a pixel or two beyond what is shown, where the crop has nothing.
        np.testing.assert_array_equal(view[3:-3, 3:-3], expected[3:-3, 3:-3])


def test_a_smaller_scale_shows_more_around_the_box_as_far_as_the_image_goes() -> None:
    preprocess = Preprocess(size=20, region="box", box_margin=0)
    image = noise(100, 80)

    def seen(garment: np.ndarray, scale: float) -> np.ndarray:
        return evaluation_views(image, garment, preprocess, options(scales=[scale]))[0]

    # 40 x 20 about (50, 40); at half the scale 80 x 40.
    np.testing.assert_array_equal(seen(box(30, 30, 70, 50), 0.5), preprocess.apply(image, box(10, 20, 90, 60)))
    # 40 x 20 in the corner; at half the scale from -20 to 60 and from -10 to 30, of which the image has less.
    np.testing.assert_array_equal(seen(box(0, 0, 40, 20), 0.5), preprocess.apply(image, box(0, 0, 60, 30)))


def test_box_and_whole_image() -> None:
    preprocess = Preprocess(size=20, region="box")
    image, garment = noise(100, 80), box(20, 20, 60, 60)
    whole = Preprocess(size=20).apply(image)
    found = evaluation_views(image, garment, preprocess, options(whole_image=True))
    np.testing.assert_array_equal(found, [preprocess.apply(image, garment), whole])
    both = evaluation_views(image, garment, preprocess, options(whole_image=True, flip=True, scales=[1, 2]))
    assert len(both) == 8
    beyond = evaluation_views(image, garment, preprocess, options(whole_image=True, scales=[1, 0.9, 0.8]))
    assert len(beyond) == options(whole_image=True, scales=[1, 0.9, 0.8]).most_views == 4
    np.testing.assert_array_equal(both[4], whole)


@pytest.mark.parametrize("garment", [None, box(np.nan, np.nan, np.nan, np.nan), box(0, 0, 100, 80)])
def test_views_that_show_the_same_count_once(garment: np.ndarray | None) -> None:
    """Without a box, and with one that is the whole image, there is nothing but the whole image."""
    preprocess = Preprocess(size=20, region="box")
    image = noise(100, 80)
    for test_time, count in (
        (options(whole_image=True), 1),
        (options(whole_image=True, flip=True), 2),
        (options(scales=[1, 0.8, 0.5]), 1),
        (options(whole_image=True, scales=[0.7, 1, 1.4]), 2),
    ):
        views = evaluation_views(image, garment, preprocess, test_time)
        assert len(views) == count
        np.testing.assert_array_equal(views[0], Preprocess(size=20).apply(image))


def test_a_bad_box_is_refused_whatever_else_is_seen() -> None:
    with pytest.raises(DataError, match="has no area inside the image"):
        evaluation_views(noise(20, 20), box(30, 0, 40, 9), Preprocess(region="box"), options(whole_image=True))
    assert evaluation_views(noise(20, 20), box(30, 0, 40, 9), Preprocess(), options())


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(*[st.floats(-30, 90, width=32)] * 4),
    st.sampled_from(MODES),
    st.lists(st.floats(0.25, 4), min_size=1, max_size=3, unique=True),
    st.booleans(),
    st.booleans(),
)
def test_any_box_gives_views_or_an_error(
    size: tuple[int, int], values: tuple[float, ...], resize: str, scales: list[float], flip: bool, whole: bool
) -> None:
    preprocess = Preprocess.parse({"size": 8, "resize": resize, "region": "box"})
    test_time = options(scales=scales, flip=flip, whole_image=whole)
    image = noise(*size)
    try:
        first = preprocess.apply(image, box(*values))
    except DataError:
        return
    views = evaluation_views(image, box(*values), preprocess, test_time)
    assert 1 + flip <= len(views) <= test_time.most_views
    assert {view.shape for view in views} == {(8, 8, 3)}
    if scales[0] == 1:
        np.testing.assert_array_equal(views[0], first)


def test_options_that_need_boxes_are_refused_without() -> None:
    for values, message in (
        ({"whole_image": True}, "test_time.whole_image: with preprocess.region=image the whole image is all"),
        ({"scales": [1, 0.8]}, "test_time.scales: 0.8 would show more .* set preprocess.region=box"),
    ):
        with pytest.raises(RecipeError, match=message):
            check_test_time(options(**values), Preprocess())
        check_test_time(options(**values), Preprocess(region="box"))
    check_test_time(options(flip=True, scales=[1, 1.2]), Preprocess())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scales": []}, "scales: .*at least 1 item"),
        ({"scales": [1, 1.0]}, "scales: name each scale once"),
        ({"scales": [0]}, "scales.0: "),
        ({"scales": [1, 5]}, "scales.1: "),
        ({"scales": [float("nan")]}, "scales.0: "),
        ({"scales": [1 + n / 10 for n in range(9)]}, "scales: .*at most 8 items"),
        ({"scales": 1.2}, "scales: "),
        ({"flipp": True}, "unknown field 'flipp'; did you mean 'flip'?"),
    ],
)
def test_wrong_options(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
        options(**values)


def test_the_summary_says_what_is_seen() -> None:
    assert options().summary(Preprocess()) == "1 view: whole image"
    assert options().summary(Preprocess(region="box")) == "1 view: box"
    assert options(flip=True).summary(Preprocess()) == "2 views: whole image, plain and mirrored"
    more = options(scales=[1, 0.8, 0.6], whole_image=True)
    assert more.summary(Preprocess(region="box")) == "4 views: box and whole image, zoomed 1, 0.8, 0.6 times"
    every = options(flip=True, scales=[1, 1.2], whole_image=True)
    assert every.summary(Preprocess(region="box")) == (
        "8 views: box and whole image, zoomed 1, 1.2 times, plain and mirrored"
    )
