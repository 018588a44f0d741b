import os
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gingham.data import isolated
from gingham.data.decode import decode
from gingham.data.isolated import DecoderProcess, IsolatedDecoder
from gingham.data.pixels import ImageWarning
from gingham.errors import ImageError
from tests.data import hostile_worker
from tests.data.builders import encoded, photo


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_PROGRAM", hostile_worker.__name__)


def reason(decoder: IsolatedDecoder, source: Path | bytes) -> tuple[str, str]:
    with pytest.raises(ImageError) as caught:
        decoder.decode(source)
    return caught.value.reason, str(caught.value)


def test_the_same_pixels_and_errors_as_in_this_process(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1400, 3), dtype=np.uint8))
    path = photo(tmp_path / "caf\udce9.png")
    with IsolatedDecoder(max_pixels=3_000_000) as decoder:
        for source in (path, encoded(noise, "PNG"), encoded(noise.convert("CMYK"), "JPEG")):
            there, here = decoder.decode(source), decode(source)
            assert there.mode == "RGB"
            assert there.tobytes() == here.tobytes()
        for source in (tmp_path, tmp_path / "none.png", b"", b"text", encoded(noise, "PNG")[:999]):
            with pytest.raises(ImageError) as here_too:
                decode(source)
            assert reason(decoder, source) == (here_too.value.reason, str(here_too.value))
        assert reason(decoder, encoded(Image.new("1", (3000, 1001)), "PNG"))[0] == "too_large"


def test_warnings_arrive(tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (1, 1)), "PNG", icc_profile=b"no profile at all")
    with (
        IsolatedDecoder() as decoder,
        pytest.warns(ImageWarning, match=r"shirt\.png: its colour profile is broken"),
    ):
        decoder.decode(data, name="shirt.png")


@pytest.mark.usefixtures("hostile")
def test_a_process_that_dies_is_replaced() -> None:
    good = encoded(Image.new("RGB", (3, 2), "blue"), "PNG")
    with IsolatedDecoder(processes=1) as decoder:
        for _ in range(2):
            assert reason(decoder, b"crash") == ("unreadable", "image: it crashed the image decoder (signal 11)")
            assert reason(decoder, b"exit") == ("unreadable", "image: it crashed the image decoder (exit code 7)")
            assert decoder.decode(good).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.usefixtures("hostile")
def test_a_process_that_hangs_is_replaced() -> None:
    with IsolatedDecoder(processes=1, seconds=0.3) as decoder:
        begin = time.monotonic()
        assert reason(decoder, b"hang") == ("unreadable", "image: not decoded within 0.3 s")
        assert time.monotonic() - begin < 60
    with IsolatedDecoder(processes=1) as decoder:
        assert decoder.decode(encoded(Image.new("RGB", (3, 2)), "PNG")).size == (3, 2)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("answer", [b"nonsense", b"huge"])
def test_answers_that_are_none_are_not_believed(answer: bytes) -> None:
    with IsolatedDecoder(processes=1) as decoder:
        assert reason(decoder, answer) == ("unreadable", "image: its decoder gave no proper answer")
        assert decoder.decode(b"noise").size == (2, 1)


@pytest.mark.usefixtures("hostile")
def test_what_libraries_print_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with IsolatedDecoder(processes=1) as decoder:
        assert decoder.decode(b"noise").getpixel((0, 0)) == (255, 0, 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("hostile")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to limit memory")
def test_greed_is_limited() -> None:
    with IsolatedDecoder(processes=1, memory=1 << 25) as decoder:
        # What the decoder does not catch ends the process; no file takes the machine's memory.
        assert reason(decoder, b"greed")[0] == "unreadable"
        assert reason(decoder, encoded(Image.new("L", (6000, 2000)), "PNG"))[0] == "too_large"
        assert decoder.decode(encoded(Image.new("RGB", (500, 200)), "PNG")).size == (500, 200)


@pytest.mark.usefixtures("hostile")
def test_threads_share_the_processes() -> None:
    shades = range(40)
    files = [b"crash" if shade % 10 == 3 else encoded(Image.new("L", (2, 2), shade), "PNG") for shade in shades]
    found: dict[int, int | None] = {}

    def work(mine: range) -> None:
        for number in mine:
            try:
                found[number] = decoder.decode(files[number]).getpixel((0, 0))[0]
            except ImageError:
                found[number] = None

    with IsolatedDecoder(processes=2) as decoder:
        threads = [threading.Thread(target=work, args=(range(start, 40, 4),)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {shade: None if shade % 10 == 3 else shade for shade in shades}


def test_a_process_killed_between_two_images_costs_one() -> None:
    process = DecoderProcess(100, 1 << 28)
    data = encoded(Image.new("RGB", (3, 2)), "PNG")
    assert isinstance(process.ask(data, "a", 60).result, Image.Image)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(isolated.LostError, match="signal 9"):
        process.ask(data, "b", 60)
    process.close()


def test_no_process_is_left_and_closing_twice_is_fine() -> None:
    decoder = IsolatedDecoder(processes=2)
    decoder.decode(encoded(Image.new("RGB", (3, 2)), "PNG"))
    (process,) = [entry for entry in decoder._idle.queue if entry is not None]
    decoder.close()
    decoder.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoder.decode(encoded(Image.new("RGB", (3, 2)), "PNG"))
        decoder.close()
