"""`decode` in child processes: what crashes, hangs or swallows memory costs one file and not the run."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from PIL import Image

from gingham.data.decode import MAX_PIXELS
from gingham.data.pixels import ImageWarning
from gingham.data.reduced import Finest, Reduced
from gingham.data.worker import read_frame, write_frame
from gingham.errors import ImageError

__all__ = ["DecoderProcess", "IsolatedDecoder", "LostError", "Reply"]

_PROGRAM = "gingham.data.worker"
_PIPE = 1 << 20
_HEADER_LIMIT = 1 << 20
_MEMORY = 1 << 28
_MEMORY_PER_PIXEL = 16
"""What the decoders of the formats take at most, with both the decoded and the converted image."""


class LostError(Exception):
    """The process died, was too slow, or answered nonsense; the text says which."""


class Reply(NamedTuple):
    """What became of one image, and the texts of the warnings about it."""

    result: Image.Image | Reduced | ImageError
    warnings: list[str]


class DecoderProcess:
    """One child that decodes one image after the other.

    A process of its own program and not a fork: a fork of a process with threads may hang, and would have this
    process's memory; and `multiprocessing` would import the user's main module once more.

    Args:
        max_pixels: see `decode`.
        memory: bytes that a decoder may take (on Linux).

    Attributes:
        pid: of the child.
    """

    def __init__(self, max_pixels: int, memory: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _PROGRAM, str(max_pixels), str(memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Libraries of image formats print to it, past Python.
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"},
        )
        self.pid = self._process.pid
        self._max_pixels = max_pixels
        self._late = False

    def ask(self, source: Path | bytes, name: str, seconds: float, finest: Finest | None = None) -> Reply:
        """Decode one image; with `finest`, as `reduced.decode_reduced` does.

        Raises:
            LostError: there is no reply; the process is to be replaced.
        """
        clock = threading.Timer(seconds, self._kill_late)
        clock.daemon = True
        clock.start()
        reply = None
        try:
            reply = self._exchange(source, name, finest)
        except (ValueError, KeyError, TypeError):
            raise LostError("its decoder gave no proper answer") from None
        except (EOFError, OSError):
            pass  # the process is gone
        finally:
            clock.cancel()
            clock.join()  # it may be about to kill
        if self._late:
            raise LostError(f"not decoded within {seconds:g} s")
        if reply is None:
            code = self._process.wait()
            raise LostError(f"it crashed the image decoder ({f'signal {-code}' if code < 0 else f'exit code {code}'})")
        return reply

    def _exchange(self, source: Path | bytes, name: str, finest: Finest | None) -> Reply:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        path = None if isinstance(source, bytes) else os.fspath(source)
        request = {"name": name, "path": path, "reduced": finest is not None}
        write_frame(self._process.stdin, json.dumps(request).encode())
        if isinstance(source, bytes):
            write_frame(self._process.stdin, source)
        header = json.loads(read_frame(self._process.stdout, _HEADER_LIMIT))
        if finest is not None and "extent" in header:
            width, height = (int(side) for side in header["extent"])
            write_frame(self._process.stdin, json.dumps({"finest": finest(width, height)}).encode())
            header = json.loads(read_frame(self._process.stdout, _HEADER_LIMIT))
        texts = [str(text) for text in header["warnings"]]
        if "size" not in header:
            return Reply(ImageError(str(header["reason"]), str(header["message"])), texts)
        width, height = (int(side) for side in header["size"])
        pixels = read_frame(self._process.stdout, 3 * self._max_pixels)
        image = Image.frombytes("RGB", (width, height), pixels)
        if finest is None:
            return Reply(image, texts)
        return Reply(_checked(Reduced(image, *header["reduced"]), self._max_pixels), texts)

    def _kill_late(self) -> None:
        self._late = True
        self._process.kill()

    def close(self, *, kill: bool = False) -> None:
        """End the process: at once, or after what it does."""
        if kill:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()


def _checked(photo: Reduced, max_pixels: int) -> Reduced:
    """The photo, if such a one can be. Raises `ValueError`: an answer is not believed because it came."""
    fits = (
        photo.scale in {1, 2, 4, 8}
        and photo.image.size == (-(-photo.width // photo.scale), -(-photo.height // photo.scale))
        and photo.width * photo.height <= max_pixels
        and 0 <= photo.left < 1
        and 0 <= photo.top < 1
    )
    if not fits:
        raise ValueError("no such photo")
    return photo


class IsolatedDecoder:
    """Decodes images in child processes, which are started when they are needed and replaced when one is lost.

        with IsolatedDecoder() as decoder:
            image = decoder.decode(Path("photo.jpg"))

    It protects the calling process from crashes, hangs and greed of the libraries for image formats. It is no jail: the
    children may do what this process may. Safe to use from as many threads as there are processes.

    Args:
        processes: how many.
        max_pixels: see `decode`.
        seconds: time for one image, from the request to the pixels.
        memory: bytes that a process may take for one image (on Linux); None = 16 a pixel of the largest image, and
            256 MB.
    """

    def __init__(
        self,
        *,
        processes: int = 2,
        max_pixels: int = MAX_PIXELS,
        seconds: float = 30.0,
        memory: int | None = None,
    ) -> None:
        self._max_pixels, self._seconds = max_pixels, seconds
        self._memory = _MEMORY + _MEMORY_PER_PIXEL * max_pixels if memory is None else memory
        self._idle: queue.LifoQueue[DecoderProcess | None] = queue.LifoQueue()
        self._count = processes
        for _ in range(processes):
            self._idle.put(None)

    def decode(self, source: Path | bytes, *, name: str | None = None) -> Image.Image:
        """As `decode.decode`.

        Raises:
            ImageError: as `decode.decode`; and `unreadable`, if the process died or took too long.
        """
        image = self._ask(source, name, None)
        assert isinstance(image, Image.Image)
        return image

    def decode_reduced(self, source: Path | bytes, finest: Finest, *, name: str | None = None) -> Reduced:
        """As `reduced.decode_reduced`; `finest` is called here. Raises `ImageError` as `decode`."""
        photo = self._ask(source, name, finest)
        assert isinstance(photo, Reduced)
        return photo

    def _ask(self, source: Path | bytes, name: str | None, finest: Finest | None) -> Image.Image | Reduced:
        name = name or (str(source) if isinstance(source, Path) else "image")
        process = self._idle.get()
        try:
            process = process or DecoderProcess(self._max_pixels, self._memory)
            reply = process.ask(source, name, self._seconds, finest)
        except BaseException as failure:
            if process is not None:
                process.close(kill=True)
            process = None
            if isinstance(failure, LostError):
                raise ImageError("unreadable", f"{name}: {failure}") from None
            raise
        finally:
            self._idle.put(process)
        for text in reply.warnings:
            warnings.warn(text, ImageWarning, stacklevel=3)
        if isinstance(reply.result, ImageError):
            raise reply.result
        return reply.result

    def close(self) -> None:
        """End all processes, after what they do."""
        waiting = [self._idle.get() for _ in range(self._count)]
        for process in waiting:
            if process is not None:
                process.close()
            self._idle.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
