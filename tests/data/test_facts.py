from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from gingham.data.facts import ODDITIES, THUMBNAIL, image_facts, oddities
from gingham.errors import ImageError
from tests.data.builders import linear_grey_profile


def _noise(size: tuple[int, int] = (90, 120), mode: str = "RGB") -> Image.Image:
    shape = (size[1], size[0], 3)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)).convert(mode)


def _odd(path: Path) -> dict[str, str]:
    return oddities(image_facts(path), path.name)


def test_the_same_pixels_have_the_same_hash_in_any_lossless_format(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "a.webp", "a.bmp", "a.tiff")]
    for file in files:
        _noise().save(file, **({"lossless": True} if file.suffix == ".webp" else {}))
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    _noise().transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    assert len({image_facts(file).pixels for file in [*files, turned]}) == 1
    ImageOps.mirror(_noise()).save(files[0])
    assert image_facts(files[0]).pixels != image_facts(files[1]).pixels


def test_size_belongs_to_the_hash(tmp_path: Path) -> None:
    for name, size in (("a.png", (40, 10)), ("b.png", (10, 40))):
        Image.new("RGB", size, "teal").save(tmp_path / name)
    assert image_facts(tmp_path / "a.png").pixels != image_facts(tmp_path / "b.png").pixels


def test_the_plain_facts(tmp_path: Path) -> None:
    halves = Image.new("RGB", (80, 100), "white")
    halves.paste("black", (0, 0, 40, 100))
    halves.save(tmp_path / "halves.png")
    facts = image_facts(tmp_path / "halves.png")
    assert (facts.width, facts.height, facts.format, facts.spread) == (80, 100, "PNG", 127.5)
    thumbnail = np.frombuffer(facts.thumbnail, dtype=np.uint8).reshape(THUMBNAIL, THUMBNAIL)
    assert thumbnail[:, :12].max() < 5
    assert thumbnail[:, 20:].min() > 250


def test_an_ordinary_photo_is_not_odd(tmp_path: Path) -> None:
    _noise().save(tmp_path / "a.JPG", format="JPEG")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    _noise().save(tmp_path / "b.png", icc_profile=srgb)
    assert _odd(tmp_path / "a.JPG") == _odd(tmp_path / "b.png") == {}


def test_each_oddity(tmp_path: Path) -> None:
    grey = _noise(mode="L")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [_noise(), _noise().transpose(Image.Transpose.ROTATE_180)]
    files = {
        "tiny": ("a.png", lambda file: _noise((63, 90)).save(file)),
        "elongated": ("a.png", lambda file: _noise((70, 211)).save(file)),
        "uniform": ("a.png", lambda file: Image.new("RGB", (80, 80), (250, 251, 250)).save(file)),
        "grey": ("a.png", lambda file: grey.convert("RGB").save(file)),
        "cmyk": ("a.jpg", lambda file: _noise(mode="CMYK").save(file)),
        "deep": ("a.png", lambda file: Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(file)),
        "transparent": ("a.png", lambda file: _noise(mode="RGBA").save(file)),
        "turned": ("a.jpg", lambda file: _noise().save(file, exif=exif)),
        "animated": ("a.webp", lambda file: frames[0].save(file, save_all=True, append_images=frames[1:])),
        "misnamed": ("a.jpg", lambda file: _noise().save(file, format="PNG")),
    }
    for kind, (name, write) in files.items():
        write(tmp_path / name)
        found = _odd(tmp_path / name)
        assert set(found) - {"grey" if kind == "deep" else kind} == ({"deep"} if kind == "deep" else set()), kind
        assert kind in found
        (tmp_path / name).unlink()
    assert set(files) | {"bad_profile"} == set(ODDITIES)


@pytest.mark.filterwarnings("ignore::gingham.data.pixels.ImageWarning")
def test_broken_and_foreign_profiles(tmp_path: Path) -> None:
    for name, profile in (("broken", b"not a profile"), ("of grey", linear_grey_profile())):
        file = tmp_path / f"{name}.png"
        _noise(mode="CMYK" if name == "of grey" else "RGB").save(
            file := file.with_suffix(".jpg" if name == "of grey" else ".png"), icc_profile=profile
        )
        assert "bad_profile" in _odd(file), name
    _noise(mode="L").save(tmp_path / "grey.png", icc_profile=linear_grey_profile())
    assert "bad_profile" not in _odd(tmp_path / "grey.png")


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        image_facts(tmp_path / "none.png")
    _noise().save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="too many for 100 pixels"):
        image_facts(tmp_path / "a.png", max_pixels=100)
