"""The child process of `isolated`: reads requests from its standard input, writes pixels to its standard output.

A request is a frame of JSON (`name`, `path`, `reduced`) and, where `path` is null, a frame with the file's content. The
reply is a frame of JSON (`size`, or `reason` and `message`; `warnings`) and, with a size, a frame of RGB bytes, row by
row. If `reduced` is true, there may first be a frame of JSON with the photo's `extent`, which is answered by one with
the `finest` pitch, and beside `size` stands `reduced`: full width and height, scale, and what was added left and above
(see `reduced`). A frame is its length in 8 bytes, big-endian, and that many bytes. No pickle: a process that reads
hostile files might be made to send anything.
"""

import json
import os
import signal
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from PIL import Image

from gingham.data.bands import bands
from gingham.data.decode import decode
from gingham.data.pixels import ImageWarning
from gingham.data.reduced import decode_reduced
from gingham.errors import ImageError

__all__ = ["read_frame", "serve", "write_frame"]

_LENGTH = 8


def write_frame(stream: IO[bytes], content: bytes) -> None:
    """Write one frame. Raises `OSError` where nobody reads any more."""
    stream.write(len(content).to_bytes(_LENGTH, "big"))
    stream.write(content)
    stream.flush()


def read_frame(stream: IO[bytes], limit: int | None = None) -> bytes:
    """Read one frame.

    Raises:
        EOFError: the stream ended before the frame did.
        ValueError: the frame says that it is longer than `limit`.
    """
    head = stream.read(_LENGTH)
    length = int.from_bytes(head, "big")
    if limit is not None and length > limit:
        raise ValueError(f"a frame of {length} bytes, expected at most {limit}")
    content = stream.read(length) if len(head) == _LENGTH else b""
    if len(head) < _LENGTH or len(content) < length:
        raise EOFError
    return content


def serve(requests: IO[bytes], replies: IO[bytes], max_pixels: int) -> None:
    """Answer requests until their stream ends."""

    def finest(width: int, height: int) -> float:
        write_frame(replies, json.dumps({"extent": [width, height]}).encode())
        return float(json.loads(read_frame(requests))["finest"])

    while True:
        try:
            request = json.loads(read_frame(requests))
            source = read_frame(requests) if request["path"] is None else Path(request["path"])
        except EOFError:
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ImageWarning)
            found = None
            try:
                if request["reduced"]:
                    found = decode_reduced(source, finest, name=request["name"], max_pixels=max_pixels)
                    image, *frame = (getattr(found, field.name) for field in fields(found))
                    reply: dict[str, Any] = {"size": image.size, "reduced": frame}
                else:
                    image = decode(source, name=request["name"], max_pixels=max_pixels)
                    reply = {"size": image.size}
            except ImageError as failure:
                image, reply = None, {"reason": failure.reason, "message": str(failure)}
        texts = [str(warning.message) for warning in caught if issubclass(warning.category, ImageWarning)]
        write_frame(replies, json.dumps({**reply, "warnings": texts}).encode())
        if image is not None:
            _write_pixels(replies, image)
        del found, image, source  # not to be kept while waiting for the next request


def _write_pixels(stream: IO[bytes], image: Image.Image) -> None:
    """One frame, in parts: as a whole the pixels would be in memory three times."""
    stream.write((3 * image.width * image.height).to_bytes(_LENGTH, "big"))
    for box in bands(image):
        stream.write(image.crop(box).tobytes())
    stream.flush()


def limit_memory(more: int) -> None:
    """Let this process take so many bytes beyond those that it has now; where the system cannot, without effect."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """`python -m gingham.data.worker MAX_PIXELS MEMORY`."""
    max_pixels, memory = (int(argument) for argument in sys.argv[1:])
    # Ctrl-C reaches the whole group of processes; the parent decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not get among the frames; standard error leads nowhere already.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit_memory(memory)
    serve(sys.stdin.buffer, replies, max_pixels)


if __name__ == "__main__":
    main()
