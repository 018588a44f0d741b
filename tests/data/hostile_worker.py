"""A worker whose decoder does to some contents what a bad file may do to a library: run as a program, as the real one.

Content `crash` is a segmentation fault, `exit` leaves, `hang` takes for ever, `greed` asks for memory without end,
`noise` prints before it decodes, `nonsense` and `huge` answer what is no answer.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from gingham.data import worker


def decode(source: Path | bytes, *, name: str, max_pixels: int) -> Image.Image:
    match source.read_bytes() if isinstance(source, Path) else source:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(7)
        case b"hang":
            time.sleep(3600)
        case b"greed":
            bytearray(1 << 34)
        case b"noise":
            os.write(1, b"libnoise: hello\n")
            os.write(2, b"libnoise: hello\n")
            return Image.new("RGB", (2, 1), "red")
        case b"nonsense":
            worker.write_frame(_replies(), b"[1, 2]")
        case b"huge":
            _replies().write((1 << 60).to_bytes(8, "big"))
            _replies().flush()
    return real(source, name=name, max_pixels=max_pixels)


def _replies() -> Any:
    return sys._getframe(2).f_locals["replies"]


real = worker.decode

if __name__ == "__main__":
    worker.decode = decode
    worker.main()
