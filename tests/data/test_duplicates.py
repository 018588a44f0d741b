import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.fft import dctn

from gingham.data import duplicates
from gingham.data.duplicates import Twins, identical_groups, near_duplicates, perceptual_hash

Thumbnails = npt.NDArray[np.uint8]


def _soft(count: int, seed: int = 0) -> Thumbnails:
    """Pictures of large soft blobs."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 6), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in small])


def test_groups_of_equal_keys() -> None:
    assert identical_groups(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]
    assert identical_groups(["a", "b"]) == []


def test_the_hash_is_the_low_part_of_the_dct() -> None:
    thumbnails = _soft(4)
    even, odd = perceptual_hash(thumbnails)
    for thumbnail, mine_even, mine_odd in zip(thumbnails, even, odd, strict=True):
        expected = dctn(thumbnail.astype(float), norm="ortho")[:8, :8]
        expected[0, 0] = 0
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(mine_even, expected[:, 0::2].ravel(), atol=1e-5)
        np.testing.assert_allclose(mine_odd, expected[:, 1::2].ravel(), atol=1e-5)


def test_the_hash_of_the_mirror_image_differs_in_the_sign_of_its_odd_part() -> None:
    thumbnails = _soft(4)
    even, odd = perceptual_hash(thumbnails)
    mirrored_even, mirrored_odd = perceptual_hash(thumbnails[:, :, ::-1])
    np.testing.assert_allclose(mirrored_even, even, atol=1e-5)
    np.testing.assert_allclose(mirrored_odd, -odd, atol=1e-5)


@pytest.mark.parametrize("block", [3, 7, 100])
def test_copies_are_found_across_blocks_and_nothing_else(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    thumbnails = _soft(20)
    noise = np.random.default_rng(1).integers(-2, 3, (32, 32))
    thumbnails[12] = np.clip(thumbnails[3].astype(int) + noise, 0, 255)
    thumbnails[17] = thumbnails[5][:, ::-1]
    thumbnails[19] = np.clip(thumbnails[8] * 0.8 + 20, 0, 255)
    found = near_duplicates(thumbnails)
    assert [(twins.first, twins.second, twins.mirrored) for twins in found] == [
        (3, 12, False),
        (5, 17, True),
        (8, 19, False),
    ]
    left, right = thumbnails[3].ravel().astype(float), thumbnails[12].ravel().astype(float)
    assert found[0].similarity == pytest.approx(np.corrcoef(left, right)[0, 1], abs=1e-5)


def test_a_small_but_whole_change_makes_another_picture() -> None:
    """A patch of 3 x 3 of 1,024 pixels: the correlation stays above the limit, the local difference does not."""
    one = _soft(1)[0].astype(int)
    other = one.copy()
    other[10:13, 14:17] = np.where(other[10:13, 14:17] > 128, other[10:13, 14:17] - 60, other[10:13, 14:17] + 60)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
    assert near_duplicates(np.stack([one, other]).astype(np.uint8)) == []
    assert len(near_duplicates(np.stack([one, one]).astype(np.uint8))) == 1


def test_jpeg_and_half_the_size_are_near() -> None:
    """From an image with detail, as the survey makes its thumbnails."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (12, 9, 3), dtype=np.uint8)).resize(
        (270, 360), Image.Resampling.BICUBIC
    )
    stream = io.BytesIO()
    image.resize((135, 180)).save(stream, "JPEG", quality=60)
    both = [image, Image.open(stream)]
    small = [np.asarray(one.convert("L").resize((32, 32), Image.Resampling.LANCZOS)) for one in both]
    assert len(near_duplicates(np.stack(small))) == 1


def test_pictures_without_contrast_are_alike_to_nothing() -> None:
    flat = np.full((3, 32, 32), 200, dtype=np.uint8)
    flat[1, 0, 0] = 203
    assert near_duplicates(flat) == []
    assert near_duplicates(flat[:0]) == []
    assert near_duplicates(flat[:1]) == []


def test_twins_are_plain_values() -> None:
    assert Twins(0, 1, 1.0, False) == Twins(0, 1, 1.0, False)
