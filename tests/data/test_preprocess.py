import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gingham.data.preprocess import Preprocess, region_of
from gingham.errors import DataError, RecipeError


def box(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def quarters(width: int, height: int) -> Image.Image:
    """Red, green / blue, black."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    return Image.fromarray(pixels)


MODES = ["squash", "shortest", "pad"]
FILTERS = ["bilinear", "bicubic", "lanczos"]


@pytest.mark.parametrize("resize", MODES)
@pytest.mark.parametrize("interpolation", FILTERS)
@pytest.mark.parametrize("size", [(1, 1), (7, 500), (500, 7), (224, 224), (300, 200)])
def test_shape_and_type(resize: str, interpolation: str, size: tuple[int, int]) -> None:
    preprocess = Preprocess.parse({"size": 32, "resize": resize, "interpolation": interpolation})
    pixels = preprocess.apply(Image.new("RGB", size, (10, 20, 30)))
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert pixels.flags.c_contiguous
    if resize != "pad":
        assert (pixels == (10, 20, 30)).all()


def test_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for resize in MODES:
        out = Preprocess.parse({"size": 16, "resize": resize}).apply(Image.fromarray(pixels))
        np.testing.assert_array_equal(out, pixels)


def test_squash_is_what_pillow_makes_of_the_whole_image() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 61, 3), dtype=np.uint8))
    expected = np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(Preprocess(size=24).apply(image), expected)


def test_squash_keeps_all_of_the_image() -> None:
    pixels = Preprocess(size=20).apply(quarters(40, 80))
    assert pixels[4, 4].tolist() == [255, 0, 0]
    assert pixels[4, 15].tolist() == [0, 255, 0]
    assert pixels[15, 4].tolist() == [0, 0, 255]


def test_shortest_cuts_the_ends_off() -> None:
    pixels = np.zeros((10, 30, 3), dtype=np.uint8)
    pixels[:, 10:20] = 200
    out = Preprocess(size=10, resize="shortest").apply(Image.fromarray(pixels))
    np.testing.assert_array_equal(out, pixels[:, 10:20])


def test_shortest_is_resizing_and_then_cropping() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8))
    whole = np.asarray(image.resize((20, 10), Image.Resampling.BICUBIC)).astype(int)
    cropped = Preprocess(size=10, resize="shortest").apply(image).astype(int)
    assert abs(cropped - whole[:, 5:15]).max() <= 1


def test_pad_keeps_the_aspect_ratio_on_white() -> None:
    out = Preprocess(size=20, resize="pad").apply(Image.new("RGB", (40, 20), "black"))
    assert (out[:5] == 255).all()
    assert (out[5:15] == 0).all()
    assert (out[15:] == 255).all()
    sliver = Preprocess(size=20, resize="pad").apply(Image.new("RGB", (1000, 1), "black"))
    assert (sliver == 0).all(axis=(1, 2)).sum() == 1


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for interpolation in FILTERS:
        out = Preprocess.parse({"size": 8, "interpolation": interpolation}).apply(Image.fromarray(stripes))
        assert abs(out[:, 1:-1].astype(float) - 127.5).max() < 6


def test_box_with_margin() -> None:
    preprocess = Preprocess(region="box", box_margin=0.1)
    image = Image.new("RGB", (100, 200))
    assert region_of(image, box(20, 50, 60, 150), preprocess) == pytest.approx((16, 40, 64, 160))
    assert region_of(image, box(20, 50, 60, 150), Preprocess(region="box", box_margin=0)) == (20, 50, 60, 150)
    assert region_of(image, box(0, 5, 100, 200), preprocess) == (0, 0, 100, 200)
    assert region_of(image, box(-50, -50, 500, 500), preprocess) == (0, 0, 100, 200)


def test_whole_image_without_a_box() -> None:
    image = Image.new("RGB", (100, 200))
    whole = (0, 0, 100, 200)
    assert region_of(image, None, Preprocess(region="box")) == whole
    assert region_of(image, box(*[np.nan] * 4), Preprocess(region="box")) == whole
    assert region_of(image, box(20, 50, 60, 150), Preprocess(region="image")) == whole


@pytest.mark.parametrize("resize", MODES)
def test_only_the_box_is_seen(resize: str) -> None:
    preprocess = Preprocess.parse({"size": 16, "resize": resize, "region": "box", "box_margin": 0.0})
    out = preprocess.apply(quarters(80, 60), box(40, 0, 80, 30))
    inside = out[4:12, 4:12]
    assert (inside == (0, 255, 0)).all()
    if resize == "pad":
        assert (out[0] == 255).all()


def test_boxes_may_have_fractions() -> None:
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(8, axis=0)
    preprocess = Preprocess(size=4, region="box", box_margin=0, interpolation="bilinear")
    low = preprocess.apply(Image.fromarray(ramp), box(10, 0, 50, 8)).astype(float)
    high = preprocess.apply(Image.fromarray(ramp), box(10.5, 0, 50.5, 8)).astype(float)
    assert low[0, 1, 0] <= high[0, 1, 0] <= low[0, 1, 0] + 1


@pytest.mark.parametrize(
    "values",
    [
        (100, 0, 120, 50),
        (0, 200, 50, 300),
        (-30, 0, 0, 50),
        (0, -9, 50, 0),
        (50, 50, 50, 60),
        (60, 50, 40, 60),
        (np.nan, 0, 5, 5),
        (0, 0, np.inf, 5),
    ],
)
def test_boxes_outside_are_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="has no area inside the image of 100 x 200 pixels"):
        Preprocess(region="box").apply(Image.new("RGB", (100, 200)), box(*values))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.tuples(*[st.floats(-30, 90, width=32)] * 4),
    st.sampled_from(MODES),
    st.floats(0, 2),
)
def test_any_box_gives_pixels_or_an_error(
    size: tuple[int, int], values: tuple[float, ...], resize: str, margin: float
) -> None:
    preprocess = Preprocess.parse({"size": 8, "resize": resize, "region": "box", "box_margin": margin})
    try:
        pixels = preprocess.apply(Image.new("RGB", size), box(*values))
    except DataError:
        return
    assert pixels.shape == (8, 8, 3)


def test_round_trip_through_plain_values() -> None:
    preprocess = Preprocess(size=100, resize="pad", region="box", mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    assert Preprocess.parse(preprocess.model_dump(mode="json")) == preprocess


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size"),
        ({"resize": "crop"}, "resize"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"box_margin": -0.1}, "box_margin"),
        ({"std": [0.1, 0.0, 0.1]}, "std: a standard deviation must be greater than 0"),
        ({"mean": [0.1, float("nan"), 0.1]}, "mean: three finite numbers are needed"),
        ({"mean": [0.1, 0.2]}, "mean"),
        ({"sise": 3}, "unknown field 'sise'; did you mean 'size'?"),
    ],
)
def test_wrong_options(values: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Preprocess.parse(values, source="recipe.yaml: preprocess")
    assert message in str(caught.value)
