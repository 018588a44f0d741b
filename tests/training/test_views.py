import numpy as np
import pytest
from PIL import Image

from gingham.data.augment import Augment, rng_for
from gingham.data.preprocess import Preprocess
from gingham.errors import RecipeError
from gingham.training.views import view

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
SMALL = Preprocess(size=12)


def look(augment: Augment, seed: int = 0, epoch: int = 0, index: int = 0, preprocess: Preprocess = SMALL) -> np.ndarray:
    return view(NOISE, None, preprocess, augment, rng_for(seed, epoch, index))


def test_a_view_is_a_function_of_seed_epoch_and_index() -> None:
    augment = Augment(resize=24)
    first = look(augment, 1, 2, 3)
    assert first.shape == (12, 12, 3)
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(first, look(augment, 1, 2, 3))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1)):
        assert not np.array_equal(first, look(augment, *other))


def test_streams_are_independent() -> None:
    keys = [(seed, epoch, index) for seed in range(4) for epoch in range(6) for index in range(40)]
    draws = np.array([rng_for(*key).random(3) for key in keys])
    assert len(np.unique(draws[:, 0])) == len(keys)
    assert abs(draws.mean() - 0.5) < 0.02
    correlations = np.corrcoef(np.concatenate([draws[:-1], draws[1:]], axis=1).T)
    assert abs(correlations - np.eye(6)).max() < 0.12


def test_streams_never_change() -> None:
    # Resuming an old run with a new version must see the same views.
    np.testing.assert_array_equal(rng_for(0, 0, 0).random(2), [0.8133540609793564, 0.7513314251083365])
    np.testing.assert_array_equal(rng_for(7, 8, 9).random(2), [0.3670476429982591, 0.8918764768733595])


def test_large_numbers_are_accepted_and_negative_ones_refused() -> None:
    rng_for(2**64 - 1, 2**64 - 1, 2**64 - 1).random()
    with pytest.raises(OverflowError):
        rng_for(-1, 0, 0)


def test_without_any_change_a_view_is_the_evaluation_view() -> None:
    plain = Augment(resize=None, horizontal_flip=0)
    for resize in ("squash", "shortest", "pad"):
        preprocess = Preprocess.parse({"size": 12, "resize": resize})
        np.testing.assert_array_equal(look(plain, preprocess=preprocess), preprocess.apply(NOISE))
    equal = Augment(resize=12, horizontal_flip=0)
    np.testing.assert_array_equal(look(equal), SMALL.apply(NOISE))


def test_flip() -> None:
    always, never = Augment(resize=None, horizontal_flip=1), Augment(resize=None, horizontal_flip=0)
    np.testing.assert_array_equal(look(always), look(never)[:, ::-1])
    half = [np.array_equal(look(Augment(resize=None), index=index), look(always)) for index in range(400)]
    assert 160 < sum(half) < 240


def test_crops_are_cut_out_of_the_resized_image_everywhere_and_flipped_or_not() -> None:
    large = Preprocess(size=15).apply(NOISE)
    found = set()
    for index in range(400):
        cut = look(Augment(resize=15, horizontal_flip=0.5), index=index)
        matches = [
            (top, left, step)
            for top in range(4)
            for left in range(4)
            for step in (1, -1)
            if np.array_equal(cut[:, ::step], large[top : top + 12, left : left + 12])
        ]
        assert len(matches) == 1
        found.add(matches[0])
    assert len(found) == 32


def test_the_box_is_what_is_augmented() -> None:
    image = Image.new("RGB", (100, 100), "white")
    image.paste("black", (20, 20, 80, 80))
    box = np.array([20, 20, 80, 80], dtype=np.float32)
    preprocess = Preprocess(size=12, region="box", box_margin=0)
    pixels = view(image, box, preprocess, Augment(resize=16), rng_for(0, 0, 0))
    # The filter looks a little beyond the box at its edges.
    assert pixels[2:-2, 2:-2].max() == 0
    assert pixels.max() < 40


def test_flipping_does_not_move_the_crop() -> None:
    # Every option draws whether it is used or not: changing one leaves the others' choices alone.
    flipped, plain = Augment(resize=20, horizontal_flip=1), Augment(resize=20, horizontal_flip=0)
    for index in range(20):
        np.testing.assert_array_equal(look(flipped, index=index), look(plain, index=index)[:, ::-1])


def test_options_that_cannot_be_combined() -> None:
    with pytest.raises(RecipeError, match=r"augment\.resize is 11, less than preprocess\.size 12"):
        look(Augment(resize=11))
    with pytest.raises(RecipeError, match=r"both cut a view out of the image; set augment\.resize=null"):
        look(Augment(resize=16, crop_area=(0.5, 1)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("horizontal_flip", 1.5),
        ("crop_area", [0.5, 0.2]),
        ("crop_area", [0, 1]),
        ("erasing_area", [0.5, 1.1]),
        ("crop_ratio", [2, 1]),
        ("erasing_ratio", [0, 1]),
        ("hue", 0.6),
        ("rotation", -3),
    ],
)
def test_values_out_of_range(field: str, value: object) -> None:
    with pytest.raises(RecipeError, match=field):
        Augment.parse({field: value})


@pytest.mark.parametrize(
    ("values", "varies"),
    [
        ({}, True),
        ({"resize": None}, True),
        ({"resize": None, "horizontal_flip": 0}, False),
        ({"resize": None, "horizontal_flip": 1}, False),
        ({"horizontal_flip": 0}, True),
        ({"resize": None, "horizontal_flip": 0, "rotation": 1}, True),
        ({"resize": None, "horizontal_flip": 0, "trivial_augment": True}, True),
        ({"resize": None, "horizontal_flip": 0, "whole_image": 1}, False),
    ],
)
def test_whether_views_can_differ(values: dict[str, object], varies: bool) -> None:
    assert Augment.parse(values).varies is varies
