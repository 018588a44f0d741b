"""The decoder on malformed and odd files of other projects' tests and fuzzers."""

import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gingham.data.decode import decode_bytes
from gingham.errors import ImageError

REASONS = {"unreadable", "truncated", "too_large", "unsupported"}


def members(archive: Path, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as files:
        for member in files:
            stream = files.extractfile(member) if member.name.startswith(prefix) else None
            if stream is not None:
                yield member.name, stream.read()


def outcome(name: str, data: bytes) -> str:
    try:
        image = decode_bytes(data, name=name)
    except ImageError as failure:
        well_formed = str(failure).startswith(f"{name}: ") and "\n" not in str(failure)
        return failure.reason if well_formed else f"malformed message: {failure}"
    assert image.mode == "RGB"
    assert min(image.size) > 0
    return "read"


def test_photos_of_all_orientations_are_upright(shared: Path) -> None:
    for kind, size in (("Landscape", (16, 12)), ("Portrait", (12, 16))):
        found = members(shared / "image-corpus/exif-orientation.tar.xz")
        upright = [
            np.asarray(decode_bytes(data).resize(size), dtype=float)
            for name, data in found
            if kind in name and name.endswith(".jpg")
        ]
        assert len(upright) == 9
        for pixels in upright:
            # The photos carry their number in the picture, and nothing else differs.
            assert abs(pixels - upright[0]).mean() < 6


def test_fuzzed_files_give_images_or_named_reasons(shared: Path) -> None:
    outcomes = Counter(outcome(*member) for member in members(shared / "image-corpus/go-fuzz.tar.xz"))
    assert outcomes.total() == 1708
    assert set(outcomes) <= {"read", *REASONS}
    assert outcomes["read"] > 300


def test_png_suite(shared: Path) -> None:
    archive = shared / "image-corpus/codec-corpus.tar.xz"
    outcomes = {name: outcome(name, data) for name, data in members(archive, "pngsuite/") if name.endswith(".png")}
    # The suite's own convention: files that begin with x are broken.
    assert {name for name, found in outcomes.items() if found != "read"} == {
        name for name in outcomes if name.startswith("pngsuite/x")
    }


def test_files_that_must_be_refused(shared: Path) -> None:
    files = dict(members(shared / "image-corpus/codec-corpus.tar.xz"))
    expected = json.loads(files["expected_errors.json"])
    broken = {name: data for name, data in files.items() if name.endswith(".bad_bmp")}
    broken |= {name: files[f"pngsuite/{name}"] for name in expected["pngsuite"]["error_files"]}
    broken |= {
        case["name"]: bytes.fromhex(case["bytes_hex"]) for case in expected["jpeg_error_cases"]["inline_test_cases"]
    }
    assert len(broken) == 10 + 14 + 6
    assert [name for name, data in broken.items() if outcome(name, data) not in REASONS] == []
