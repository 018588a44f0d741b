"""The decoder on malformed and odd files of other projects' tests and fuzzers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gingham.data.decode import decode_bytes
from gingham.data.worker import write_frame
from gingham.errors import ImageError
from tests.data import pillow_reference
from tests.data.corpus import FILES, SECONDS, Meter, corpus, members

REASONS = {"unreadable", "truncated", "too_large", "unsupported"}
EXCEPTIONS = Path(__file__).with_name("corpus_exceptions.txt")


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
    """Against the photo that is stored upright, in full size. The 16 show their number, and were compressed anew."""
    photos = dict(members(shared / "image-corpus/exif-orientation.tar.xz"))
    for kind, shape in (("Landscape", (1200, 1800, 3)), ("Portrait", (1800, 1200, 3))):
        first, *turned = (
            np.asarray(decode_bytes(photos[f"exif/{kind}_{number}.jpg"])).astype(np.int16) for number in range(1, 9)
        )
        assert {pixels.shape for pixels in (first, *turned)} == {shape}
        # In 255ths.
        assert max(np.abs(pixels - first).mean() for pixels in turned) <= 4
        assert min(np.abs(wrong - first).mean() for wrong in (first[::-1], first[:, ::-1], first[::-1, ::-1])) > 40


def refused_by_us_alone() -> set[str]:
    lines = EXCEPTIONS.read_text(encoding="utf-8").splitlines()
    return {line.partition(": ")[0] for line in lines if line and not line.startswith("#")}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_every_file_is_decoded_or_refused_in_time_and_memory(shared: Path) -> None:
    """All of the corpus, in a child process that is replaced when it dies."""
    found, sizes, loaded = {}, {}, set()
    command = [sys.executable, "-m", pillow_reference.__name__]
    with (
        Meter() as meter,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as pillow,
    ):
        assert pillow.stdin is not None
        assert pillow.stdout is not None
        for name, data in corpus(shared):
            found[name] = meter.measure(name, data)
            sizes[name] = found[name].size
            if found[name].outcome != "read":
                write_frame(pillow.stdin, data)
                answer = json.loads(pillow.stdout.readline())
                sizes[name] = answer["size"]
                loaded |= {name} if answer["loaded"] else set()
        pillow.stdin.close()
    assert len(found) == FILES
    assert {one.outcome for one in found.values()} == {"read", *REASONS}, "no process was lost"
    malformed = [one.message for name, one in found.items() if one.message and not one.message.startswith(f"{name}: ")]
    assert not malformed
    assert not [one.message for one in found.values() if "\n" in one.message]
    slow = {name: one.seconds for name, one in found.items() if one.seconds > SECONDS}
    assert not slow
    # In megabytes: 80 and 9 bytes a pixel; a file that nobody knows the size of has no pixels.
    allowed = {name: 80e6 + 9 * (size[0] * size[1] if size else 0) for name, size in sizes.items()}
    greedy = {name: (one.peak, allowed[name]) for name, one in found.items() if one.peak > allowed[name]}
    assert not greedy
    assert loaded == refused_by_us_alone()
    assert len(loaded) <= 20


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
