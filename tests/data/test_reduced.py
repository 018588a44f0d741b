"""Approximate decoding, against the exact decoder's views of the same files; the bounds are in 255ths."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from gingham.data.decode import decode
from gingham.data.isolated import IsolatedDecoder, _checked
from gingham.data.pixels import ImageWarning
from gingham.data.preprocess import Preprocess
from gingham.data.reduced import Reduced, decode_reduced
from gingham.data.test_time import TestTime, evaluation_views, finest_pitch
from gingham.errors import ImageError
from gingham.wardrobe import garment
from tests.data.builders import encoded, linear_grey_profile, swapped_profile
from tests.data.corpus import corpus, members

MEAN, MOST = 1.5, 24
"""The mean and the largest difference of a view's values, at most: those of woven cloth in views of 24 pixels. Photos
in views of 224 pixels have a fifth of it."""

ONE_VIEW = TestTime()


class _Size:
    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height


def finest(
    preprocess: Preprocess, test_time: TestTime = ONE_VIEW, box: npt.NDArray[np.float32] | None = None
) -> Callable[[int, int], float]:
    return lambda width, height: finest_pitch(_Size(width, height), box, preprocess, test_time)


def coarse(_width: int, _height: int) -> float:
    """What makes every JPEG photo as small as can be."""
    return 1e9


def compare(
    data: bytes,
    preprocess: Preprocess,
    box: npt.NDArray[np.float32] | None = None,
    test_time: TestTime = ONE_VIEW,
) -> Reduced:
    """Check that all views are those of the exact decoder, nearly."""
    exact, found = decode(data), decode_reduced(data, finest(preprocess, test_time, box))
    assert (found.width, found.height) == exact.size
    views, expected = (evaluation_views(one, box, preprocess, test_time) for one in (found, exact))
    assert len(views) == len(expected)
    for view, right in zip(views, expected, strict=True):
        difference = np.abs(view.astype(int) - right)
        assert view.shape == right.shape
        assert difference.mean() <= MEAN
        assert difference.max() <= MOST
        if found.scale == 1:
            assert not difference.any()
    return found


def box_of(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def turned(image: Image.Image, orientation: int, **options: Any) -> bytes:
    """A JPEG file that is stored as a camera does that was held so; upright it is the image."""
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = image.transpose(stored[orientation]) if orientation in stored else image
    return encoded(image, "JPEG", exif=exif, quality=95, **options)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """A garment whose sides are no multiples of 8: 597 x 451 pixels."""
    return garment(3, 1, 600).picture.image.crop((2, 75, 599, 526))


@pytest.mark.parametrize(
    ("preprocess", "box", "test_time", "scale"),
    [
        # 451 / 32 = 14 pixels down become one: at an eighth fewer than two would be left.
        ({"size": 32}, None, {}, 4),
        ({"size": 28}, None, {}, 8),
        ({"size": 100}, None, {}, 2),
        ({"size": 113}, None, {}, 1),
        # Of the garment only, 160 x 200 pixels with the margin.
        ({"size": 32, "region": "box", "box_margin": 0.0}, (300, 100, 460, 300), {}, 2),
        ({"size": 32, "region": "box", "box_margin": 0.5}, (300, 100, 460, 300), {}, 4),
        ({"size": 32, "region": "box"}, (300, 100, 340, 130), {}, 1),
        ({"size": 32, "region": "box"}, None, {}, 4),
        # Zoomed twice, one pixel is 7; beside a small box the whole image is coarse, and the box decides.
        ({"size": 32}, None, {"scales": [1.0, 2.0]}, 2),
        ({"size": 32, "region": "box"}, (300, 100, 340, 130), {"whole_image": True}, 1),
        # The aspect ratio is kept: 451 pixels across, and 597 with the white.
        ({"size": 32, "resize": "shortest"}, None, {}, 4),
        ({"size": 37, "resize": "pad"}, None, {}, 8),
        ({"size": 37, "resize": "squash"}, None, {}, 4),
    ],
)
def test_at_least_two_pixels_are_left_for_each_of_the_finest_view(
    picture: Image.Image,
    preprocess: dict[str, Any],
    box: tuple[float, ...] | None,
    test_time: dict[str, Any],
    scale: int,
) -> None:
    place = None if box is None else box_of(*box)
    found = compare(
        encoded(picture, "JPEG", quality=92), Preprocess.parse(preprocess), place, TestTime.parse(test_time)
    )
    assert found.scale == scale
    assert found.image.size == (-(-597 // scale), -(-451 // scale))


@pytest.mark.parametrize("index", range(3))
def test_garments_look_nearly_the_same(index: int) -> None:
    image = garment(5, index, 900).picture.image
    for options in ({}, {"progressive": True}, {"subsampling": "4:4:4"}, {"subsampling": "4:2:2"}):
        data = encoded(image, "JPEG", quality=90, **options)
        for size, scale, interpolation in ((224, 2, "bicubic"), (112, 4, "bilinear"), (56, 8, "lanczos")):
            found = compare(data, Preprocess.parse({"size": size, "interpolation": interpolation}))
            assert found.scale == scale


@pytest.mark.parametrize("resize", ["squash", "shortest", "pad"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_in_all_corners_of_all_orientations(picture: Image.Image, orientation: int, resize: str) -> None:
    data = turned(picture, orientation, subsampling="4:4:4")
    assert decode(data).size == picture.size
    corners = [(0, 0, 270, 200), (330.5, 0, 597, 250), (0, 211.25, 300, 451), (333, 199, 597, 451), (-9, -9, 700, 600)]
    for corner in corners:
        for size in (24, 40):
            preprocess = Preprocess.parse({"size": size, "region": "box", "box_margin": 0.05, "resize": resize})
            found = compare(data, preprocess, box_of(*corner))
            assert found.scale > 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_views_are_in_their_place_to_a_fraction_of_a_pixel(orientation: int) -> None:
    """A slope of 1.5 a pixel across and 1 down: what was added at an edge, 5 pixels, would make it 7 or 5 off."""
    down, across = np.mgrid[0:203, 0:155]
    ramp = np.stack([across * 1.5, down, 0 * across + 90], axis=2).astype(np.uint8)
    data = turned(Image.fromarray(ramp), orientation, subsampling="4:4:4")
    preprocess = Preprocess(size=4, region="box", box_margin=0.0, interpolation="bilinear")
    for corner in ((8, 8, 148, 190), (16, 3, 100.5, 100), (60, 100, 150, 198)):
        box = box_of(*corner)
        exact = evaluation_views(decode(data), box, preprocess, TestTime())[0].astype(int)
        found = decode_reduced(data, finest(preprocess, box=box))
        assert found.scale == 8
        view = evaluation_views(found, box, preprocess, TestTime())[0]
        assert np.abs(view - exact).max() <= 2


@pytest.mark.parametrize(
    ("orientation", "size", "left", "top"),
    [
        (1, (597, 451), 0, 0),
        (2, (597, 451), 3 / 4, 0),
        (3, (597, 451), 3 / 4, 1 / 4),
        (4, (597, 451), 0, 1 / 4),
        (5, (451, 597), 0, 0),
        (6, (451, 597), 1 / 4, 0),
        (7, (451, 597), 1 / 4, 3 / 4),
        (8, (451, 597), 0, 3 / 4),
    ],
)
def test_what_was_added_to_the_last_pixel_is_first_where_the_photo_is_mirrored(
    picture: Image.Image, orientation: int, size: tuple[int, int], left: float, top: float
) -> None:
    """Stored are 597 x 451 pixels, and in quarters 150 x 113: three and one quarters of a pixel too many."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_reduced(encoded(picture, "JPEG", exif=exif), lambda width, height: min(width, height) / 50)
    assert (found.width, found.height, found.scale) == (*size, 4)
    assert (found.left, found.top) == (left, top)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_orientations_that_are_none_mean_nothing(picture: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = compare(encoded(picture, "JPEG", exif=exif), Preprocess(size=32))
    assert (found.left, found.top, found.scale) == (0, 0, 4)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_other_formats_have_the_bits_of_the_exact_decoder(picture: Image.Image, kind: str) -> None:
    data = encoded(picture, kind)
    found = decode_reduced(data, coarse)
    assert found.scale == 1
    assert found.image.tobytes() == decode(data).tobytes()


def test_small_photos_have_the_bits_of_the_exact_decoder(picture: Image.Image) -> None:
    data = encoded(picture.resize((300, 300)), "JPEG")
    found = decode_reduced(data, finest(Preprocess()))
    assert found == Reduced(found.image, 300, 300)
    assert found.image.tobytes() == decode(data).tobytes()


def test_every_kind_of_jpeg(picture: Image.Image) -> None:
    preprocess = Preprocess(size=48)
    exif = Image.Exif()
    exif[0x0112] = 6
    for image, options in (
        (picture.convert("L"), {}),
        (picture.convert("CMYK"), {}),
        (picture.convert("CMYK"), {"exif": exif}),
        (picture, {"icc_profile": swapped_profile()}),
        (picture.convert("L"), {"icc_profile": linear_grey_profile()}),
    ):
        assert compare(encoded(image, "JPEG", quality=92, **options), preprocess).scale == 4
    several = encoded(picture, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))], quality=92)
    assert compare(several, preprocess).scale == 4


def test_warnings_are_those_of_the_exact_decoder(picture: Image.Image) -> None:
    data = encoded(picture, "JPEG", icc_profile=b"no profile at all")
    with pytest.warns(ImageWarning, match=r"shirt\.jpg: its colour profile is broken"):
        assert decode_reduced(data, coarse, name="shirt.jpg").scale == 8


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 7), (8, 8), (9, 3), (17, 31)])
def test_tiny_images(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (200, 30, 60))
    for orientation in range(1, 9):
        found = decode_reduced(turned(image, orientation), coarse)
        assert (found.width, found.height) == size
        assert found.scale == max(scale for scale in (1, 2, 4, 8) if scale <= min(size))
        view = Preprocess(size=5).apply(found)
        np.testing.assert_allclose(view, np.full((5, 5, 3), (200, 30, 60)), atol=4)


def reasons(*decoders: Callable[[], object]) -> list[tuple[str, str]]:
    found = []
    for decoder in decoders:
        with pytest.raises(ImageError) as caught:
            decoder()
        found.append((caught.value.reason, str(caught.value)))
    return found


def test_errors_are_those_of_the_exact_decoder(tmp_path: Path, picture: Image.Image) -> None:
    data = encoded(picture, "JPEG")
    bomb = data.replace(struct.pack(">2H", 451, 597), struct.pack(">2H", 60000, 60000))
    sources: list[Path | bytes] = [b"", b"text", data[:-2000], data[:300], bomb, tmp_path, tmp_path / "none.jpg"]
    for source in sources:
        exact, reduced = reasons(partial(decode, source), partial(decode_reduced, source, coarse))
        assert exact == reduced
    limit = 597 * 451
    assert decode_reduced(data, coarse, max_pixels=limit).scale == 8
    assert reasons(partial(decode_reduced, data, coarse, max_pixels=limit - 1))[0] == (
        "too_large",
        f"image: 597 x 451 pixels, more than the limit of {limit - 1}",
    )


def outcome(decoder: Callable[..., Any], name: str, data: bytes) -> str | tuple[int, int]:
    try:
        image = decoder(data, name=name)
    except ImageError as failure:
        return f"{failure.reason}: {failure}"
    return image.width, image.height


@pytest.mark.filterwarnings("ignore::gingham.data.pixels.ImageWarning")
def test_malformed_photos_are_read_or_refused_alike(shared: Path) -> None:
    """All JPEG files of the corpus that exact decoding is quick with."""
    count = 0
    for name, data in corpus(shared):
        if data.startswith(b"\xff\xd8") and len(data) < 100_000:
            count += 1
            exact = outcome(partial(decode, max_pixels=2_000_000), name, data)
            assert outcome(partial(decode_reduced, finest=coarse, max_pixels=2_000_000), name, data) == exact
    assert count > 300


def test_real_photos_of_all_orientations(shared: Path) -> None:
    photos = dict(members(shared / "image-corpus/exif-orientation.tar.xz"))
    for kind in ("Landscape", "Portrait"):
        for number in range(1, 9):
            data = photos[f"exif/{kind}_{number}.jpg"]
            assert compare(data, Preprocess()).scale == 2
            box = box_of(200, 150, 1000, 1100)
            assert compare(data, Preprocess(size=64, region="box"), box, TestTime(whole_image=True)).scale == 4


def test_child_processes_give_the_same(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(turned(picture, 7))
    broken = encoded(picture, "JPEG")[:-2000]
    with IsolatedDecoder(processes=1) as decoder:
        for source in (path, path.read_bytes(), encoded(picture, "PNG")):
            for wanted in (coarse, finest(Preprocess(size=112)), finest(Preprocess())):
                here, there = decode_reduced(source, wanted), decoder.decode_reduced(source, wanted)
                assert there.image.tobytes() == here.image.tobytes()
                assert there == Reduced(there.image, here.width, here.height, here.scale, here.left, here.top)
        for bad in (broken, b"text", tmp_path / "none.jpg"):
            exact, reduced = reasons(partial(decode, bad), partial(decoder.decode_reduced, bad, coarse))
            assert exact == reduced
        assert decoder.decode(path).tobytes() == decode(path).tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 90},
        {"height": 1200},
        {"scale": 3},
        {"scale": -2},
        {"left": 1.0},
        {"top": -0.5},
        {"left": float("nan")},
    ],
)
def test_answers_of_child_processes_are_not_believed(changes: dict[str, Any]) -> None:
    fitting: dict[str, Any] = {"width": 100, "height": 60, "scale": 2, "left": 0.5, "top": 0.0}
    image = Image.new("RGB", (50, 30))
    assert _checked(Reduced(image, **fitting), 6000).width == 100
    for values, limit in ((fitting | changes, 10_000_000), (fitting, 5999)):
        with pytest.raises(ValueError, match="no such photo"):
            _checked(Reduced(image, **values), limit)
