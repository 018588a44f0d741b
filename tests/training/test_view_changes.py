"""What each change of a training view does, against torchvision, by hand, or as a property."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from gingham.data.augment import Augment, drawn_shape, rng_for
from gingham.data.preprocess import Preprocess
from gingham.training.trivial import OPERATIONS, WHITE, drawn_operation
from gingham.training.views import view

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)).resize((90, 120))
PREPROCESS = Preprocess(size=32)
EVALUATED = PREPROCESS.apply(PHOTO)
OFF: dict[str, Any] = {"resize": None, "horizontal_flip": 0}
COLOURS = ("brightness", "contrast", "saturation", "hue")

pairs = st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)).map(lambda pair: (min(pair), max(pair)))
amounts = st.sampled_from([0.0, 0.3])
augments = st.builds(
    Augment,
    whole_image=amounts,
    resize=st.just(None),
    crop_area=st.none() | pairs,
    horizontal_flip=amounts,
    rotation=st.sampled_from([0.0, 20.0]),
    brightness=amounts,
    contrast=amounts,
    saturation=amounts,
    hue=amounts,
    trivial_augment=st.booleans(),
    erasing=amounts,
    erasing_area=pairs,
)


def look(index: int = 0, preprocess: Preprocess = PREPROCESS, **values: Any) -> np.ndarray:
    return view(PHOTO, None, preprocess, Augment(**{**OFF, **values}), rng_for(0, 0, index))


@given(augments, st.integers(0, 2**20), st.sampled_from(["squash", "shortest", "pad"]))
@settings(max_examples=60, deadline=None)
def test_every_view_is_a_function_of_its_arguments(augment: Augment, index: int, resize: str) -> None:
    preprocess = Preprocess.parse({"size": 32, "resize": resize, "region": "box"})
    box = np.array([10, 20, 70, 100], dtype=np.float32)
    state = torch.get_rng_state()
    first = view(PHOTO, box, preprocess, augment, rng_for(0, 1, index))
    torch.manual_seed(index)
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, view(PHOTO, box, preprocess, augment, rng_for(0, 1, index)))
    torch.set_rng_state(state)


def test_views_leave_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    for index in range(20):
        look(index, crop_area=(0.3, 1), rotation=20, hue=0.2, trivial_augment=True, erasing=1)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("resize", ["squash", "shortest", "pad"])
def test_a_crop_of_everything_is_the_evaluation_view(resize: str) -> None:
    preprocess = Preprocess.parse({"size": 32, "resize": resize})
    found = look(preprocess=preprocess, crop_area=(1, 1), crop_ratio=(1, 1))
    np.testing.assert_array_equal(found, preprocess.apply(PHOTO))


def test_shapes_are_drawn_as_torchvision_draws_them() -> None:
    """Area and log ratio of accepted rectangles: the same distribution (two-sample Kolmogorov-Smirnov)."""
    count, side, areas, ratios = 3000, 10_000, (0.3, 1.0), (0.5, 2.0)
    mine = [shape for index in range(count) if (shape := drawn_shape(areas, ratios, rng_for(0, 0, index)))]
    torch.manual_seed(0)
    canvas = torch.empty(1, side, side, device="meta")
    crop = v2.RandomResizedCrop(8, scale=areas, ratio=ratios)
    theirs = [crop.make_params([canvas]) for _ in range(count)]
    for measure in (lambda width, height: width * height, lambda width, height: math.log(width / height)):
        ours = np.sort([measure(width, height) for width, height in mine])
        other = np.sort([measure(drawn["width"] / side, drawn["height"] / side) for drawn in theirs])
        points = np.concatenate([ours, other])
        gap = abs(np.searchsorted(ours, points) / len(ours) - np.searchsorted(other, points) / len(other)).max()
        assert gap < 1.95 * math.sqrt(2 / count)  # p = 0.001


@given(pairs, st.integers(0, 2**30))
@settings(max_examples=100, deadline=None)
def test_shapes_are_within_their_bounds(areas: tuple[float, float], index: int) -> None:
    shape = drawn_shape(areas, (0.5, 2), rng_for(0, 0, index))
    if shape is None:  # nothing long fits where nearly all is asked for
        assert areas[1] > 0.5
        return
    width, height = shape
    assert max(width, height) <= 1
    assert areas[0] - 1e-6 <= width * height <= areas[1] + 1e-6
    assert 0.5 - 1e-6 <= width / height <= 2 + 1e-6


def test_areas_that_always_fit_are_even() -> None:
    shapes = [drawn_shape((0.1, 0.4), (0.5, 2), rng_for(0, 0, index)) for index in range(4000)]
    areas = np.sort([shape[0] * shape[1] for shape in shapes if shape is not None])
    assert len(areas) == 4000
    even = np.linspace(0.1, 0.4, 4000)
    assert abs(areas - even).max() < 0.3 * 1.95 / math.sqrt(4000)


def test_a_crop_is_where_it_says() -> None:
    """On a ramp, the first and last column of a crop tell where it begins and ends."""
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], (256, 1, 3)))
    lefts = []
    for index in range(300):
        pixels = view(
            ramp, None, PREPROCESS, Augment(resize=None, horizontal_flip=0, crop_area=(0.25, 0.25), crop_ratio=(1, 1)),
            rng_for(0, 0, index),
        )  # fmt: skip
        row = pixels[16, :, 0].astype(float)
        assert 110 < row[-1] - row[0] < 135  # half of the ramp, less half a pixel on each side
        lefts.append(row[0])
    assert np.mean(lefts) == pytest.approx(128 * 0.5, abs=8)
    assert min(lefts) < 10
    assert max(lefts) > 118


@pytest.mark.parametrize("name", COLOURS)
def test_colours_change_as_torchvision_says(name: str) -> None:
    change: Callable[..., torch.Tensor] = getattr(v2.functional, f"adjust_{name}")
    most, tensor = 0.4, torch.from_numpy(EVALUATED).permute(2, 0, 1)
    for index in range(5):
        amount = float(2 * rng_for(0, 0, index).random(29)[25 + COLOURS.index(name)] - 1)
        expected = change(tensor, most * amount + (name != "hue")).permute(1, 2, 0).numpy().astype(int)
        # torchvision's tensors and Pillow's images differ by rounding, of hues by that of Pillow's 8-bit HSV.
        difference = abs(expected - look(index, **{name: most}).astype(int))
        assert difference.mean() < 1.5 if name == "hue" else difference.max() <= 2


def test_colours_come_in_every_order() -> None:
    """Saturation and brightness clip: their order shows in bright pixels, and both orders occur."""
    orders = {tuple(rng_for(0, 0, index).random(33)[29:].argsort()) for index in range(400)}
    assert len(orders) == 24


def test_rotation() -> None:
    white = look(1, rotation=45)
    assert (white[0, 0] == 255).all() or (white[0, -1] == 255).all()
    turn = 2 * rng_for(0, 0, 1).random(5)[4] - 1
    expected = v2.functional.rotate(
        torch.from_numpy(EVALUATED).permute(2, 0, 1), 45 * turn, v2.InterpolationMode.BILINEAR, fill=list(WHITE)
    )
    inner = abs(expected.permute(1, 2, 0).numpy().astype(int) - white.astype(int))[8:-8, 8:-8]
    assert inner.mean() < 3
    # By nothing, it is the identity; the draws are not shared with other changes.
    np.testing.assert_array_equal(look(rotation=0), EVALUATED)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions(name: str) -> None:
    """Bit for bit, at all 31 strengths and in both directions, against `TrivialAugmentWide`'s own table."""
    theirs = {"saturation": "Color", "autocontrast": "AutoContrast"}.get(name) or "".join(
        part.capitalize() for part in name.split("_")
    )
    policy = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR, fill=list(WHITE))
    magnitudes, signed = policy._AUGMENTATION_SPACE[theirs]
    table = magnitudes(31, 32, 32)
    image = Image.fromarray(EVALUATED)
    operation, ends, mine_signed = OPERATIONS[name]
    assert signed is mine_signed
    for number in range(31):
        for sign in (1, -1) if signed else (1,):
            magnitude = 0.0 if table is None else sign * float(table[number])
            expected = policy._apply_image_or_video_transform(
                image, theirs, magnitude, v2.InterpolationMode.BILINEAR, policy._fill
            )
            found = operation(image, sign * float(torch.linspace(*ends, 31)[number]))
            assert np.array_equal(np.array(found), np.array(expected)), (number, sign)


def test_operations_and_directions_are_drawn_evenly() -> None:
    drawn = [drawn_operation(rng_for(0, 0, index)) for index in range(2800)]
    assert len(OPERATIONS) == 14
    counts = np.array([sum(name == operation for operation, _ in drawn) for name in OPERATIONS])
    assert ((counts - 200) ** 2 / 200).sum() < 34.5  # chi-square with 13 degrees of freedom, p = 0.001
    turns = np.array([strength for operation, strength in drawn if operation == "rotate"])
    assert abs(turns).max() == 135
    assert (turns < 0).mean() == pytest.approx(0.5, abs=0.12)
    assert len(np.unique(abs(turns))) > 28


@given(pairs, st.integers(0, 2**30))
@settings(max_examples=40, deadline=None)
def test_erasing_fills_one_rectangle_of_the_size_asked_for(areas: tuple[float, float], index: int) -> None:
    preprocess = Preprocess(size=64)
    plain = np.full((64, 64, 3), 77, dtype=np.uint8)
    augment = Augment(**OFF, erasing=1, erasing_area=areas, erasing_ratio=(0.5, 2))
    pixels = view(Image.fromarray(plain), None, preprocess, augment, rng_for(0, 0, index))
    rows, columns = np.nonzero((pixels != plain).any(axis=2))
    if not len(rows):
        assert areas[1] > 0.5
        return
    width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
    # Its edges are whole pixels, each half a pixel off at most.
    assert (width - 1.01) * (height - 1.01) <= areas[1] * 64**2
    assert (width + 1.01) * (height + 1.01) >= areas[0] * 64**2
    assert len(rows) > 0.98 * width * height  # noise has the colour that was there once in 2^24


def test_erasing_happens_as_often_as_asked_for_and_is_even_noise() -> None:
    changed = [not np.array_equal(look(index, erasing=0.3), EVALUATED) for index in range(600)]
    assert np.mean(changed) == pytest.approx(0.3, abs=0.06)
    noise = look(3, erasing=1, erasing_area=(1, 1), erasing_ratio=(1, 1))
    assert noise.mean() == pytest.approx(127.5, abs=6)
    assert noise.std() == pytest.approx(73.9, abs=4)


def test_the_whole_image_now_and_then_where_a_box_is_looked_at() -> None:
    preprocess, box = Preprocess(size=32, region="box"), np.array([10, 20, 70, 100], dtype=np.float32)
    augment = Augment(**OFF, whole_image=0.25)
    wholes = 0
    for index in range(400):
        pixels = view(PHOTO, box, preprocess, augment, rng_for(0, 0, index))
        whole = np.array_equal(pixels, EVALUATED)
        assert whole or np.array_equal(pixels, preprocess.apply(PHOTO, box))
        wholes += whole
    assert wholes == pytest.approx(100, abs=35)


@pytest.mark.parametrize("change", [{"rotation": 30}, {"hue": 0.2, "contrast": 0.5}, {"trivial_augment": True}])
def test_switching_one_change_on_leaves_the_others_alone(change: dict[str, Any]) -> None:
    """The noise is drawn last of all: it is the same, and at the same place, with each of the others or without."""
    noise: dict[str, Any] = {"erasing": 1, "erasing_area": (0.3, 0.4)}
    for index in range(5):
        same = (look(index, **noise) == look(index, **noise, **change)).all(axis=2)
        assert same.mean() > 0.25


def test_a_crop_of_random_size_keeps_the_flip() -> None:
    for index in range(20):
        crop = look(index, crop_area=(0.3, 0.8))
        np.testing.assert_array_equal(look(index, crop_area=(0.3, 0.8), horizontal_flip=1), crop[:, ::-1])
