import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data.decode import decode, decode_bytes
from gingham.errors import ImageError
from gingham.storage import sha256_file
from tests.data.builders import encoded, photo


def reason(source: Path | bytes, **options: int) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        decode(source, **options)
    assert "\n" not in str(caught.value)
    return caught.value.reason, str(caught.value)


def test_a_file_is_read_and_left_alone(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    before = sha256_file(path), path.stat().st_mtime_ns
    np.testing.assert_array_equal(np.asarray(decode(path)), np.asarray(decode(path.read_bytes())))
    assert (sha256_file(path), path.stat().st_mtime_ns) == before


def test_the_content_counts_and_not_the_extension(tmp_path: Path) -> None:
    path = tmp_path / "really.png.jpg"
    Image.new("RGB", (3, 2)).save(path, "PNG")
    assert decode(path).size == (3, 2)


def test_missing_file(tmp_path: Path) -> None:
    assert reason(tmp_path / "no.jpg") == ("not_found", f"{tmp_path / 'no.jpg'}: no such file")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert reason(tmp_path / "a.jpg") == ("unreadable", f"{tmp_path / 'a.jpg'}: the file is empty")


def test_folder_and_pipe_are_no_files(tmp_path: Path) -> None:
    assert reason(tmp_path)[0] == "unreadable"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason(tmp_path / "pipe.jpg")[0] == "unreadable"


def test_impossible_path() -> None:
    assert reason(Path("a\0b.jpg"))[0] == "unreadable"


def test_text_is_unreadable() -> None:
    why, message = reason(b"This is not an image.")
    assert why == "unreadable"
    assert "JPEG, PNG" in message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP"])
def test_cut_off_files_are_truncated(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    assert reason(data[: len(data) * 2 // 3])[0] == "truncated"


def test_cut_off_tiff_is_refused() -> None:
    data = encoded(Image.new("RGB", (64, 64)), "TIFF")
    assert reason(data[: len(data) // 2])[0] in {"truncated", "unreadable"}


def test_pixel_limit_is_checked_before_decoding() -> None:
    data = encoded(Image.new("1", (100, 101)), "PNG")
    assert decode(data, max_pixels=10_100).size == (100, 101)
    why, message = reason(data, max_pixels=10_099)
    assert why == "too_large"
    assert message == "image: 100 x 101 pixels, more than the limit of 10099"


@pytest.mark.parametrize("side", [10_000, 15_000])
def test_decompression_bombs_are_too_large_without_warnings(side: int) -> None:
    # Pillow itself warns of the first and refuses the second.
    assert reason(encoded(Image.new("1", (side, side)), "PNG"))[0] == "too_large"


def test_file_too_large_for_any_image(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\0" * 1601)
    assert reason(path, max_pixels=100)[0] == "too_large"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\n <?xml version='1.0'?><svg/>", "SVG or XML"),
        (b"8BPS\0\1", "Photoshop"),
        (encoded(Image.new("RGB", (16, 16)), "ICO"), "icon"),
        (encoded(Image.new("RGB", (16, 16)), "JPEG2000"), "JPEG 2000"),
    ],
)
def test_other_formats_are_named(data: bytes, kind: str) -> None:
    assert reason(data) == ("unsupported", f"image: {kind} is not supported; convert it to JPEG or PNG")


@pytest.mark.parametrize("kind", ["PPM", "TGA", "PCX", "EPS"])
def test_formats_beyond_the_list_are_not_even_tried(kind: str) -> None:
    assert reason(encoded(Image.new("RGB", (16, 16)), kind))[0] in {"unreadable", "unsupported"}


def test_damaged_checksum_is_not_read_as_something_black() -> None:
    data = bytearray(encoded(Image.new("RGB", (64, 64), "white"), "PNG"))
    data[data.index(b"IDAT") + 20] ^= 0xFF
    assert reason(bytes(data))[0] in {"unreadable", "truncated"}


def test_no_warning_of_pillow_leaks_and_filters_are_put_back() -> None:
    damaged = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\1\2\3")
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode_bytes(damaged)
    assert caught == []
    assert list(warnings.filters) == before


def test_warning_filters_are_put_back_by_threads() -> None:
    data = encoded(Image.new("RGB", (64, 64)), "PNG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode_bytes(data) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
