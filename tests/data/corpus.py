"""The corpus of malformed and odd images, and what decoding a file in a process of its own costs."""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from gingham.data.decode import MAX_PIXELS
from gingham.data.isolated import DecoderProcess, LostError
from gingham.errors import ImageError

FILES = 6541
SECONDS = 1.0
"""Of the processor, for one file: those of the clock tell how busy the machine is."""

_FRESH = 40_000_000
"""Bytes of memory with which a process still counts as fresh: what a large file left behind is not the next one's."""


@dataclass(frozen=True)
class Measured:
    """One file: what became of it, processor seconds, and the process's peak memory in bytes, all of it.

    `outcome` is `read`, the reason of an error, or `lost`: the process died or hung.
    """

    outcome: str
    message: str
    size: tuple[int, int] | None
    seconds: float
    peak: int


def members(archive: Path, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as files:
        for member in files:
            stream = files.extractfile(member) if member.name.startswith(prefix) else None
            if stream is not None:
                yield member.name, stream.read()


def corpus(shared: Path) -> Iterator[tuple[str, bytes]]:
    for archive in sorted((shared / "image-corpus").glob("*.tar.xz")):
        yield from members(archive)


class Meter:
    """Decodes files in a child process, replaced when it dies, and measures it from outside; needs Linux's /proc."""

    def __init__(self) -> None:
        self._process = _process()

    def measure(self, name: str, data: bytes) -> Measured:
        """One file; if it seems slow, the quickest of five: what else runs here makes it slower, never quicker."""
        measured = self._once(name, data)
        for _ in range(4):
            if measured.seconds <= SECONDS:
                break
            measured = min(measured, self._once(name, data), key=lambda one: one.seconds)
        return measured

    def _once(self, name: str, data: bytes) -> Measured:
        if _memory(self._process.pid, "VmRSS") > _FRESH:
            self._replace()
        status = Path(f"/proc/{self._process.pid}")
        (status / "clear_refs").write_text("5")  # the peak begins anew
        before = _seconds(status)
        try:
            result = self._process.ask(data, name, 60).result
        except LostError as failure:
            self._replace()
            return Measured("lost", str(failure), None, 0, 0)
        seconds, peak = _seconds(status) - before, _memory(self._process.pid, "VmHWM")
        if isinstance(result, ImageError):
            return Measured(result.reason, str(result), None, seconds, peak)
        return Measured("read", "", result.size, seconds, peak)

    def _replace(self) -> None:
        self._process.close(kill=True)
        self._process = _process()

    def __enter__(self) -> "Meter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close(kill=True)


def _process() -> DecoderProcess:
    return DecoderProcess(MAX_PIXELS, 1 << 30)


def _memory(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def _seconds(status: Path) -> float:
    fields = (status / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
